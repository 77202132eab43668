"""`unified migrate`: the database and Dagster's storage, brought up to this release."""

from unified.cli.installation import migrate_database, prepare_dagster, say_what_begins, upgrade_dagster
from unified.cli.output import say
from unified.store.server.urls import database_url


def migrate() -> None:
    """Bring the database and Dagster's storage up to this release; both are made where they are missing.

    Works on the database that DATABASE_URL names (an administrator's login), or on the embedded one.
    Dagster's storage is the database that DAGSTER_POSTGRES_URL names, by default `<name>_dagster` on the
    same server. Safe to run again.
    """
    say_what_begins()
    url = database_url()
    applied = migrate_database(url)
    say(f"Applied {', '.join(applied)}." if applied else "The tables are those of this release.")
    prepare_dagster(url)
    upgrade_dagster()
    say("Dagster's storage is ready.")
