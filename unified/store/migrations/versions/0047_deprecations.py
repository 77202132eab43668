"""Which connector documents, and which connectors, are deprecated."""

from unified.store.migrations.sql import run_sql_beside

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
