"""A connection may read fewer or more of its connector's streams than the usual ones."""

from unified.store.migrations.sql import run_sql_beside

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
