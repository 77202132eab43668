"""Files of each format: what was stored comes back, exactly."""

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.conftest import AddConnection, AddWorkspace
from tests.unified.sync.exports.warehouse import NOW, Warehouse
from unified.schema import UnifiedLineItem
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS
from unified.store.lists import copies
from unified.store.lists.copies import WITHOUT_DAY
from unified.sync.exports.errors import ExportError

LINES = (
    UnifiedLineItem(
        source_id="li_1",
        description='5" "nails",\nzinc',
        amount=Decimal("0.10"),
        quantity=Decimal(3),
        period_start=NOW,
    ),
    UnifiedLineItem(unit_price=Decimal("0.000000123")),
)
TOTAL = Decimal("12345678901234567.89")


async def test_parquet_has_types_exact_amounts_and_nested_lines(warehouse: Warehouse) -> None:
    fields = {"currency": "EUR", "tags": ("a,b", '"c"', ""), "custom_fields": {"a": ["x"]}, "memo": ""}
    await warehouse.put(INVOICES, "1", total=TOTAL, line_items=LINES, issue_date=NOW, **fields)
    await warehouse.put(INVOICES, "2")
    done = await warehouse.export("invoices", "invoices.parquet")
    table = parquet.read_table(done.files[0])
    one, two = table.sort_by("source_id").to_pylist()
    assert (done.rows, done.is_whole, table.num_rows) == (2, True, 2)
    assert table.schema.field("total").type == pa.decimal128(38, 9)
    assert table.schema.field("issue_date").type == pa.timestamp("us", "UTC")
    assert (one["total"], one["issue_date"], one["tags"]) == (TOTAL, NOW, ["a,b", '"c"', ""])
    assert (one["memo"], two["memo"], two["total"], two["line_items"]) == ("", None, None, [])
    assert json.loads(one["custom_fields"]) == {"a": ["x"]}
    assert (one["connection"], one["is_active"], one["livemode"]) == ("stripe", True, None)
    assert [UnifiedLineItem(**line) for line in one["line_items"]] == list(LINES)
    assert "raw_data" not in table.column_names


