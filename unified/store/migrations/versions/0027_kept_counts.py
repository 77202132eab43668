"""What was counted among a stream's records is kept, with what was visible at that moment."""

from unified.store.migrations.sql import run_sql_beside

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
