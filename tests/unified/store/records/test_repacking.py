"""Raw records brought into the other form while others delete, choose, or store: what is stored stays readable."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import pytest

from tests.unified.store.records.counts.test_quality import NOW, row
from tests.unified.store.records.raw.test_forms import FORMS, ask, bodies, bring, many, store
from unified.schema.entities import INVOICES
from unified.schema.invoice import UnifiedInvoice
from unified.store.database import Database
from unified.store.lists import copies
from unified.store.lists.declared import LISTS
from unified.store.privacy import persons, places
from unified.store.privacy.persons import Person, Record
from unified.store.records import repacking, suppressions
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch
from unified.store.records.raw import forms, parts, shapes
from unified.store.records.raw.shapes import Sample
from unified.store.records.tables import StreamKey
from unified.store.records.traces import Traces
from unified.store.workspaces import workspaces

PERSON = "cus_NffrFeUfNV"


class Paused:
    """The dictionary of a chunk is chosen, and what follows waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._make = forms.compressor
        self.is_there, self.goes_on = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(forms, "compressor", self._compressor)

    async def _compressor(self, *arguments: Any) -> forms.Compressor:
        made = await self._make(*arguments)
        self.is_there.set()
        await self.goes_on.wait()
        return made


async def delete(database: Database, key: StreamKey) -> int:
    async with database.workspace(key.workspace_id) as conn:
        (connection,) = await persons.connections(conn)
        theirs = Traces({"customers": frozenset({PERSON})})
        return await repacking.forget_dictionaries(conn, connection, theirs, 1)


async def until_it_waits(database: Database, key: StreamKey, task: asyncio.Task[Any]) -> None:
    waiting = "SELECT FROM pg_locks WHERE NOT granted"
    while not task.done() and await ask(database, key, waiting) == []:  # noqa: ASYNC110 - of PostgreSQL's
        await asyncio.sleep(0.01)


