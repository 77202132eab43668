"""Raw records that SQL can read, with a hash of their bytes beside that of their content."""

from unified.store.migrations.sql import run_sql_beside

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
