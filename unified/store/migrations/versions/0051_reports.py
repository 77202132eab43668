"""How far a provider was told whose data are kept, of each stream of people."""

from unified.store.migrations.sql import run_sql_beside

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
