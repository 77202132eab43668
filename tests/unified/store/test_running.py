"""Tables that are migrated while a process has them open: it notices, says so, and goes on as soon as it can."""

import pytest

from tests.conftest import execute
from unified.store.database import Database
from unified.store.errors import BusyError, NewerDatabaseError, NotMigratedError
from unified.store.migrations import HEAD

BACK = f"UPDATE alembic_version SET version_num = '{HEAD}'"  # noqa: S608 - a constant
BACK_AGAIN = "ALTER TABLE alembic_version RENAME COLUMN other TO version_num"


async def test_a_newer_schema_is_noticed_and_so_is_its_return(database: Database, database_url: str) -> None:
    async with database.scheduler() as conn:
        await conn.execute("SELECT 1")
    execute(database_url, "UPDATE alembic_version SET version_num = '9001'")
    for use in (database.scheduler, database.owner):
        with pytest.raises(NewerDatabaseError, match="9001"):
            async with use():
                pytest.fail("nothing may be begun")
    execute(database_url, BACK)
    async with database.scheduler() as conn:
        await conn.execute("SELECT 1")


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        (
            "UPDATE alembic_version SET version_num = '0001'",
            BACK,
        ),
        ("ALTER TABLE alembic_version RENAME COLUMN version_num TO other", BACK_AGAIN),
        (
            "ALTER TABLE alembic_version RENAME TO elsewhere",
            "ALTER TABLE elsewhere RENAME TO alembic_version",
        ),
    ],
)
async def test_a_database_that_was_set_back_is_noticed(
    database: Database, database_url: str, broken: str, mended: str
) -> None:
    execute(database_url, broken)
    with pytest.raises(NotMigratedError, match="unified migrate"):
        async with database.scheduler():
            pytest.fail("nothing may be begun")
    execute(database_url, mended)
    async with database.scheduler():
        pass


async def test_events_are_taken_in_meanwhile(database: Database, database_url: str) -> None:
    """A provider may not come again; what can be stored is."""
    execute(database_url, "UPDATE alembic_version SET version_num = '9001'")
    async with database.ingress() as conn:
        await conn.execute("SELECT 1")


# Each needs statements that a connection has prepared, which psycopg does with the sixth execution.
@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE public.connectors ADD COLUMN another text",
        "ALTER TABLE public.connectors ADD COLUMN another text, DROP COLUMN display_name",
        "ALTER TABLE public.connectors ALTER COLUMN display_name TYPE varchar(200)",
        "ALTER TABLE public.connectors RENAME COLUMN display_name TO title",
    ],
)
@pytest.mark.parametrize("part", ["scheduler", "ingress", "api"])
async def test_tables_that_change_cost_one_try(
    database: Database, database_url: str, part: str, change: str
) -> None:
    use = getattr(database, part)
    execute(database_url, "GRANT SELECT ON connectors TO unified_ingress, unified_api")
    for _ in range(8):
        async with use() as conn:
            await (await conn.execute("SELECT * FROM connectors")).fetchall()
    execute(database_url, change)
    refused = 0
    for _ in range(8):
        try:
            async with use() as conn:
                await (await conn.execute("SELECT * FROM connectors")).fetchall()
        except BusyError:
            refused += 1
    assert refused <= 1, "the other connections are replaced at the first sign"
