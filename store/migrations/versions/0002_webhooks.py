"""Webhooks: endpoints with rolling secrets, the inbox of received events, and what could not be applied."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL beside this module, straight through the driver: it is many statements, with % in them."""
    driver = op.get_bind().connection.driver_connection
    assert driver is not None  # noqa: S101 - only a closed connection has none
    driver.execute(Path(__file__).with_suffix(".sql").read_text())
