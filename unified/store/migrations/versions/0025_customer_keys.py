"""Custom fields by which routes look customers up have an index, and letters are counted by one."""

from unified.store.migrations.sql import run_sql_beside

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
