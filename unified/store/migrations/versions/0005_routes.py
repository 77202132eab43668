"""Routes: standing orders to push customers, and what was pushed."""

from unified.store.migrations.sql import run_sql_beside

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
