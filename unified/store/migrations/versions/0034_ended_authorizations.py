"""An authorization that has ended keeps why."""

from unified.store.migrations.sql import run_sql_beside

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
