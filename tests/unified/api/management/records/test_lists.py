"""Lists of records: what they show, filters, chosen fields, pages while everything changes."""

import json
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from tests.unified.api.management.records.shelf import BEGAN, LISTS, ODD, Shelf, only
from tests.unified.api.management.rig import Api
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS
from unified.store.lists import declared, pages

pytestmark = pytest.mark.asyncio(loop_scope="module")

LARGE = Decimal("12345678901234567.89")


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_shows_what_is_stored(api: Api, name: str) -> None:
    shelf = await Shelf.of(api, "shown")
    await shelf.fill()
    page = await shelf.tenant.ask("GET", f"/api/{name}")
    assert (len(page["items"]), page["next"]) == (3, None)
    first = page["items"][0]
    assert list(first) == list(declared.LISTS[name].usual)
    assert not {"raw_data", "payload", "line_items", "workspace_id"} & set(first)
    if name != "identities":
        assert (first["connection"], first["connection_id"]) == ("main", str(shelf.connection.id))


async def test_money_is_text_and_exact(api: Api) -> None:
    shelf = await Shelf.of(api, "money")
    await shelf.put(INVOICES, "1", total=LARGE, tax=Decimal("0.000001"))
    page = await shelf.tenant.ask("GET", "/api/invoices", params={"expand": "lines"})
    invoice = only(page["items"])
    assert (invoice["total"], invoice["tax"]) == (str(LARGE), "0.000001")
    assert only(invoice["line_items"])["amount"] == "0.10"
    assert await shelf.ids("invoices", total_min=str(LARGE), total_max=str(LARGE)) == ["1"]
    assert await shelf.ids("invoices", total_min=str(LARGE + Decimal("0.01"))) == []


async def test_odd_values_are_text(api: Api) -> None:
    shelf = await Shelf.of(api, "odd")
    await shelf.put(CUSTOMERS, "1", name=ODD, custom_fields={ODD: ODD}, tags=(ODD,))
    answer = await shelf.tenant.client.get("/api/customers", params={"name": ODD})
    found = only(answer.json()["items"])
    assert (found["name"], found["custom_fields"], found["tags"]) == (ODD, {ODD: ODD}, [ODD])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_fields_are_chosen(api: Api) -> None:
    shelf = await Shelf.of(api, "fields")
    await shelf.put(CUSTOMERS, "1", email="ann@acme.com")
    page = await shelf.tenant.ask("GET", "/api/customers", params={"fields": "email,source_id"})
    assert page["items"] == [{"source_id": "1", "email": "ann@acme.com"}]


def _beyond(name: str, operator: str) -> str | None:
    """A value of a filter that no item of these tests has; None where it takes words of its own only."""
    if name in {"connection", "kind", "status", "is_active", "livemode"}:
        return None
    if operator in ("=", "contains"):
        return "none of them"
    if name.endswith(("_from", "_before")):
        return "2099-01-01T00:00:00Z" if operator == ">=" else "1999-01-01T00:00:00Z"
    return "9" * 25 if operator == ">=" else "-9"


async def test_each_filter_of_each_list_leaves_out_what_it_should(api: Api) -> None:
    """By what an item shows itself: whatever its value is finds it, and another value does not."""
    shelf = await Shelf.of(api, "filters")
    await shelf.fill()
    await shelf.put(CUSTOMERS, "1", name="Ann", email="Ann@Acme.com", kind="person", livemode=True)
    await shelf.put(INVOICES, "1", status="open", tax=Decimal(7), due_date=BEGAN, paid_date=BEGAN)
    looked_at = 0
    for name, which in declared.LISTS.items():
        item = (await shelf.tenant.ask("GET", f"/api/{name}"))["items"][0]
        for filter_name, one in which.filters.items():
            value = item.get(filter_name if one.operator == "=" else one.column)
            if value is None:
                continue
            looked_at += 1
            given = json.dumps(value) if isinstance(value, (bool, int)) else value
            found = await shelf.tenant.ask("GET", f"/api/{name}", params={filter_name: given})
            is_there = item in found["items"]
            assert is_there == (one.operator != "<"), (name, filter_name)
            if (other := _beyond(filter_name, one.operator)) is not None:
                found = await shelf.tenant.ask("GET", f"/api/{name}", params={filter_name: other})
                assert item not in found["items"], (name, filter_name)
    assert looked_at > 40


