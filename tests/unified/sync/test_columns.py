"""Columns left out or hashed by a connection: the values are nowhere in the database, from the first sync or later."""

import json
import logging
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unified.sync.deliveries import drained, rows
from tests.unified.sync.source import Source
from tests.unified.sync.test_privacy import found, superuser
from unified.kit.errors import ConfigurationError
from unified.kit.mapping.columns import is_hashed
from unified.kit.secrets import Secret
from unified.kit.streams import Page, RawRecord
from unified.store.errors import ColumnsChangedError, InvalidSettingError
from unified.store.inbox import events as inbox
from unified.store.inbox.endpoints import Endpoints
from unified.store.inbox.lookup import EndpointLookup
from unified.store.records import tables
from unified.store.records.tables import StreamKey
from unified.store.routes.routes import Routes
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.sync.columns.seen import unseen
from unified.sync.columns.settling import settle
from unified.sync.connections.changing import Changed, Connections
from unified.sync.errors import PullError
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.remapping.remap import remap
from unified.sync.storing import store_pages

CANARY = "planted7Xq"
MAIL = f"{CANARY}@Example.com"
RULES = {
    "customers": {"email": "hash", "name": "hash", "description": "omit", "metadata": "omit"},
    "invoices": {"customer_email": "hash", "customer_name": "hash", "lines.data.description": "omit"},
}


def credentials(source: Source) -> CredentialStore:
    return CredentialStore(source.db, LocalKeyProvider([source.master_key]))


async def choose(source: Source, columns: dict[str, dict[str, str]]) -> Changed:
    changed = await Connections(source.db, credentials(source), actor="tests").change(
        await source.state(), columns=columns, test=False
    )
    source.connection = changed.connection
    return changed


def plant(source: Source) -> str:
    """A customer that has the canary wherever the rules reach, and an event of it."""
    customer: str = next(iter(source.expected()))
    source.change(
        "update_customer", customer, email=MAIL, name=CANARY, description=CANARY, metadata={"note": CANARY}
    )
    return customer


def event(source: Source, customer: str) -> dict[str, Any]:
    return {
        "id": "evt_columns", "object": "event", "type": "customer.updated", "created": 1_790_000_000,
        "data": {"object": source.expected()[customer], "previous_attributes": {"email": f"old.{MAIL}"}},
    }  # fmt: skip


async def row(source: Source, customer: str) -> list[Any]:
    rows = await source.query(
        "SELECT source_id, email, name, description, custom_fields, raw_data::text FROM {leaf}"
        " WHERE connection_id = %(connection)s"
    )
    return next(values for source_id, *values in rows if source_id == customer)


async def set_aside(source: Source, *bodies: dict[str, Any]) -> None:
    """Store records that can't be mapped, as a pull does."""
    adapter = await source.factory.create(
        source.connection.workspace_id, source.connection.id, purpose="test"
    )
    page = Page(
        [RawRecord(body.get("id"), json.dumps(body).encode()) for body in bodies], datetime.now(UTC), None
    )
    async with Mapper() as mapper:
        mapping = Mapping(adapter, "customers")
        await store_pages(source.db, source.key("customers"), mapping, mapper, [page], datetime.now(UTC))


async def receive(source: Source, sent: dict[str, Any]) -> None:
    """Have an event received as the ingress does, by the endpoint that it finds."""
    endpoints = Endpoints(source.db, credentials(source), actor="tests")
    endpoint, _ = await endpoints.add(source.connection, Secret("whsec_fake_columns"))
    active = await EndpointLookup(source.db, credentials(source)).find("stripe", endpoint.path)
    assert active is not None
    received, _ = active.sorted_out([row.event for row in rows(source, [sent])])
    assert await inbox.append(source.db, received) == 1


