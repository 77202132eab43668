"""Running the SQL file that stands beside a migration."""

from pathlib import Path

from alembic import op


def run_sql_beside(module: str) -> None:
    """Run a migration's SQL, which stands in a file of the module's name, in the transaction under way.

    Args:
        module: The migration's ``__file__``.
    """
    driver = op.get_bind().connection.driver_connection
    assert driver is not None  # noqa: S101 - only a closed connection has none
    # Straight through the driver: it is many statements, with % in them.
    driver.execute(Path(module).with_suffix(".sql").read_text())
