"""Whose signatures on connector documents count here, and which documents and keys were revoked."""

from unified.store.migrations.sql import run_sql_beside

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
