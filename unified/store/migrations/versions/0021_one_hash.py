"""One hash: of a record's bytes; what they say is compared instead."""

from unified.store.migrations.sql import run_sql_beside

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
