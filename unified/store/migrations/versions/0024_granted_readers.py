"""Readers that stay, and the logins of workspaces that are gone."""

from unified.store.migrations.sql import run_sql_beside

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