async def test_what_is_left_out_is_stored_nowhere(stripe: Source, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await choose(stripe, RULES)
    customer = plant(stripe)
    await stripe.sync_all()
    await receive(stripe, event(stripe, customer))
    await set_aside(stripe, {"email": MAIL, "name": CANARY}, {"email": MAIL, "id": "cus_odd", "name": 7})
    assert found(stripe, CANARY) == {}
    assert await drained(stripe) is not None
    assert len(await stripe.rejects()) == 1
    email, name, description, custom, raw = await row(stripe, customer)
    assert (is_hashed(email), is_hashed(name), description, custom) == (True, True, None, {})
    assert (json.loads(raw)["metadata"], json.loads(raw)["email"]) == ({}, email)
    assert found(stripe, CANARY) == {}
    assert CANARY not in caplog.text
    # Read once more, nothing is new.
    again = await stripe.sync(full=True)
    assert (again.inserted, again.updated, again.rejected) == (0, 0, 0)


async def test_what_is_stored_follows_when_columns_are_left_out_later(stripe: Source) -> None:
    customer = plant(stripe)
    await stripe.sync_all()
    gone = next(one for one in stripe.expected() if one != customer)
    stripe.change("update_customer", gone, email=MAIL)
    await stripe.sync()
    stripe.change("delete_customer", gone)
    await stripe.sync()
    await receive(stripe, event(stripe, customer))
    await set_aside(stripe, {"email": MAIL, "name": CANARY}, {"email": MAIL, "id": "cus_odd", "name": 7})
    assert {"unified_customers_stripe", "webhook_inbox", "rejects"} <= {
        table.rstrip("0123456789_") for table in found(stripe, CANARY)
    }
    changed = await choose(stripe, RULES)
    assert "brings what is stored" in " ".join(changed.notices)
    with pytest.raises(PullError, match="unified sync acme/main"):
        await remap(stripe.db, stripe.connection)
    before = await stripe.stored()
    await stripe.sync()
    assert found(stripe, CANARY) == {}
    assert (await stripe.stored()).keys() == before.keys()
    state = await stripe.state()
    assert state.columns == state.stored_columns == RULES
    # What is stored is mapped anew without the key, and nothing is hashed twice.
    hashed = await row(stripe, customer)
    await remap(stripe.db, state)
    assert await row(stripe, customer) == hashed


async def test_misspelt_columns_are_refused_or_said(stripe: Source) -> None:
    (notice,) = (await choose(stripe, {"customers": {"emial": "hash"}})).notices[-1:]
    assert notice.startswith("No customers are stored yet, so whether they have the field emial is seen")
    await stripe.sync_all()
    # Stripe sends all fields, so that each record has those of the rules, be they empty.
    changed = await choose(stripe, RULES)
    assert not [one for one in changed.notices if "None of" in one]
    for stream, field, near in (
        ("customers", "emial", "email"),
        ("customers", "Address", "address"),
        ("invoices", "lines.data.descrpitoin", "lines.data.description"),
    ):
        with pytest.raises(
            ConfigurationError, match=rf"has the field {field}; did you mean {stream}\.{near}\?"
        ):
            await choose(stripe, {stream: {field: "omit"}})
    assert (await stripe.state()).columns == RULES
    # What may be another field that few records have is said; so is a record's second field of the same letters.
    both = {"customers": {"emial": "omit", "email": "hash"}, "invoices": {"curency": "omit", "zzz.a": "omit"}}
    said = (await choose(stripe, both)).notices[-3:]
    assert said[0].endswith(
        "stored customers has the field emial, so its rule has left out nothing; did you mean email?"
    )
    assert said[1].endswith("the field curency, so its rule has left out nothing; did you mean currency?")
    assert said[2].endswith("the field zzz.a, so its rule has left out nothing: look at its spelling.")
    # One that stands already is said again, and keeps no other change out.
    await choose(stripe, {"customers": {"emial": "omit", "name": "omit"}})


async def test_stored_records_are_looked_at_again_once_one_has_changed(
    stripe: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    read_raw = tables.read_raw

    async def counted(conn: Any, key: StreamKey, **options: Any) -> Any:
        looks.append(key.stream)
        return await read_raw(conn, key, **options)

    await stripe.sync_all()
    monkeypatch.setattr(tables, "read_raw", counted)
    rules = {stream: {"metadata.nickname": "omit"} for stream in ("customers", "invoices")}
    found = await unseen(stripe.db, await stripe.state(), rules)
    assert [(one.stream, one.looked_at > 0) for one in found] == [("customers", True), ("invoices", True)]
    first = Counter(looks)
    assert await unseen(stripe.db, await stripe.state(), rules) == found
    assert Counter(looks) == first
    customer = next(iter(stripe.expected()))
    stripe.change("update_customer", customer, metadata={"nickname": "Ann"})
    await stripe.sync()
    left = await unseen(stripe.db, await stripe.state(), rules)
    assert [one.stream for one in left] == ["invoices"]
    assert Counter(looks)["invoices"] == first["invoices"]


async def test_columns_that_are_stored_again_are_read_again(stripe: Source) -> None:
    await choose(stripe, RULES)
    customer = plant(stripe)
    await stripe.sync()
    changed = await choose(stripe, {"customers": {"email": "hash"}})
    assert "reads all customers, invoices anew" in " ".join(changed.notices)
    result = await stripe.sync()
    assert result.mode == "full"
    email, name, description, custom, _ = await row(stripe, customer)
    assert (is_hashed(email), name, description, custom) == (True, CANARY, CANARY, {"note": CANARY})
    assert (await stripe.sync()).mode == "incremental"


async def test_a_pull_of_former_columns_stores_nothing_more(stripe: Source) -> None:
    adapter = await stripe.factory.create(
        stripe.connection.workspace_id, stripe.connection.id, purpose="test"
    )
    mapping = Mapping(adapter, "customers")
    await choose(stripe, RULES)
    page = Page([RawRecord("cus_1", b'{"id": "cus_1", "created": 1}')], datetime.now(UTC), None)
    async with Mapper() as mapper:
        with pytest.raises(ColumnsChangedError):
            await store_pages(stripe.db, stripe.key("customers"), mapping, mapper, [page], datetime.now(UTC))


async def test_a_column_that_another_field_fills_stops_the_sync(hubspot: Source) -> None:
    await choose(hubspot, {"customers": {"email": "hash"}})
    error = await hubspot.assert_fails()
    assert "email is filled from another field" in str(error)
    assert await hubspot.stored() == {}
    await choose(
        hubspot, {"customers": {"properties.email": "hash", "properties.hs_additional_emails": "omit"}}
    )
    await hubspot.sync()
    emails = await hubspot.query(
        "SELECT email FROM {leaf} WHERE connection_id = %(connection)s AND email IS NOT NULL"
    )
    assert emails
    assert all(is_hashed(email) for (email,) in emails)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"customers": {"id": "omit"}}, "known and dated by id"),
        ({"customers": {"object": "omit"}}, "events are known, dated and led to their records by object"),
        ({"invoices": {"data": "hash"}}, "invoices.data has to stay"),
        ({"clients": {"email": "omit"}}, "no stream 'clients'"),
        ({"invoices": {"currency": "omit"}}, "invoices can't do without all of currency"),
    ],
)
async def test_what_can_not_be_left_out_is_refused(
    stripe: Source, columns: dict[str, Any], says: str
) -> None:
    await stripe.sync("invoices")
    with pytest.raises(ConfigurationError, match=says):
        await choose(stripe, columns)
    assert (await stripe.state()).columns == {}


