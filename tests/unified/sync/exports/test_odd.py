"""Odd rows, as SQL or a former release can have stored them: each comes back as it is and costs no other row."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from pyarrow import parquet

from tests.properties import example, given, settings
from tests.unified.sync.exports.warehouse import NOW, Warehouse
from unified.schema import UnifiedLineItem
from unified.schema.entities import INVOICES
from unified.store.lists import copies
from unified.sync.exports.errors import ExportError
from unified.sync.exports.parquet import Parquet

AMOUNTS = [
    Decimal(text) for text in ("1E-28", "0E+3", "-1E+30", "12345678901234567890123456789012345.678", "0.10")
]
OTHERS: list[dict[str, Any]] = [
    {"line_items": Jsonb([])},
    {"line_items": Jsonb([None, {}, {"amount": "0E+3"}])},
    {"line_items": Jsonb([{"description": str(number), "amount": "0.10"} for number in range(100_000)])},
    {"tags": [None, "a", "{}"]},
    {"custom_fields": Jsonb(["x" * 10_000_000])},
    {"custom_fields": Jsonb(None)},
    {"memo": f"{copies.DELIMITER}{copies.QUOTE}" * 1000},
    {"issue_date": "9999-12-31 23:59:59.999999+00"},
]


async def change(warehouse: Warehouse, source_id: str, **columns: Any) -> None:
    """Put values there that the model may refuse."""
    async with warehouse.db.workspace(warehouse.workspace) as conn:
        for name, value in columns.items():
            query = f"UPDATE unified_invoices SET {name} = %s WHERE source_id = %s"  # noqa: S608 - ours
            await conn.execute(query.encode(), (value, source_id))


def rows(file: Path) -> dict[str, dict[str, Any]]:
    return {row["source_id"]: row for row in parquet.read_table(file).to_pylist()}


@pytest.mark.parametrize("piece", [1, copies.PIECE_BYTES])
async def test_odd_rows_come_back(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(copies, "PIECE_BYTES", piece)
    amounts = {f"amount {number}": amount for number, amount in enumerate(AMOUNTS)}
    others = {f"other {number}": columns for number, columns in enumerate(OTHERS)}
    await warehouse.put(INVOICES, *amounts, *others, issue_date=NOW)
    for source_id, amount in amounts.items():
        await change(warehouse, source_id, total=amount)
    for source_id, columns in others.items():
        await change(warehouse, source_id, **columns)
    found = rows((await warehouse.export("invoices", "i.parquet")).files[0])
    assert {source_id: found[source_id]["total"] for source_id in amounts} == amounts
    empty, holes, long, tags, large, none, marks, late = (found[source_id] for source_id in others)
    assert (empty["line_items"], holes["line_items"][0]) == ([], None)
    assert [line["amount"] for line in holes["line_items"][1:]] == [None, 0]
    assert [line["description"] for line in long["line_items"]] == [str(number) for number in range(100_000)]
    assert {line["amount"] for line in long["line_items"]} == {Decimal("0.10")}
    assert (tags["tags"], none["custom_fields"]) == ([None, "a", "{}"], "null")
    assert (len(json.loads(large["custom_fields"])[0]), marks["memo"]) == (10_000_000, OTHERS[6]["memo"])
    assert late["issue_date"].isoformat() == "9999-12-31T23:59:59.999999+00:00"


@pytest.mark.parametrize("piece", [1, copies.PIECE_BYTES])
async def test_a_number_that_is_none_makes_its_column_text(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(copies, "PIECE_BYTES", piece)
    line = UnifiedLineItem(amount=Decimal("0.10"))
    await warehouse.put(INVOICES, "1", "2", total=Decimal("0.10"), subtotal=Decimal(1), line_items=(line,))
    await change(warehouse, "2", total="NaN", line_items=Jsonb([{"amount": "Infinity"}]))
    found = rows((await warehouse.export("invoices", "i.parquet")).files[0])
    assert (found["2"]["total"], found["2"]["line_items"][0]["amount"]) == ("NaN", "Infinity")
    assert Decimal(found["1"]["total"]) == Decimal(found["1"]["line_items"][0]["amount"]) == Decimal("0.10")
    assert found["1"]["subtotal"] == found["2"]["subtotal"] == 1


@settings(max_examples=30)
@given(
    st.from_regex(r"-?[1-9][0-9]{0,80}", fullmatch=True),
    st.text("05", max_size=60),
    st.sampled_from(["", "E+9", "E-50"]),
)
@example("-824330", "1967" + "0" * 44, "")
@example("6051621825266588433228221798262595", "4", "")
def test_an_amount_is_never_another_one(
    tmp_path_factory: pytest.TempPathFactory, whole: str, fraction: str, exponent: str
) -> None:
    number = whole + (f".{fraction}" if fraction else "") + exponent
    format_, piece = Parquet({"total": "numeric"}), tmp_path_factory.getbasetemp() / "piece"
    piece.write_bytes(format_.encoded(f"{number}\n0.10\n".encode()))
    format_.join([piece], piece.with_name("file"))
    found = parquet.read_table(piece.with_name("file"))["total"].to_pylist()
    assert [Decimal(one) for one in found] == [Decimal(number), Decimal("0.1")]


async def test_what_parquet_can_not_hold_is_said_without_its_value(warehouse: Warehouse) -> None:
    await warehouse.put(INVOICES, "1", "2", issue_date=NOW)
    for odd in ({"issue_date": "infinity"}, {"issue_date": NOW, "line_items": Jsonb([{"amount": 4711}])}):
        await change(warehouse, "2", **odd)
        with pytest.raises(ExportError, match=r"^invoices hold a value that .* export them as jsonl$"):
            await warehouse.export("invoices", "i.parquet")
        assert (await warehouse.export("invoices", "i.jsonl")).rows == 2
