"""Who may do what: members, API tokens, approval of connections, idempotency keys."""

from unified.store.migrations.sql import run_sql_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
