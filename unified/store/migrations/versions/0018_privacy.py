"""Privacy: records of persons whose data were deleted on request."""

from unified.store.migrations.sql import run_sql_beside

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
