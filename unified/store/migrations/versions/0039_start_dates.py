"""A connection may begin its streams at a date."""

from unified.store.migrations.sql import run_sql_beside

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
