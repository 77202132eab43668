"""What changes is delivered to URLs of a workspace's own."""

from unified.store.migrations.sql import run_sql_beside

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
