"""A connection is left alone for as long as its provider said."""

from unified.store.migrations.sql import run_sql_beside

revision = "0048"
down_revision = "0047"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
