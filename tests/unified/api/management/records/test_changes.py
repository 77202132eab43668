"""The order of changes: whoever asks again and again for what is new meets each change, however late it commits."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.unified.api.management.records.shelf import BEGAN, Shelf, record
from tests.unified.api.management.rig import Api
from tests.unified.sync.identities.tenant import Tenant as Customers
from unified.schema.entities import CUSTOMERS, INVOICES, Entity
from unified.store.records import history
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def changed(shelf: Shelf, since: str, name: str = "customers", **query: Any) -> tuple[list[str], str]:
    """What changed since, and where to go on."""
    pages = await shelf.pages(name, updated_since=since, **query)
    return [item["source_id"] for page in pages for item in page["items"]], pages[-1]["since"]


async def since_now(shelf: Shelf, name: str = "customers", **query: Any) -> str:
    """Where changes after now begin."""
    mark: str = (await shelf.tenant.ask("GET", f"/api/{name}", params=query))["since"]
    return mark


async def test_a_row_that_commits_late_is_not_passed_over(api: Api) -> None:
    shelf = await Shelf.of(api, "late")
    since = await since_now(shelf)
    async with api.db.workspace(shelf.tenant.id) as conn:
        # It takes its place in the order, and commits after one that came later.
        await conn.execute(
            """
            INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
                schema_version, content_hash, observed_at, synced_at, is_active)
            VALUES (%s, %s, 'stripe', 'customers', 'early', gen_random_uuid(), '1.1.0', 1, %s, %s, true)
            """,
            (shelf.tenant.id, shelf.connection.id, BEGAN, BEGAN),
        )
        await shelf.put(CUSTOMERS, "later")
        met, since = await changed(shelf, since)
        assert met == []
    more, since = await changed(shelf, since)
    assert sorted(more) == ["early", "later"]
    assert (await changed(shelf, since))[0] == []


async def test_each_change_comes_once_however_small_the_pages(api: Api) -> None:
    shelf = await Shelf.of(api, "pages")
    since = await since_now(shelf)
    numbers = [str(number) for number in range(25)]
    await shelf.put(CUSTOMERS, *numbers)
    met, since = await changed(shelf, since, limit=4)
    assert sorted(met) == sorted(numbers)
    assert (await changed(shelf, since, limit=4))[0] == []


async def test_every_page_says_where_to_go_on(api: Api) -> None:
    shelf = await Shelf.of(api, "anywhere")
    since = await since_now(shelf)
    await shelf.put(CUSTOMERS, *map(str, range(9)))
    pages = await shelf.pages("customers", updated_since=since, limit=4)
    first = [item["source_id"] for item in pages[0]["items"]]
    rest, _ = await changed(shelf, pages[0]["since"], limit=3)
    assert sorted(first + rest) == sorted(map(str, range(9)))


async def test_writers_side_by_side_lose_nothing(api: Api) -> None:
    shelf = await Shelf.of(api, "busy")
    since, met = await since_now(shelf), set()
    written = {f"{writer}-{number}" for writer in range(4) for number in range(15)}

    async def write(writer: int) -> None:
        other = await Shelf.beside(shelf.tenant, f"busy-{writer}")
        for number in range(15):
            await other.put(CUSTOMERS, f"{writer}-{number}")

    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write(writer)) for writer in range(4)]
        while not all(task.done() for task in writers):
            found, since = await changed(shelf, since, limit=5)
            met.update(found)
    found, _ = await changed(shelf, since)
    assert met | set(found) == written


async def rename(shelf: Shelf) -> None:
    await shelf.put(CUSTOMERS, "1", name="Ann")


async def delete(shelf: Shelf) -> None:
    await shelf.delete(CUSTOMERS, "1")


async def refresh_without_it(shelf: Shelf) -> None:
    key, started = shelf.key(CUSTOMERS), BEGAN + timedelta(days=1)
    batch = Batch(observed_at=started, met=["2"], refresh_started_at=started, refresh_done=True)
    await batches.commit(shelf.tenant.api.db, key, batch)


@pytest.mark.parametrize("change", [rename, delete, refresh_without_it])
async def test_what_changes_a_row_moves_it(api: Api, change: Any) -> None:
    shelf = await Shelf.of(api, "moved")
    await shelf.put(CUSTOMERS, "1", "2")
    since = await since_now(shelf, include_deleted="true")
    await change(shelf)
    assert (await changed(shelf, since, include_deleted="true"))[0] == ["1"]


async def test_what_is_only_seen_again_does_not_move(api: Api) -> None:
    shelf = await Shelf.of(api, "seen")
    one = record(shelf.key(CUSTOMERS), "1")
    row = Row.of(one, b"{}", 7)
    await batches.commit(api.db, shelf.key(CUSTOMERS), Batch(observed_at=one.observed_at, rows=[row]))
    since = await since_now(shelf)
    later = one.model_copy(update={"observed_at": BEGAN + timedelta(days=9)})
    row = Row.of(later, b"{}", 7)
    await batches.commit(api.db, shelf.key(CUSTOMERS), Batch(observed_at=later.observed_at, rows=[row]))
    assert (await changed(shelf, since))[0] == []


async def test_an_identity_moves_when_its_values_do(api: Api) -> None:
    shelf = await Shelf.of(api, "golden")
    customers = Customers(api.db, [shelf.connection])
    await customers.add("stripe", "1", email="ann@acme.com", name="Ann")
    await customers.add("stripe", "2", email="ben@acme.com", name="Ben")
    await customers.resolve()
    since = await since_now(shelf, "identities")
    await customers.add("stripe", "1", email="ann@acme.com", name="Anna")
    await customers.resolve()
    page = await shelf.tenant.ask("GET", "/api/identities", params={"updated_since": since})
    assert [item["name"] for item in page["items"]] == ["Anna"]


async def test_a_time_finds_what_was_read_since(api: Api) -> None:
    shelf = await Shelf.of(api, "times")
    await shelf.put(CUSTOMERS, "1", synced_at=BEGAN)
    await shelf.put(CUSTOMERS, "2", synced_at=BEGAN + timedelta(hours=2))
    when = (BEGAN + timedelta(hours=1)).isoformat()
    met, since = await changed(shelf, when)
    assert met == ["2"]
    await shelf.put(CUSTOMERS, "3", synced_at=BEGAN)
    assert (await changed(shelf, since))[0] == ["3"]  # it was read before, and stored after


async def test_a_time_begins_at_the_sync_before_it(api: Api) -> None:
    """What a time skips is what was changed before a sync that began before it, and nothing else."""
    shelf = await Shelf.of(api, "began")
    key = shelf.key(CUSTOMERS)
    await shelf.put(CUSTOMERS, "1", synced_at=BEGAN + timedelta(days=999))
    async with api.db.workspace(shelf.tenant.id) as conn:  # open while the sync begins
        await conn.execute("UPDATE unified_customers SET changed_xid = pg_current_xact_id()")
        await history.begin(api.db, key, "full")
        await shelf.put(CUSTOMERS, "2", synced_at=BEGAN + timedelta(days=999))
    await history.begin(api.db, key, "full")
    async with api.db.workspace(shelf.tenant.id) as conn:
        found = await conn.execute("SELECT started_at FROM sync_history ORDER BY started_at")
        first, second = [began.isoformat() for (began,) in await found.fetchall()]
    assert sorted((await changed(shelf, first))[0]) == ["1", "2"]
    assert (await changed(shelf, second))[0] == []


async def test_another_filter_or_workspace_makes_the_place_useless(api: Api) -> None:
    shelf, other = await Shelf.of(api, "place"), await Shelf.of(api, "elsewhere")
    since = await since_now(shelf)
    for query in ({"currency": "EUR"}, {"include_deleted": "true"}):
        await shelf.tenant.ask("GET", "/api/customers", 422, params={"updated_since": since, **query})
    await shelf.tenant.ask("GET", "/api/invoices", 422, params={"updated_since": since})
    await other.tenant.ask("GET", "/api/customers", 422, params={"updated_since": since})
    await shelf.tenant.ask("GET", f"/api/customers?fields=name&limit=3&updated_since={quote(since)}")


@pytest.mark.parametrize("entity", [CUSTOMERS, INVOICES])
async def test_a_place_of_another_server_is_gone(api: Api, entity: Entity, monkeypatch: Any) -> None:
    from unified.store.lists import pages  # noqa: PLC0415

    shelf = await Shelf.of(api, "restored")
    await shelf.put(entity, "1", "2", "3")
    first = await shelf.tenant.ask("GET", f"/api/{entity.name}", params={"limit": 1})
    begin = pages.start

    async def elsewhere(*given: Any) -> pages.Start:
        begun = await begin(*given)
        return pages.Start(begun.horizon, begun.server + 1, begun.changes_from)

    monkeypatch.setattr(pages, "start", elsewhere)
    refused = await shelf.tenant.ask(
        "GET", f"/api/{entity.name}", 410, params={"updated_since": first["since"]}
    )
    assert "restored" in refused["detail"]
