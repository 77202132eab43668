"""The streams of the two records of a link, as ids of two streams may be equal."""

from unified.store.migrations.sql import run_sql_beside

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
