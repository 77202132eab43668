"""Raw records compressed: each comes back as it was received, whichever dictionary it was compressed with."""

import json
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.unified.store.records.counts.test_quality import NOW, row
from unified.schema.customer import UnifiedCustomer
from unified.store.connections.rows import SUMMARIES, ConnectionSummary
from unified.store.database import Database
from unified.store.records import repacking, tables
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch
from unified.store.records.raw import forms, parts
from unified.store.records.raw.shapes import Sample
from unified.store.records.tables import StreamKey
from unified.store.records.traces import Traces
from unified.store.rows import fetch
from unified.store.workspaces import workspaces

ODD = [
    rb'{"text": "Nu\u0000l, \uFfFd, \ufffd \ud800"}',
    '{"text": "Zürich", "amount": 1.50}\n'.encode(),
    b"{}",
    b'{"x": "' + b"y" * 100_000 + b'"}',
]


async def store(database: Database, key: StreamKey, raws: Sequence[bytes], begin: int = 0) -> None:
    rows = [row(UnifiedCustomer, f"c{begin + number:05}", raw) for number, raw in enumerate(raws)]
    await batches.commit(database, key, Batch(observed_at=NOW, rows=rows))


async def ask(database: Database, key: StreamKey, query: str) -> list[tuple[object, ...]]:
    async with database.workspace(key.workspace_id) as conn:
        return await (await conn.execute(query.encode())).fetchall()


async def bodies(database: Database, key: StreamKey) -> list[bytes]:
    async with database.workspace(key.workspace_id) as conn:
        return [one.body for one in await tables.read_raw(conn, key)]


async def bring(database: Database, key: StreamKey, *, compressed: bool) -> list[repacking.Repacked]:
    await workspaces.update(database, key.workspace_id, compresses_raw=compressed, actor="test")
    return [one async for one in repacking.repack(database, key.workspace_id, compressed=compressed)]


FORMS = "SELECT count(raw_data), count(raw_compressed) FROM unified_customers"


def many(count: int, **more: object) -> list[bytes]:
    usual = {"object": "customer", "address": {"city": "Graz", "country": None}, "preferred_locales": []}
    return [json.dumps({"id": number, **usual, **more}).encode() for number in range(count)]


async def test_records_come_back_as_they_were_received(database: Database, stream: StreamKey) -> None:
    await bring(database, stream, compressed=True)
    await store(database, stream, ODD)  # too few for a dictionary
    await store(database, stream, many(120), begin=100)
    await store(database, stream, many(5), begin=300)
    assert await ask(database, stream, FORMS) == [(0, 129)]
    assert await ask(database, stream, "SELECT count(*) FROM raw_dictionaries") == [(1,)]
    used = "SELECT count(DISTINCT substring(raw_compressed FOR 8)) FROM unified_customers"
    assert await ask(database, stream, used) == [(2,)]
    assert await bodies(database, stream) == [*ODD, *many(120), *many(5)]


async def test_two_that_begin_at_a_time_have_a_dictionary_each(database: Database, stream: StreamKey) -> None:
    async with database.workspace(stream.workspace_id) as one, database.workspace(stream.workspace_id) as two:
        both = [
            await forms.compressor(conn, stream.connection_id, stream.stream, map(Sample, many(100)))
            for conn in (one, two)
        ]
    kept = [compress(raw) for compress in both for raw in ODD]
    async with database.workspace(stream.workspace_id) as conn:
        assert await forms.opened(conn, kept) == ODD * 2


