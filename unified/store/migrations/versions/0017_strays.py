"""Strays: received events that belong to no connection of their workspace."""

from unified.store.migrations.sql import run_sql_beside

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
