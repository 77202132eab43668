"""Readers: logins that read one workspace's rows and do nothing else."""

from unified.store.migrations.sql import run_sql_beside

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
