"""Everything that is kept in PostgreSQL: database, migrations, credentials, registry, tables. No HTTP, no Dagster."""