async def test_what_is_stored_changes_its_form_and_nothing_else(
    database: Database, stream: StreamKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    raws = [rb'{"text": "Nu\u0000l"}', *ODD[1:], *many(296)]
    await store(database, stream, raws)
    rows = "SELECT to_jsonb(t) - 'raw_data' - 'raw_compressed' FROM unified_customers AS t ORDER BY source_id"
    texts = "SELECT raw_data::text FROM unified_customers ORDER BY source_id"
    before, as_json = await ask(database, stream, rows), await ask(database, stream, texts)
    monkeypatch.setattr(parts, "_CHUNK", 110)
    made = repacking.forms.compressor

    async def interrupted(*arguments: object) -> forms.Compressor:
        if (await ask(database, stream, FORMS))[0][1]:
            raise KeyboardInterrupt
        return await made(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(repacking.forms, "compressor", interrupted)
        with pytest.raises(KeyboardInterrupt):
            await bring(database, stream, compressed=True)
    assert await ask(database, stream, FORMS) == [(190, 110)]
    assert await bodies(database, stream) == raws
    (done,) = await bring(database, stream, compressed=True)
    assert (done.records, done.refused) == (190, 0)
    assert done.after < done.before / 2
    assert await ask(database, stream, FORMS) == [(0, 300)]
    assert await bodies(database, stream) == raws
    assert await ask(database, stream, rows) == before, "its place in the order of changes too"
    (done,) = await bring(database, stream, compressed=False)
    assert (done.records, done.refused) == (300, 0)
    assert await ask(database, stream, rows) == before
    assert await ask(database, stream, texts) == as_json
    choices = (
        "SELECT detail ->> 'compresses_raw' FROM audit_log WHERE action = 'workspace.update' ORDER BY id"
    )
    assert await ask(database, stream, choices) == [("true",), ("true",), ("false",)]


async def test_what_is_no_json_to_postgresql_stays_compressed(database: Database, stream: StreamKey) -> None:
    await bring(database, stream, compressed=True)
    raws = [b'{"id": "\xff"}', *many(3), b"[" * 20_000 + b"]" * 20_000]
    await store(database, stream, raws)
    (done,) = await bring(database, stream, compressed=False)
    assert (done.records, done.refused) == (3, 2)
    assert await ask(database, stream, FORMS) == [(3, 2)]
    assert await bodies(database, stream) == raws


async def test_a_dictionary_that_names_a_person_goes_with_their_data(
    database: Database, stream: StreamKey
) -> None:
    raws = many(120, cus_NffrFeUfNV={"balance": 1})  # a map by their id, in all records that there were
    await store(database, stream, raws)
    await bring(database, stream, compressed=True)
    named = "SELECT count(*) FROM raw_dictionaries WHERE position('cus_Nffr'::bytea IN body) > 0"
    assert await ask(database, stream, named) == [(1,)]
    async with database.workspace(stream.workspace_id) as conn:
        (connection,) = await fetch(conn, ConnectionSummary, SUMMARIES)
        other = Traces({"customers": frozenset({"cus_XffrFeUfNV"})})
        assert await repacking.forget_dictionaries(conn, connection, other, 1) == 0
        theirs = Traces({"customers": frozenset({"cus_NffrFeUfNV"})})
        assert await repacking.forget_dictionaries(conn, connection, theirs, 1) == 1
    assert await ask(database, stream, "SELECT count(*) FROM raw_dictionaries") == [(0,)]
    assert await ask(database, stream, FORMS) == [(0, 120)]
    assert await bodies(database, stream) == raws


async def test_records_in_other_bytes_are_compared_by_what_they_say(
    database: Database, stream: StreamKey
) -> None:
    await bring(database, stream, compressed=True)
    await store(database, stream, [b'{"id": 1, "a": 2}'])
    seen = []

    def is_stored(body: bytes | memoryview, stored: bytes, stored_hash: int) -> bool:
        seen.append((bytes(body), stored, stored_hash))
        return True

    new = row(UnifiedCustomer, "c00000", b'{"a": 2, "id": 1}')
    changed = Batch(observed_at=NOW + timedelta(1), rows=[new._replace(content_hash=2)])
    async with database.workspace(stream.workspace_id) as conn:
        counts = await batches.merge(conn, stream, changed, is_stored)
    assert seen == [(b'{"a": 2, "id": 1}', b'{"id": 1, "a": 2}', 1)]
    assert (counts.unchanged, counts.updated) == (1, 0)