@pytest.mark.parametrize("piece", [1, copies.PIECE_BYTES])
async def test_text_comes_back_whatever_is_in_it(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """In pieces of a row each, which are parsed by what is in them, and in one."""
    monkeypatch.setattr(copies, "PIECE_BYTES", piece)
    texts = [
        '"',
        'a,"b"',
        copies.DELIMITER,
        copies.QUOTE,
        copies.QUOTE * 2,
        "end\r\nend\n",
        "",
        "\\N",
        "f",
        None,
    ]
    for number, text in enumerate(texts):
        await warehouse.put(INVOICES, str(number), memo=text, custom_fields={"text": text})
    rows = parquet.read_table((await warehouse.export("invoices", "i.parquet")).files[0])
    found = [
        (row["memo"], json.loads(row["custom_fields"])["text"])
        for row in rows.sort_by("source_id").to_pylist()
    ]
    assert found == [(text, text) for text in texts]


@pytest.mark.parametrize("piece", [1, copies.PIECE_BYTES])
async def test_an_amount_that_the_usual_type_does_not_hold_gets_its_column_a_larger_one(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(copies, "PIECE_BYTES", piece)
    fine, large = Decimal("0.0000000000001"), Decimal(9999999999999999999999999999)
    await warehouse.put(INVOICES, "1", total=fine, tax=fine, line_items=(UnifiedLineItem(quantity=fine),))
    await warehouse.put(INVOICES, "2", total=large)
    await warehouse.put(INVOICES, "3", line_items=(UnifiedLineItem(quantity=Decimal("1E+70")),))
    table = parquet.read_table((await warehouse.export("invoices", "i.parquet")).files[0])
    assert table.schema.field("tax").type == pa.decimal128(38, 13)
    assert table.schema.field("total").type == pa.decimal256(76, 13)
    assert table.schema.field("subtotal").type == pa.decimal128(38, 9)
    rows = table.sort_by("source_id").to_pylist()
    assert [row["total"] for row in rows] == [fine, large, None]
    quantities = [line["quantity"] for row in rows for line in row["line_items"]]
    assert [Decimal(text) for text in quantities] == [fine, Decimal("1E+70")]  # 84 digits: text


async def test_lines_are_rows_of_their_own(warehouse: Warehouse) -> None:
    await warehouse.put(INVOICES, "1", line_items=LINES, currency="EUR")
    await warehouse.put(INVOICES, "2")
    rows = parquet.read_table((await warehouse.export("invoice_lines", "lines.parquet")).files[0]).to_pylist()
    assert [(row["invoice_id"], row["line_number"], row["line_id"], row["amount"]) for row in rows] == [
        ("1", 1, "li_1", Decimal("0.10")),
        ("1", 2, None, None),
    ]
    assert rows[0]["period_start"] == NOW


async def test_csv_runs_nothing_and_leaves_numbers_alone(warehouse: Warehouse) -> None:
    run = ["=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\uff1d1"]
    alone = ["+49 (30) 123-45", "-5.00", "a=b", 'O\'Neill, "Jo"\nBerlin']
    for number, name in enumerate([*run, *alone]):
        await warehouse.put(CUSTOMERS, str(number), name=name)
    await warehouse.put(INVOICES, "1", total=Decimal("-10.50"))
    customers = (await warehouse.export("customers", "customers.csv")).files[0]
    with customers.open(newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert sorted(names) == sorted([*(f"'{name}" for name in run), *alone])
    invoices = (await warehouse.export("invoices", "invoices.csv")).files[0]
    with invoices.open(newline="") as file:
        assert [row["total"] for row in csv.DictReader(file)] == ["-10.50"]


async def test_json_lines_have_an_object_each(warehouse: Warehouse) -> None:
    odd = 'a "b"\\ \n\u2028 =c, \\n'
    await warehouse.put(CUSTOMERS, 'c,"1"', name=odd, emails=("a@b.com",), custom_fields={"a": None})
    await warehouse.put(CUSTOMERS, "c2", name="x" * 300_000)  # more than the module csv reads
    await warehouse.put(INVOICES, "1", total=TOTAL, line_items=LINES)
    done = await warehouse.export("customers", "c.jsonl", raw=True)
    lines = done.files[0].read_bytes().split(b"\n")
    first, second = sorted((json.loads(line) for line in lines[:-1]), key=lambda one: len(one["name"]))
    assert lines[-1] == b""
    assert (first["source_id"], first["name"], first["emails"]) == ('c,"1"', odd, ["a@b.com"])
    assert (first["custom_fields"], first["raw_data"]) == ({"a": None}, {"id": 'c,"1"'})
    assert len(second["name"]) == 300_000
    assert datetime.fromisoformat(first["created_at"]) == datetime(2026, 3, 1, 12, tzinfo=UTC)
    (invoice,) = (
        json.loads(line)
        for line in (await warehouse.export("invoices", "i.jsonl")).files[0].read_text().splitlines()
    )
    assert (invoice["total"], invoice["line_items"][0]["amount"]) == (str(TOTAL), "0.10")


async def test_a_folder_has_a_file_per_day(warehouse: Warehouse) -> None:
    await warehouse.put(EVENTS, "1", occurred_at=NOW)
    await warehouse.put(EVENTS, "2", "3", occurred_at=NOW.replace(day=2))
    await warehouse.put(INVOICES, "1")
    done = await warehouse.export("events", "events")
    days = [file.parent.name for file in done.files]
    assert (days, done.rows) == (["day=2026-03-01", "day=2026-03-02"], 3)
    table = parquet.read_table(warehouse.folder / "events")
    assert sorted(zip(table["source_id"].to_pylist(), map(str, table["day"].to_pylist()), strict=True)) == [
        ("1", "2026-03-01"),
        ("2", "2026-03-02"),
        ("3", "2026-03-02"),
    ]
    undated = await warehouse.export("invoices", "invoices", file_format="csv")
    assert [file.parent.name for file in undated.files] == [f"day={WITHOUT_DAY}"]
    lines = await warehouse.export("events", "json", file_format="jsonl")
    assert [len(file.read_text().splitlines()) for file in lines.files] == [1, 2]


async def test_all_that_there_is_can_be_exported(warehouse: Warehouse) -> None:
    await warehouse.put(RECORDS, "1", stream="subscriptions", name="gold")
    for name in ("customers", "invoices", "invoice_lines", "events", "records", "identities"):
        for ending in ("parquet", "csv", "jsonl"):
            done = await warehouse.export(name, f"{name}.{ending}")
            assert done.rows == (name == "records"), name
            assert done.files[0].exists()
    assert parquet.read_table(warehouse.folder / "identities.parquet").num_rows == 0
    raw = await warehouse.export("records", "raw.parquet", raw=True)
    assert json.loads(parquet.read_table(raw.files[0])["raw_data"][0].as_py()) == {"id": "1"}


async def test_what_is_deleted_comes_only_when_asked_for(warehouse: Warehouse) -> None:
    await warehouse.put(CUSTOMERS, "1", "2")
    await warehouse.delete(CUSTOMERS, "2")
    assert (await warehouse.export("customers", "c.csv")).rows == 1
    assert (await warehouse.export("customers", "c.csv", deleted=True)).rows == 2


async def test_one_workspace_and_one_connection_at_a_time(
    warehouse: Warehouse, add_workspace: AddWorkspace, add_connection: AddConnection
) -> None:
    other = await add_workspace("other")
    theirs = Warehouse(warehouse.db, other, await add_connection(other), warehouse.folder)
    await theirs.put(CUSTOMERS, "theirs")
    await warehouse.put(CUSTOMERS, "ours")
    done = await warehouse.export("customers", "c.jsonl")
    assert [json.loads(line)["source_id"] for line in done.files[0].read_text().splitlines()] == ["ours"]
    await add_connection(warehouse.workspace, "hubspot")
    assert (await warehouse.export("customers", "c.csv", connections=["hubspot"])).rows == 0
    assert (await warehouse.export("customers", "c.csv", connections=["stripe"])).rows == 1


async def test_what_is_not_there_is_named(warehouse: Warehouse) -> None:
    with pytest.raises(ExportError, match="there is no stream 'custmers' to export; there are customers, "):
        await warehouse.export("custmers", "c.parquet")
    with pytest.raises(ExportError, match="ends like csv, and --format says jsonl"):
        await warehouse.export("customers", "c.csv", file_format="jsonl")
    with pytest.raises(ExportError, match="identities can't be exported by --since"):
        await warehouse.export("identities", "i.csv", since_last=True)
    with pytest.raises(ExportError, match="leave --raw out"):
        await warehouse.export("identities", "i.csv", raw=True)
    (warehouse.folder / "taken.csv").mkdir()
    with pytest.raises(ExportError, match=r"taken.csv can't be written: Is a directory"):
        await warehouse.export("customers", "taken.csv")
