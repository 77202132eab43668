"""Identities: which customers of several sources are one, and why."""

from unified.store.migrations.sql import run_sql_beside

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
