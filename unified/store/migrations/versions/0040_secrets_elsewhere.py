"""A connection's secret may be kept elsewhere: what is stored of it is where."""

from unified.store.migrations.sql import run_sql_beside

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