async def test_no_dictionary_goes_while_records_are_compressed_by_it(
    database: Database, stream: StreamKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bring(database, stream, compressed=True)
    raws = many(125, **{PERSON: {"balance": 1}})
    await store(database, stream, raws[:120])  # which makes a dictionary that names them
    await workspaces.update(database, stream.workspace_id, compresses_raw=False, actor="test")
    await store(database, stream, raws[120:], begin=120)
    paused = Paused(monkeypatch)
    compressing = asyncio.create_task(bring(database, stream, compressed=True))
    await paused.is_there.wait()
    deleting = asyncio.create_task(delete(database, stream))
    await until_it_waits(database, stream, deleting)
    paused.goes_on.set()
    await compressing
    assert await deleting == 1
    assert await ask(database, stream, FORMS) == [(0, 125)]
    assert await bodies(database, stream) == raws


async def test_it_stops_where_the_other_form_is_chosen(
    database: Database, stream: StreamKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(database, stream, many(3))
    monkeypatch.setattr(parts, "_CHUNK", 1)
    paused = Paused(monkeypatch)
    compressing = asyncio.create_task(bring(database, stream, compressed=True))
    await paused.is_there.wait()
    expanding = asyncio.create_task(bring(database, stream, compressed=False))
    await until_it_waits(database, stream, expanding)
    paused.goes_on.set()
    await expanding
    with pytest.raises(repacking.ChosenOtherwiseError, match="repeat"):
        await compressing
    assert await ask(database, stream, FORMS) == [(3, 0)]
    assert await bodies(database, stream) == many(3)


async def test_a_dictionary_is_made_of_many_records_and_not_of_the_states_of_one(
    database: Database, stream: StreamKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(database, stream, many(3))
    async with database.workspace(stream.workspace_id) as conn:
        await conn.execute(
            """
            INSERT INTO customers_history SELECT (jsonb_populate_record(NULL::customers_history, to_jsonb(t)
                || jsonb_build_object('state_id', gen_random_uuid(), 'valid_from', now(), 'valid_to', now()))).*
            FROM unified_customers AS t, generate_series(1, 120) WHERE source_id = 'c00000'
            """
        )
    samples: list[int] = []
    make = forms.compressor

    async def noted(conn: Any, connection: Any, name: str, sample: Any) -> forms.Compressor:
        samples.append(len(sample))
        return await make(conn, connection, name, sample)

    monkeypatch.setattr(forms, "compressor", noted)
    (done,) = await bring(database, stream, compressed=True)
    assert done.records == 123
    assert samples == [3, 1]
    assert await ask(database, stream, "SELECT count(*) FROM raw_dictionaries") == [(0,)]


async def test_no_dictionary_is_made_of_long_records(database: Database, stream: StreamKey) -> None:
    long = [b'{"text": "%b"}' % (b"x" * shapes.LARGEST)] * shapes.FEWEST
    async with database.workspace(stream.workspace_id) as conn:
        await forms.compressor(conn, stream.connection_id, stream.stream, map(Sample, [*long, *many(3)]))
    assert await ask(database, stream, "SELECT count(*) FROM raw_dictionaries") == [(0,)]


async def test_no_dictionary_is_made_of_what_names_a_person_whose_data_were_deleted(
    database: Database, stream: StreamKey
) -> None:
    await workspaces.update(database, stream.workspace_id, compresses_raw=True, actor="test")
    async with database.workspace(stream.workspace_id) as conn:
        who = stream.workspace_id, stream.connection_id, stream.stream
        await suppressions.add(conn, *who, [PERSON], actor="test")
    invoices = replace(stream, entity=INVOICES, stream="invoices")
    rows = [row(UnifiedInvoice, f"i{n}", raw) for n, raw in enumerate(many(120, **{PERSON: 1}))]
    await batches.commit(database, invoices, Batch(observed_at=NOW, rows=rows))
    assert await ask(database, stream, "SELECT count(*) FROM raw_dictionaries") == [(0,)]


async def test_a_guest_who_is_fifty_customers_leaves_no_name_in_a_dictionary(
    database: Database, stream: StreamKey
) -> None:
    await workspaces.update(database, stream.workspace_id, compresses_raw=True, actor="test")
    guests = [f"guest-{number}" for number in range(shapes.PERSONS)]
    raws = many(shapes.PERSONS, name="Jane Doe") + many(shapes.PERSONS)
    rows = [
        row(UnifiedInvoice, f"i{number}", raw, customer_id=customer)
        for number, (customer, raw) in enumerate(zip_longest(guests, raws))
    ]
    invoices = replace(stream, entity=INVOICES, stream="invoices")
    await batches.commit(database, invoices, Batch(observed_at=NOW, rows=rows))
    named = "SELECT count(*) FROM raw_dictionaries WHERE position('Jane Doe'::bytea IN body) > 0"
    assert await ask(database, stream, named) == [(1,)]
    for records, left in ((guests[1:], 1), (guests, 0)):
        person = Person(frozenset(Record(stream.connection_id, "customers", guest) for guest in records))
        async with database.workspace(stream.workspace_id) as conn:
            await places.empty(conn, stream.workspace_id, person, await persons.connections(conn))
        assert await ask(database, stream, named) == [(left,)]


async def test_a_copy_goes_on_by_a_dictionary_that_goes_meanwhile(
    database: Database, stream: StreamKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bring(database, stream, compressed=True)
    raws = many(120, **{PERSON: {"balance": 1}})
    await store(database, stream, raws)
    monkeypatch.setattr(copies, "PIECE_BYTES", 1000)
    extract = copies.Extract(which=LISTS["customers"], form="json", raw=True)
    found: list[bytes] = []
    async with aclosing(copies.copy(database, stream.workspace_id, extract, after=None)) as pieces:
        async for piece in pieces:
            found += piece.rows.splitlines()
            await delete(database, stream)
    assert [json.loads(row)["raw_data"] for row in found] == [json.loads(raw) for raw in raws]
