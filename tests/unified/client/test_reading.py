"""Clients of every kind read the same: typed rows, filters, all pages, changes, single records, frames."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.unified.api.management.records.shelf import BEGAN, Shelf, only
from tests.unified.api.management.rig import Api
from tests.unified.client.conftest import KINDS, reading
from unified.client import (
    ClientError,
    Customer,
    Identity,
    Invoice,
    NotFoundError,
    UnusableQueryError,
    core,
    local,
)
from unified.schema import InvoiceStatus, UnifiedCustomer
from unified.schema.entities import CUSTOMERS, INVOICES

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("kind", KINDS),
]

LARGE = Decimal("12345678901234567.89")


async def test_rows_are_typed(api: Api, kind: str) -> None:
    shelf = await Shelf.of(api, "typed")
    await shelf.put(CUSTOMERS, "1", email="ann@acme.com", created_at=BEGAN)
    await shelf.fill()
    async with reading(kind, shelf) as client:
        customers, _ = await client.all("customers")
        assert {type(one) for one in customers} == {Customer}
        assert isinstance(customers[0], UnifiedCustomer)
        assert (customers[0].connection, customers[0].connection_id) == ("main", shelf.connection.id)
        invoice = (await client.all("invoices", expand="lines"))[0][0]
        assert isinstance(invoice, Invoice)
        assert (invoice.total, invoice.line_items[0].amount) == (LARGE, Decimal("0.10"))
        assert isinstance((await client.all("identities"))[0][0], Identity)
        assert len((await client.all("events"))[0]) == len((await client.all("records"))[0]) == 3


async def test_filters_are_pythons_values(api: Api, kind: str) -> None:
    shelf = await Shelf.of(api, "python")
    await shelf.put(INVOICES, "1", status="open", total=LARGE, issue_date=BEGAN)
    await shelf.put(INVOICES, "2", status="paid", total=Decimal("0.01"), issue_date=BEGAN)
    async with reading(kind, shelf) as client:
        for query in (
            {"status": InvoiceStatus.OPEN},
            {"total_min": Decimal("1E+3")},
            {"total_min": 1},
            {"status": ["open", "draft"], "issue_date_before": datetime(2026, 2, 1, tzinfo=UTC)},
            {"source_id": "1", "is_active": True, "currency": None},
        ):
            found, _ = await client.all("invoices", **query)
            assert [one.source_id for one in found] == ["1"], query


async def test_all_pages_come(api: Api, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = await Shelf.of(api, "paged")
    await shelf.put(CUSTOMERS, *map(str, range(25)))
    monkeypatch.setattr(core, "PAGE", 4)
    async with reading(kind, shelf) as client:
        found, _ = await client.all("customers")
        assert sorted(int(one.source_id) for one in found) == list(range(25))


async def test_changes_are_followed(api: Api, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = await Shelf.of(api, "followed")
    await shelf.put(CUSTOMERS, "1", "2", synced_at=BEGAN + timedelta(days=1))
    monkeypatch.setattr(core, "PAGE", 1)
    async with reading(kind, shelf) as client:
        found, since = await client.all("customers", include_deleted=True)
        assert len(found) == 2
        await shelf.put(CUSTOMERS, "3")
        await shelf.delete(CUSTOMERS, "1")
        found, since = await client.all("customers", include_deleted=True, updated_since=since)
        assert [(one.source_id, one.is_active) for one in found] == [("3", True), ("1", False)]
        assert (await client.all("customers", include_deleted=True, updated_since=since))[0] == []
        assert (await client.all("customers", updated_since=BEGAN + timedelta(hours=1)))[0][
            0
        ].source_id == "2"


async def test_one_record(api: Api, kind: str) -> None:
    shelf = await Shelf.of(api, "one")
    shelf.raw["a/b ü"] = b'{"amount": 1.10}'
    await shelf.put(CUSTOMERS, "a/b ü", name="Ann")
    async with reading(kind, shelf) as client:
        found = await client.call("customers", "get", "main", "a/b ü", expand=["raw", "history"])
        assert (found.name, found.raw_data, found.history) == ("Ann", {"amount": 1.1}, ())
        with pytest.raises(NotFoundError, match="no such record"):
            await client.call("customers", "get", "main", "nobody")


async def test_what_can_not_be_asked_is_said(api: Api, kind: str) -> None:
    shelf = await Shelf.of(api, "said")
    async with reading(kind, shelf) as client:
        with pytest.raises(UnusableQueryError, match=r"not known; there are .*total_min") as refused:
            await client.all("invoices", emial="x")
        assert refused.value.status == 422
        with pytest.raises(UnusableQueryError, match="frame"):
            await client.all("invoices", fields=["total"])
        with pytest.raises(UnusableQueryError, match="float"):
            await client.all("invoices", total_min=0.1)
        with pytest.raises(UnusableQueryError, match="zone"):
            await client.all("invoices", updated_since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the fault


async def test_frames_are_exact(api: Api, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = await Shelf.of(api, "frames")
    await shelf.put(INVOICES, "1", total=LARGE, tax=Decimal("0.000000000001"), custom_fields={"a": [1]})
    await shelf.put(INVOICES, "2", total=Decimal(7), tax=None, tags=("x",), due_date=BEGAN)
    monkeypatch.setattr(core, "PAGE", 1)
    fields = ["source_id", "total", "tax", "due_date", "custom_fields", "tags", "is_active", "connection_id"]
    async with reading(kind, shelf) as client:
        frame = await client.call("invoices", "to_pandas", fields=fields)
        assert isinstance(frame, pd.DataFrame)
        assert list(frame["total"]) == [LARGE, Decimal(7)]
        assert frame["due_date"].dtype == "datetime64[us, UTC]"
        assert frame["custom_fields"][0] == {"a": [1]}

        table = await client.call("invoices", "to_arrow", fields=fields)
        assert isinstance(table, pa.Table)
        assert set(table.column_names) == set(fields)
        assert table["total"].to_pylist() == [LARGE, Decimal(7)]
        assert table["tax"].to_pylist() == [Decimal("0.000000000001"), None]
        assert table.schema.field("due_date").type == pa.timestamp("us", "UTC")
        assert table["custom_fields"].to_pylist() == ['{"a":[1]}', "{}"]
        assert table["tags"].to_pylist() == [[], ["x"]]

        polars = await client.call("invoices", "to_polars", fields=fields)
        assert isinstance(polars, pl.DataFrame)
        assert polars["total"].to_list() == [LARGE, Decimal(7)]
        assert polars["total"].sum() == LARGE + 7
        assert polars["due_date"].dtype == pl.Datetime("us", "UTC")


async def test_a_row_that_fits_no_model_is_named(api: Api, kind: str) -> None:
    shelf = await Shelf.of(api, "unfit")
    await shelf.put(CUSTOMERS, "1", email="ann@acme.com")
    async with api.db.workspace(shelf.tenant.id) as conn:
        await conn.execute("UPDATE unified_customers SET email = 'nobody'")
    async with reading(kind, shelf) as client:
        with pytest.raises(ClientError, match=r"^1 of customers does not fit .* in email"):
            await client.all("customers")
        frame = await client.call("customers", "to_pandas")
        assert list(frame["email"]) == ["nobody"]


async def test_an_empty_list_has_its_columns(api: Api, kind: str) -> None:
    shelf = await Shelf.of(api, "empty")
    async with reading(kind, shelf) as client:
        table = await client.call("invoices", "to_arrow", fields="source_id,total,due_date")
        assert [str(one) for one in table.schema.types] == [
            "string",
            "decimal128(38, 9)",
            "timestamp[us, tz=UTC]",
        ]
        frame = await client.call("customers", "to_pandas")
        assert (len(frame), frame["created_at"].dtype) == (0, "datetime64[us, UTC]")


async def test_a_workspace_that_is_not_there(api: Api, kind: str) -> None:
    if kind == "in process":
        with pytest.raises(NotFoundError, match="nobody"):
            local("nobody", database=api.db.url)


async def test_many_readers_in_one_process(api: Api, kind: str) -> None:
    first, second = await Shelf.of(api, "first"), await Shelf.of(api, "second")
    await first.put(CUSTOMERS, "1")
    await second.put(CUSTOMERS, "2")
    async with reading(kind, first) as one, reading(kind, second) as other:
        assert only((await one.all("customers"))[0]).source_id == "1"
        assert only((await other.all("customers"))[0]).source_id == "2"
