"""Which server counted the positions, so that a dump restored into another one is noticed."""

from unified.store.migrations.sql import run_sql_beside

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
