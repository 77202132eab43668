"""Sessions that were ended, and the deployment's own audit log."""

from unified.store.migrations.sql import run_sql_beside

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
