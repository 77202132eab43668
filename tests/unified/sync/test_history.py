"""Former states of records: each with the time in which it held, whatever order states come in."""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.unified.sync.source import Source
from tests.unified.sync.test_columns import choose
from tests.unified.sync.test_privacy import found
from unified.kit.errors import ConfigurationError
from unified.kit.mapping.rules import read_rules
from unified.kit.streams import Page, RawRecord
from unified.schema.entities import ENTITIES
from unified.store import removal
from unified.store.connections import field_rules
from unified.store.records.tables import TABLES
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.sync import privacy
from unified.sync.connections.changing import Connections
from unified.sync.exports.export import Request, export
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.remapping.remap import remap
from unified.sync.storing import store_pages


async def keep(source: Source, *streams: str) -> None:
    credentials = CredentialStore(source.db, LocalKeyProvider([source.master_key]))
    changed = await Connections(source.db, credentials, actor="tests").change(
        await source.state(), history=streams, test=False
    )
    source.connection = changed.connection


async def former(source: Source, table: str = "customers_history") -> list[tuple[Any, ...]]:
    """Former states, the oldest first: whose, its name, its time, its raw name."""
    return await source.query(
        f"SELECT source_id, name, valid_from, valid_to, raw_data ->> 'name' FROM {table}"  # noqa: S608 - ours
        " WHERE connection_id = %(connection)s ORDER BY valid_from"
    )


async def current(source: Source, customer: str) -> tuple[Any, ...]:
    rows = await source.query(
        "SELECT source_id, name, synced_at FROM {leaf} WHERE connection_id = %(connection)s"
    )
    return next((name, synced_at) for source_id, name, synced_at in rows if source_id == customer)


async def test_each_state_that_is_replaced_is_kept_with_its_time(stripe: Source, tmp_path: Path) -> None:
    await keep(stripe, "customers")
    await stripe.sync()
    customer = min(stripe.expected())
    was, first_read = await current(stripe, customer)
    for name in ("Second", "Third"):
        stripe.rename(customer, name)
        await stripe.sync()
    name, read = await current(stripe, customer)
    assert name == "Third"
    states = await former(stripe)
    assert [state[:2] for state in states] == [(customer, was), (customer, "Second")]
    assert [state[1] == state[4] for state in states] == [True, True]
    (_, _, begin, edge, _), (_, _, next_begin, end, _) = states
    assert (begin, edge, end) == (first_read, next_begin, read)
    assert begin < edge < end
    request = Request(
        workspace="acme", workspace_id=stripe.connection.workspace_id, stream="customers_history",
        target=tmp_path / "former.csv", file_format="csv",
    )  # fmt: skip
    assert (await export(stripe.db, request)).rows == len(states)
    with request.target.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["source_id"], row["name"]) for row in rows] == [(customer, was), (customer, "Second")]
    # What comes once more, or is only mapped anew, is no other state.
    await stripe.sync(full=True)
    rules = read_rules({"target": "description", "source": "name"})
    await field_rules.put(stripe.db, stripe.connection, "customers", *rules)
    await remap(stripe.db, stripe.connection)
    assert await former(stripe) == states


async def observe(source: Source, customer: str, body: bytes, observed_at: datetime) -> None:
    """Store a customer as it was seen at a time."""
    adapter = await source.factory.create(
        source.connection.workspace_id, source.connection.id, purpose="test"
    )
    page = Page([RawRecord(customer, body)], observed_at, None)
    async with Mapper() as mapper:
        mapping = Mapping(adapter, "customers")
        await store_pages(source.db, source.key("customers"), mapping, mapper, [page], datetime.now(UTC))


async def test_an_older_state_that_comes_late_closes_none(stripe: Source) -> None:
    await keep(stripe, "customers")
    await stripe.sync()
    customer = min(stripe.expected())
    before = await current(stripe, customer)
    body = f'{{"id": "{customer}", "created": 1, "name": "Late"}}'.encode()
    await observe(stripe, customer, body, datetime.now(UTC) - timedelta(days=30))
    assert (await current(stripe, customer), await former(stripe)) == (before, [])


