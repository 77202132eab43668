"""One raw record that can't be opened any more costs none of those beside it, and is not taken for what it was."""

import json

import pytest

from tests.records import read
from tests.unified.store.records.raw.test_forms import FORMS, ask, bodies, bring, many, store
from unified.store.database import Database
from unified.store.lists import pages
from unified.store.lists.copies import Extract, copy
from unified.store.lists.declared import LISTS
from unified.store.records import tables
from unified.store.records.raw import forms, parts
from unified.store.records.tables import StreamKey

_DAMAGED = {
    "a bit of it": "set_byte(raw_compressed, 20, get_byte(raw_compressed, 20) # 1)",
    "its end": "substring(raw_compressed FOR 20)",
    "all but its id": "substring(raw_compressed FOR 8)",
    "its id": "substring(raw_compressed FOR 4)",
    "its dictionary": r"'\x0000000000000007'::bytea || substring(raw_compressed FROM 9)",
}


async def damage(database: Database, key: StreamKey) -> list[str]:
    """Damage a record in each way; their ids."""
    ids = [f"c{number:05}" for number in range(len(_DAMAGED))]
    async with database.workspace(key.workspace_id) as conn:
        for source_id, made in zip(ids, _DAMAGED.values(), strict=True):
            query = f"UPDATE unified_customers SET raw_compressed = {made} WHERE source_id = %s"  # noqa: S608 - ours
            await conn.execute(query.encode(), (source_id,))
    return ids


async def test_each_reader_reads_all_others(
    database: Database, stream: StreamKey, caplog: pytest.LogCaptureFixture
) -> None:
    raws, which = many(120), LISTS["customers"]
    await bring(database, stream, compressed=True)
    await store(database, stream, raws)
    lost = await damage(database, stream)
    good = raws[len(lost) :]
    expected = [*[None] * len(lost), *map(json.loads, good)]
    assert await bodies(database, stream) == [*[b""] * len(lost), *good]
    assert f"{len(lost)} of 120 raw records can't be opened" in caplog.text
    async with database.workspace(stream.workspace_id) as conn:
        found = await tables.bodies(conn, stream, [*lost, "c00050"])
        assert found == {"c00050": raws[50]}
        assert [await tables.body(conn, stream, one) for one in (lost[0], "c00050")] == [b"", raws[50]]
        await pages.start(conn)
        (shown,) = await pages.single(conn, which, ["stream"], stream.connection_id, lost[0])
        assert await pages.raw(conn, which, shown) == {"raw_data": None}
        models = {one.source_id: one.raw_data async for one in read(conn, stream)}
    assert [models[one] or None for one in sorted(models)] == expected
    ((names, rows),) = [chunk async for chunk in tables.read_chunks(database, stream)]
    place, name = names.index("raw_data"), names.index("source_id")
    assert [row[place] for row in sorted(rows, key=lambda row: str(row[name]))] == expected
    for form in ("plain", "json"):
        extract = Extract(which=which, form=form, raw=True)  # type: ignore[arg-type]
        (piece,) = [one async for one in copy(database, stream.workspace_id, extract, after=None)]
        ends = [line.rpartition("\x01")[2] for line in piece.rows.decode().splitlines()]
        said = [json.loads(one or "null") for one in ends]
        assert [one["raw_data"] if form == "json" else one for one in said] == expected


async def test_they_are_stored_anew_once_they_are_read_again(database: Database, stream: StreamKey) -> None:
    raws = many(120)
    await bring(database, stream, compressed=True)
    await store(database, stream, raws)
    lost = await damage(database, stream)
    (done,) = await bring(database, stream, compressed=False)
    assert (done.records, done.refused) == (120 - len(lost), len(lost))
    assert await ask(database, stream, FORMS) == [(120 - len(lost), len(lost))]
    await store(database, stream, raws)
    assert await ask(database, stream, FORMS) == [(120, 0)]
    assert await bodies(database, stream) == raws


async def test_a_lost_dictionary_is_no_loss_of_what_does_not_need_it(
    database: Database, stream: StreamKey
) -> None:
    await bring(database, stream, compressed=True)
    await store(database, stream, many(3))
    await store(database, stream, many(120), begin=3)
    async with database.workspace(stream.workspace_id) as conn:
        await conn.execute("DELETE FROM raw_dictionaries")
        assert await forms.opened(conn, [b"", b"\0"]) == [b"", b""]
    assert await bodies(database, stream) == [*many(3), *[b""] * 120]


async def test_large_records_come_a_few_at_a_time(
    database: Database, stream: StreamKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    raws = [json.dumps({"id": number, "text": chr(97 + number) * 50_000}).encode() for number in range(9)]
    await store(database, stream, raws)
    monkeypatch.setattr(parts, "_STEP", 2)
    monkeypatch.setattr(parts, "_BYTES", 150_000)
    held: list[int] = []
    opened = forms.opened

    async def noted(conn: object, kept: list[bytes]) -> list[bytes]:
        held.append(len(kept))
        return await opened(conn, kept)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(forms, "opened", noted)
        (done,) = await bring(database, stream, compressed=True)
    assert (done.records, held) == (9, [4, 4, 1])
    assert await bodies(database, stream) == raws