async def test_a_filter_takes_several_values_and_folds_addresses(api: Api) -> None:
    shelf = await Shelf.of(api, "several")
    for number in "123":
        await shelf.put(CUSTOMERS, number, email=f"Ann{number}@acme.com")
    assert await shelf.ids("customers", email=["ANN1@acme.com", "ann3@ACME.com"]) == ["1", "3"]
    assert await shelf.ids("customers", source_id=["2", "3", "9"]) == ["2", "3"]


async def test_connections_by_name_and_id(api: Api) -> None:
    shelf = await Shelf.of(api, "named")
    other = await Shelf.beside(shelf.tenant, "other")
    await shelf.put(CUSTOMERS, "1")
    await other.put(CUSTOMERS, "2")
    assert await shelf.ids("customers", connection="other") == ["2"]
    assert await shelf.ids("customers", connection=str(shelf.connection.id)) == ["1"]
    assert sorted(await shelf.ids("customers", connection=["main", "other"])) == ["1", "2"]
    answer = await shelf.tenant.ask("GET", "/api/customers", 404, params={"connection": "nobody"})
    assert "nobody" not in answer["detail"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    ("parameter", "place"), [("emial", "/query"), ("fields", "/query/fields"), ("expand", "/query/expand")]
)
async def test_an_unknown_name_is_refused_with_those_there_are(
    api: Api, name: str, parameter: str, place: str
) -> None:
    tenant = await api.tenant("unknown")
    refused = await tenant.ask("GET", f"/api/{name}", 422, params={parameter: "emial"})
    fault = only(refused["errors"])
    assert fault["pointer"] == place
    assert "emial" not in fault["detail"]
    if parameter == "fields":
        assert ", ".join(declared.LISTS[name].usual) in fault["detail"]
    elif parameter == "emial":
        assert all(one in fault["detail"] for one in declared.LISTS[name].filters)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"status": "overdue"}, "status"),
        ({"total_min": "NaN"}, "total_min"),
        ({"total_min": ["1", "2"]}, "total_min"),
        ({"issue_date_from": "2026-01-01T00:00:00"}, "issue_date_from"),
        ({"issue_date_from": "yesterday"}, "issue_date_from"),
        ({"updated_since": "yesterday"}, "updated_since"),
        ({"updated_since": "2026-01-01T00:00:00"}, "updated_since"),
        ({"include_deleted": "maybe"}, "include_deleted"),
        ({"is_active": "perhaps"}, "is_active"),
        ({"customer_id": ["x"] * 51}, "customer_id"),
    ],
)
async def test_a_value_that_is_not_usable_is_pointed_at(api: Api, query: dict[str, str], place: str) -> None:
    tenant = await api.tenant("unusable")
    refused = await tenant.ask("GET", "/api/invoices", 422, params=query)
    assert [fault["pointer"] for fault in refused["errors"]] == [f"/query/{place}"]


async def test_deleted_records_come_when_asked_for(api: Api) -> None:
    shelf = await Shelf.of(api, "deleted")
    await shelf.put(CUSTOMERS, "1", "2")
    await shelf.delete(CUSTOMERS, "2")
    assert await shelf.ids("customers") == ["1"]
    assert await shelf.ids("customers", include_deleted="true") == ["1", "2"]
    assert await shelf.ids("customers", include_deleted="only") == ["2"]


