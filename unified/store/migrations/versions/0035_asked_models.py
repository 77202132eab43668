"""A model may be asked for rules: what a workspace lets it see, what it answered, and the tokens of a day."""

from unified.store.migrations.sql import run_sql_beside

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    """Run the SQL beside this module."""
    run_sql_beside(__file__)
