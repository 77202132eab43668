"""Rules: a connection's field rules with steps, not a path alone."""

from unified.store.migrations.sql import run_sql_beside

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
