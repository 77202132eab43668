"""A workspace whose raw records are compressed: whatever reads them reads what it read of the same records as JSON."""

import csv
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from tests import records
from tests.unified.sync.source import Source
from tests.unified.sync.test_history import begun, keep
from tests.unified.sync.test_privacy import ADDRESS, CANARY, found
from unified.kit.declarations import ControlTotal
from unified.kit.mapping.rules import read_rules
from unified.store.connections import field_rules
from unified.store.lists import pages
from unified.store.lists.declared import LISTS
from unified.store.records import repacking, tables
from unified.store.records.counts import quality
from unified.store.records.raw import forms
from unified.store.workspaces import workspaces
from unified.sync import privacy
from unified.sync.exports.export import Request, export
from unified.sync.remapping.remap import remap
from unified.sync.remapping.trials import stored_bodies

IN_CENTS = ControlTotal(("total",), {"JPY": 0})


async def bring(source: Source, *, compressed: bool = True) -> None:
    workspace = source.connection.workspace_id
    await workspaces.update(source.db, workspace, compresses_raw=compressed, actor="test")
    async for _ in repacking.repack(source.db, workspace, compressed=compressed):
        pass


async def raws(source: Source, table: str) -> list[bytes]:
    """What a table keeps of raw records, opened."""
    async with source.db.workspace(source.connection.workspace_id) as conn:
        query = forms.sql.SQL("/* a test asks */ SELECT {} FROM {} WHERE {} ORDER BY source_id, synced_at")
        rows = await conn.execute(query.format(forms.KEPT, forms.sql.Identifier(table), forms.HAS_RAW), ())
        return await forms.opened(conn, [kept for (kept,) in await rows.fetchall()])


async def is_compressed(source: Source, *leaves: str) -> bool:
    """Whether all raw records are."""
    counts = [
        (await source.query(f"SELECT count(raw_data), count(raw_compressed) FROM {leaf}"))[0]  # noqa: S608 - ours
        for leaf in leaves
    ]
    assert all(as_json + compressed for as_json, compressed in counts)
    return not any(as_json for as_json, _ in counts)


async def readings(source: Source, folder: Path) -> dict[str, Any]:
    """What each reader makes of the stored raw records."""
    key, which = source.key("invoices"), LISTS["invoices"]
    one = min(await raws(source, "unified_invoices"), key=len)
    source_id = json.loads(one)["id"]
    async with source.db.workspace(key.workspace_id) as conn:
        await pages.start(conn)
        (shown,) = await pages.single(conn, which, ["stream"], key.connection_id, source_id)
        read = {
            "page": bytes((await pages.raw(conn, which, shown))["raw_data"] or b""),
            "one": await tables.body(conn, key, source_id),
            "remap": [row.body for row in await tables.read_raw(conn, key)],
            "models": sorted([record.raw_data async for record in records.read(conn, key)], key=str),
            "totals": await quality.invoice_totals(conn, key, IN_CENTS),
        }
    read["trials"] = [body async for _, body, _ in stored_bodies(source.db, key, 10)]
    chunks = [chunk async for chunk in tables.read_chunks(source.db, key)]
    read["frames"] = sorted([row for _, rows in chunks for row in rows], key=str)
    for ending in ("csv", "jsonl", "parquet"):
        target = folder / f"invoices.{ending}"
        request = Request(
            workspace="acme", workspace_id=key.workspace_id, stream="invoices", target=target,
            file_format=ending, raw=True,
        )  # fmt: skip
        read[ending] = (await export(source.db, request)).rows
        match ending:
            case "csv":
                with target.open(newline="") as file:
                    rows = list(csv.DictReader(file))
            case "jsonl":
                rows = [json.loads(line) for line in target.read_text().splitlines()]
            case _:
                rows = parquet.read_table(target).to_pylist()
        read[ending] = sorted(rows, key=lambda row: str(row["source_id"]))
        target.unlink()
    return read


async def test_every_reader_reads_the_same(stripe: Source, tmp_path: Path) -> None:
    await stripe.sync_all()
    before = await readings(stripe, tmp_path)
    assert before["totals"]
    assert before["totals"][0].stated != Decimal(0)
    await bring(stripe)
    assert await is_compressed(stripe, "unified_customers", "unified_invoices", "unified_events")
    assert await readings(stripe, tmp_path) == before
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:  # half of each form
        await conn.execute(
            "UPDATE unified_invoices SET raw_compressed = NULL, raw_data = '{\"total\": 0}' WHERE source_id < 'in_P'"
        )
        mixed = await quality.invoice_totals(conn, stripe.key("invoices"), IN_CENTS)
    assert sum(one.invoices for one in mixed) == sum(one.invoices for one in before["totals"])
    assert sum(one.stated for one in mixed) < sum(one.stated for one in before["totals"])


async def test_syncs_store_compressed_and_see_what_did_not_change(stripe: Source) -> None:
    await bring(stripe)
    await stripe.sync_all()
    assert await is_compressed(stripe, "unified_customers", "unified_invoices", "unified_events")
    stored = [json.loads(raw) for raw in await raws(stripe, "unified_customers")]
    assert {one["id"]: one for one in stored} == stripe.expected()
    again = await stripe.sync_all(full=True)
    assert [(one.inserted, one.updated) for one in again.values()] == [(0, 0)] * len(again)
    mapped = await remap(stripe.db, stripe.connection)
    assert [(one.inserted, one.updated, one.deleted) for one in mapped] == [(0, 0, 0)] * len(mapped)
    stripe.rename(min(stripe.expected()), "Second")
    assert (await stripe.sync()).updated == 1
    await bring(stripe, compressed=False)
    await stripe.assert_agrees("customers", "invoices")
    stripe.rename(min(stripe.expected()), "Third")
    await stripe.sync()
    await stripe.assert_agrees("customers")


