"""A connection may leave out or hash columns of its streams before anything is stored."""

from unified.store.migrations.sql import run_sql_beside

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
