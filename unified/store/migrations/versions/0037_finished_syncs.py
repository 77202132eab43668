"""What a sync brought may be counted across workspaces, for the lines that `unified dev` writes."""

from unified.store.migrations.sql import run_sql_beside

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
