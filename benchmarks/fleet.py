"""An installation with many tenants, filled by SQL: what the benchmarks of idling and of lists look at.

Each workspace has one Stripe connection that was synced just now: loaded, nothing due, some syncs in its history, some
customers that are resolved, a partition in Dagster.
"""

import psycopg

from unified.cli.installation import migrate_database
from unified.store.server.urls import beside

_FILL = """
INSERT INTO workspaces (slug, name) SELECT 'tenant-' || n, 'Tenant ' || n FROM generate_series(1, {connections}) AS n;
INSERT INTO connector_configs
    (workspace_id, connector, name, sync_status, sync_started_at, last_sync_at, sync_interval_minutes)
SELECT id, 'stripe', 'stripe', 'success', now(), now(), 1440 FROM workspaces WHERE slug LIKE 'tenant-%';
INSERT INTO cursors (workspace_id, connector_config_id, stream, cursor, observed_at, refreshed_at)
SELECT workspace_id, c.id, stream, '{{}}', now(), now()
FROM connector_configs AS c CROSS JOIN unnest(ARRAY['customers', 'invoices', 'events']) AS stream;
INSERT INTO sync_history (workspace_id, connector_config_id, stream, mode, started_at, finished_at, is_complete,
    records_read, unchanged, requests)
SELECT workspace_id, c.id, stream, 'incremental', now() - n * interval '1 hour', now() - n * interval '1 hour', true,
    1, 1, 1
FROM connector_configs AS c CROSS JOIN unnest(ARRAY['customers', 'invoices', 'events']) AS stream
CROSS JOIN generate_series(0, 4) AS n;
INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
    schema_version, content_hash, created_at, updated_at, observed_at, synced_at, is_active, name, email)
SELECT workspace_id, c.id, 'stripe', 'customers', 'cus_' || n, gen_random_uuid(), '1.1.0', n, now(), now(), now(),
    now(), true, 'Customer ' || n, 'ada.' || n || '@example.com'
FROM connector_configs AS c CROSS JOIN generate_series(1, 20) AS n;
INSERT INTO identity_state (workspace_id, position, read_at, resolved_at)
SELECT id, pg_current_snapshot(), now(), now() FROM workspaces WHERE slug LIKE 'tenant-%';
"""


def fill(url: str, connections: int) -> None:
    """Migrate a database, and add workspaces with a connection each."""
    migrate_database(url)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(_FILL.format(connections=connections).encode())
        admin.execute("VACUUM ANALYZE")


def add_partitions(url: str) -> None:
    """Give the connections their partitions in Dagster, and the workspaces theirs.

    Args:
        url: Of the installation's database; Dagster's tables are made already.
    """
    with psycopg.connect(url) as admin:
        slugs = [slug for (slug,) in admin.execute("SELECT slug FROM workspaces")]
    with psycopg.connect(beside(url, "unified_dagster")) as dagster:
        for name, suffix in (("stripe_connections", "/stripe"), ("workspaces", "")):
            dagster.cursor().executemany(
                "INSERT INTO dynamic_partitions (partitions_def_name, partition) VALUES (%s, %s)",
                [(name, slug + suffix) for slug in slugs],
            )
