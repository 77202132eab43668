"""The order in which rows changed, and invoices by customer."""

from unified.store.migrations.sql import run_sql_beside

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