async def test_a_route_needs_whole_customers(stripe: Source) -> None:
    connection = stripe.connection
    other = await stripe.registry.add_connection(connection.workspace_id, "hubspot", "crm", {})
    routes = Routes(stripe.db)
    route = await routes.add("on", connection, other)
    with pytest.raises(InvalidSettingError, match="the route acme/on needs whole customers"):
        await choose(stripe, {"customers": {"phone": "omit"}})
    await routes.remove(route)
    await choose(stripe, {"customers": {"phone": "omit"}})
    with pytest.raises(InvalidSettingError, match="leaves out or hashes phone of customers"):
        await routes.add("on", stripe.connection, other)


async def test_a_stored_record_that_can_not_be_mapped_any_more_keeps_no_columns(stripe: Source) -> None:
    await stripe.sync("invoices")
    one = min(await stripe.stored("invoices"))
    taken = {"id": one, "customer_email": MAIL}  # by a mapping that needed no currency
    with superuser(stripe) as conn:
        conn.execute(
            "UPDATE unified_invoices SET raw_data = %s WHERE source_id = %s", (json.dumps(taken), one)
        )
    await choose(stripe, RULES)
    assert await settle(stripe.db, stripe.factory, await stripe.state())
    assert found(stripe, CANARY) == {}
    assert [reject.source_id for reject in await stripe.rejects("invoices")] == [one]


async def test_an_event_received_by_former_rules_is_cut_where_it_is_kept(stripe: Source) -> None:
    customer = plant(stripe)
    await stripe.sync_all()
    endpoints = Endpoints(stripe.db, credentials(stripe), actor="tests")
    endpoint, _ = await endpoints.add(stripe.connection, Secret("whsec_fake_columns"))
    active = await EndpointLookup(stripe.db, credentials(stripe)).find("stripe", endpoint.path)
    assert active is not None
    await choose(stripe, RULES)
    await stripe.sync_all()
    received, _ = active.sorted_out([row.event for row in rows(stripe, [event(stripe, customer)])])
    assert await inbox.append(stripe.db, received) == 1
    assert {table.rstrip("0123456789_") for table in found(stripe, CANARY)} == {"webhook_inbox"}
    assert await drained(stripe) is not None
    assert found(stripe, CANARY) == {}