async def test_a_record_that_is_mapped_anew_is_opened_once(
    stripe: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bring(stripe)
    await keep(stripe, "customers")
    await stripe.sync()
    rules = read_rules({"target": "description", "source": "name"})
    await field_rules.put(stripe.db, stripe.connection, "customers", *rules)
    opened: list[bytes] = []
    open_with = forms.open_with

    def counted(bodies: Mapping[int, bytes], kept: Sequence[bytes]) -> list[bytes]:
        opened.extend(kept)
        return open_with(bodies, kept)

    monkeypatch.setattr(forms, "open_with", counted)
    mapped = await remap(stripe.db, stripe.connection)
    customers = len(stripe.expected())
    assert sum(one.updated for one in mapped) == customers
    assert len(opened) == customers
    assert await stripe.query("SELECT count(*) FROM customers_history") == [(0,)]


@pytest.mark.parametrize("begins_compressed", [True, False])
async def test_former_states_are_kept_once(stripe: Source, *, begins_compressed: bool) -> None:
    """A state that comes once more, or is mapped anew, is no other one, in whichever form it is and was stored."""
    await bring(stripe, compressed=begins_compressed)
    await keep(stripe, "customers")
    await stripe.sync()
    customer, other = sorted(stripe.expected())[:2]
    first, since = stripe.expected()[customer]["name"], await begun(stripe, other)
    await workspaces.update(stripe.db, stripe.connection.workspace_id, compresses_raw=True, actor="test")
    for name in ("Second", "Third"):
        stripe.rename(customer, name)
        await stripe.sync()
    rules = read_rules({"target": "description", "source": "name"})
    await field_rules.put(stripe.db, stripe.connection, "customers", *rules)
    await stripe.sync(full=True)  # all is mapped anew from the same bytes
    await workspaces.update(stripe.db, stripe.connection.workspace_id, compresses_raw=False, actor="test")
    rules = read_rules({"target": "phone", "source": "name"})
    await field_rules.put(stripe.db, stripe.connection, "customers", *rules)
    await stripe.sync(full=True)
    names = [json.loads(raw)["name"] for raw in await raws(stripe, "customers_history")]
    # Stripe writes the renamed one otherwise in a list; all others came in the bytes that they are stored in.
    assert names == [first, "Second", "Third"]
    assert await begun(stripe, other) == since
    await bring(stripe)
    assert await is_compressed(stripe, "customers_history", "unified_customers")
    assert [json.loads(raw)["name"] for raw in await raws(stripe, "customers_history")] == names


async def test_a_persons_data_go_from_what_is_compressed(hubspot: Source) -> None:
    await bring(hubspot)
    await keep(hubspot, "customers", "invoices")
    await hubspot.sync_all()
    one, other = sorted(hubspot.expected())[:2]
    hubspot.change("update_contact", one, email=ADDRESS, firstname=CANARY)
    hubspot.change("update_contact", other, city=f"{CANARY} {ADDRESS}")  # who holds the address of another
    await hubspot.sync_all()
    hubspot.change("update_contact", other, city="Graz")
    await hubspot.sync_all()
    everywhere = ("unified_customers", "customers_history", "unified_invoices", "invoices_history")
    assert await is_compressed(hubspot, "unified_customers", "customers_history", "unified_invoices")
    texts = b"".join([raw for table in everywhere for raw in await raws(hubspot, table)])
    assert texts.count(CANARY.encode()) >= len({one, other})
    invoices = len(await raws(hubspot, "unified_invoices"))
    done = await privacy.delete(hubspot.db, hubspot.connection.workspace_id, email=ADDRESS, actor="test")
    assert done.emptied["customers_history"] >= 1
    texts = b"".join([raw for table in everywhere for raw in await raws(hubspot, table)])
    assert CANARY.encode() not in texts
    assert ADDRESS.encode() not in texts
    assert found(hubspot, CANARY) == {}, "in dictionaries neither"
    theirs = done.emptied.get("unified_invoices", 0)
    assert len(await raws(hubspot, "unified_invoices")) == invoices - theirs
    hubspot.change("update_contact", one, city=CANARY)
    assert (await hubspot.sync(full=True)).suppressed == 1
    assert CANARY.encode() not in b"".join(await raws(hubspot, "unified_customers"))


async def test_a_damaged_record_is_said_and_read_again(stripe: Source) -> None:
    await stripe.sync_all()
    await bring(stripe)
    one = min(stripe.expected())
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        spoil = "UPDATE unified_customers SET raw_compressed = substring(raw_compressed FOR 30) WHERE source_id = %s"
        await conn.execute(spoil, (one,))
    mapped = await remap(stripe.db, stripe.connection)
    assert [(each.rejected, each.updated) for each in mapped] == [(1, 0)] + [(0, 0)] * (len(mapped) - 1)
    await bring(stripe, compressed=False)
    assert (await stripe.sync(full=True)).updated == 1
    await stripe.assert_agrees("customers", "invoices")
    assert await stripe.query("SELECT count(*) FROM rejects") == [(0,)]
