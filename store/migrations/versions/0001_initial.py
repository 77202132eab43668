"""Workspaces, connections, credentials, sync state and the unified tables."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL beside this module, straight through the driver: it is many statements, with % in them."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None  # noqa: S101 - only a closed connection has none
    driver.execute(Path(__file__).with_suffix(".sql").read_text())
