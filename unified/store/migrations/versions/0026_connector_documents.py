"""Connector documents that were installed, for a workspace or for the deployment."""

from unified.store.migrations.sql import run_sql_beside

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