async def test_a_deleted_record_that_returns_was_valid_until_then(hubspot: Source) -> None:
    await keep(hubspot, "customers")
    await hubspot.sync()
    customer = min(hubspot.expected())
    hubspot.change("archive_contact", customer)
    await hubspot.sync(full=True)
    assert await former(hubspot) == []
    ((deleted_at, body),) = await hubspot.query(
        "SELECT deleted_at, convert_to(raw_data::text, 'UTF8') FROM {leaf}"
        " WHERE connection_id = %(connection)s AND deleted_at IS NOT NULL"
    )
    await observe(hubspot, customer, body, datetime.now(UTC) + timedelta(minutes=1))
    ((one, _, _, valid_to, _),) = await former(hubspot)
    assert (one, valid_to) == (customer, deleted_at)


async def test_former_states_go_with_columns_and_with_the_connection(stripe: Source) -> None:
    await keep(stripe, "customers")
    await stripe.sync()
    stripe.rename(min(stripe.expected()), "Second")
    await stripe.sync()
    await choose(stripe, {"customers": {"name": "omit"}})
    await stripe.sync()
    states = await former(stripe)
    assert states
    assert {(state[1], state[4]) for state in states} == {(None, None)}
    await removal.remove_connection(stripe.db, stripe.connection.workspace_id, stripe.connection.id)
    assert await former(stripe) == []


async def test_what_never_changes_has_no_history(stripe: Source) -> None:
    with pytest.raises(ConfigurationError, match="events of stripe never change"):
        await keep(stripe, "events")


def test_a_history_has_all_columns_and_readers_see_it(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        for entity in ENTITIES:
            if entity.history is None:
                continue
            for schema in ("public", "data"):
                rows = conn.execute(
                    "SELECT attname::text, col_description(attrelid, attnum) FROM pg_attribute"
                    " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                    (f"{schema}.{entity.history}",),
                )
                comments = dict(rows.fetchall())
                assert comments.keys() >= {
                    "valid_from",
                    "valid_to",
                    *(one.name for one in TABLES[entity].columns),
                }
                assert comments["valid_to"]


async def begun(source: Source, customer: str) -> datetime:
    """When a customer came into its present state."""
    rows = await source.query(
        "SELECT source_id, coalesce(updated_at, state_since, synced_at) FROM {leaf}"
        " WHERE connection_id = %(connection)s"
    )
    return next(since for source_id, since in rows if source_id == customer)


async def test_a_state_begins_when_it_was_first_read_however_often_it_is_mapped(stripe: Source) -> None:
    await keep(stripe, "customers")
    await stripe.sync()
    customer, other = sorted(stripe.expected())[:2]
    _, first_read = await current(stripe, customer)
    for source in ("name", "id"):
        rules = read_rules({"target": "description", "source": source})
        await field_rules.put(stripe.db, stripe.connection, "customers", *rules)
        await remap(stripe.db, stripe.connection)
    await choose(stripe, {"customers": {"phone": "omit"}})
    await stripe.sync()
    assert (await current(stripe, customer))[1] > first_read
    assert await begun(stripe, customer) == first_read
    stripe.rename(customer, "Second")
    stripe.change("delete_customer", other)
    await stripe.sync(full=True)
    ((_, _, valid_from, valid_to, _),) = await former(stripe)
    assert (valid_from, valid_to) == (first_read, await begun(stripe, customer))
    # A deleted record was in its state until then, and not only at that moment.
    assert await begun(stripe, other) < (await current(stripe, other))[1]


async def test_columns_that_are_left_out_later_end_no_state(stripe: Source) -> None:
    await keep(stripe, "customers")
    await stripe.sync()
    customer = min(stripe.expected())
    await choose(stripe, {"customers": {"phone": "omit"}})
    stripe.rename(customer, "Second")
    await stripe.sync()
    assert [state[0] for state in await former(stripe)] == [customer]


async def test_a_persons_deletion_reaches_a_former_address_of_somebody_else(stripe: Source) -> None:
    await keep(stripe, "customers")
    customer = min(stripe.expected())
    for address in ("was.planted@example.com", "is@example.com"):
        stripe.change("update_customer", customer, email=address)
        await stripe.sync()
    await privacy.delete(
        stripe.db, stripe.connection.workspace_id, email="was.planted@example.com", actor="tests"
    )
    assert found(stripe, "was.planted") == {}
    assert (await stripe.stored())[customer]["email"] == "is@example.com"