@pytest.mark.parametrize("name", ["customers", "records"])
async def test_no_row_is_lost_or_doubled_while_everything_changes(api: Api, name: str) -> None:
    entity = {"customers": CUSTOMERS, "records": RECORDS}[name]
    shelf = await Shelf.of(api, "changing")
    numbers = [f"{number:03}" for number in range(0, 60, 2)]
    await shelf.put(entity, *numbers)
    met: list[str] = []
    cursor: dict[str, str] = {}
    for turn in range(100):
        page = await shelf.tenant.ask("GET", f"/api/{name}", params={"limit": "7", **cursor})
        met += [item["source_id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
        # What was read changes and comes in anew before and behind the place; one that was not read goes.
        await shelf.put(entity, *met[:3], met[-1], name=f"turn {turn}")
        await shelf.put(entity, f"{2 * turn + 1:03}", f"{int(met[-1]) + 1:03}")
    assert len(met) == len(set(met))
    assert set(numbers) <= set(met)


async def test_the_cursor_of_another_workspace_or_query_is_refused(api: Api) -> None:
    shelf, other = await Shelf.of(api, "one"), await Shelf.of(api, "other")
    for each in (shelf, other):
        await each.put(CUSTOMERS, "1", "2", "3")
        await each.put(EVENTS, "1", "2", "3")
    page = await shelf.tenant.ask("GET", "/api/customers", params={"limit": 1})
    cursor = {"cursor": page["next"], "limit": 1}
    assert (await shelf.tenant.ask("GET", "/api/customers", params=cursor))["items"][0]["source_id"] == "2"
    await other.tenant.ask("GET", "/api/customers", 422, params=cursor)
    await shelf.tenant.ask("GET", "/api/events", 422, params=cursor)
    for query in ({"currency": "EUR"}, {"updated_since": page["since"]}, {"include_deleted": "true"}):
        await shelf.tenant.ask("GET", "/api/customers", 422, params={**cursor, **query})
    changed = page["next"][:-2] + ("A" if page["next"][-2] != "A" else "B") + page["next"][-1]
    await shelf.tenant.ask("GET", "/api/customers", 422, params={"cursor": changed})


async def test_an_answer_that_is_known_is_not_sent_again(api: Api) -> None:
    shelf = await Shelf.of(api, "known")
    await shelf.put(CUSTOMERS, "1")
    for path in ("/api/customers?fields=source_id,name", "/api/customers/main/1"):
        first = await shelf.tenant.client.get(path)
        again = await shelf.tenant.client.get(
            path, headers={"if-none-match": f'"x", {first.headers["etag"]}'}
        )
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    await shelf.put(CUSTOMERS, "1", name="Ann")
    changed = await shelf.tenant.client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (changed.status_code, changed.json()["name"]) == (200, "Ann")


async def test_a_row_of_an_earlier_release_is_shown_as_todays_model(api: Api) -> None:
    shelf = await Shelf.of(api, "earlier")
    await shelf.put(CUSTOMERS, "1", email="ann@acme.com", synced_at=BEGAN + timedelta(days=1))
    async with api.db.workspace(shelf.tenant.id) as conn:
        await conn.execute("UPDATE unified_customers SET schema_version = '1.0.0', emails = '{}'")
    found = only((await shelf.tenant.ask("GET", "/api/customers", params={"fields": "emails"}))["items"])
    assert found == {"emails": ["ann@acme.com"]}
    async with api.db.workspace(shelf.tenant.id) as conn:
        await conn.execute("UPDATE unified_customers SET schema_version = '9.0.0'")
    found = only((await shelf.tenant.ask("GET", "/api/customers", params={"fields": "emails"}))["items"])
    assert found == {"emails": []}


async def test_a_page_that_takes_too_long_is_refused_and_not_asked_for_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = await Shelf.of(api, "slow")
    await shelf.put(CUSTOMERS, "1")
    monkeypatch.setattr(pages, "STATEMENT_SECONDS", 0.2)
    with psycopg.connect(api.db.url) as other:
        other.execute("LOCK TABLE unified_customers")
        refused = await shelf.tenant.ask("GET", "/api/customers", 422, params={"name": "Ann"})
    assert "not found within 0.2 s" in refused["detail"]
    assert await shelf.ids("customers") == ["1"]
