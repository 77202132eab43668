"""Raw records may be stored compressed, workspace by workspace."""

from unified.store.migrations.sql import run_sql_beside

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
