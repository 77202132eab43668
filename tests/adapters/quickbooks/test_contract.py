"""Intuit's published schema beside the stand-in's records, the bodies that the adapter writes, and what it reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from adapters.quickbooks import mapping
from tests.adapters.quickbooks.published import FOLDER, Published
from tests.adapters.quickbooks.test_conformance import QuickBooksBench
from unified.kit.streams import Origin
from unified.kit.writing.changes import Write
from unified.sandbox.quickbooks import QuickBooksSandbox
from unified.sandbox.quickbooks.api import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unified.sandbox.provider import Call, Reply

NOW = datetime(2026, 9, 21, tzinfo=UTC)
ORIGIN = Origin("quickbooks", UUID(int=1), NOW, NOW)
# What QuickBooks does not say, and what follows from two members together.
NOT_OF_QUICKBOOKS = {"deleted_at", "livemode", "remote_status", "paid_date", "pdf_url", "kind"}
ENTITIES = ("Customer", "Vendor", "Invoice", "CreditMemo", "Payment")

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="Intuit's published schema (../shared/data/quickbooks) is not here"
)


@pytest.fixture(scope="module")
def published() -> Published:
    return Published()


@pytest.fixture(scope="module")
def sandbox() -> QuickBooksSandbox:
    """A company in which some records of each kind were just made, changed and deleted."""
    sandbox = QuickBooksSandbox(now=NOW.timestamp())
    for entity in ENTITIES:
        first, second, *_ = sandbox.account().all(entity)
        sandbox.mutate("update", None, entity, first)
        sandbox.mutate("delete", None, entity, second)
        sandbox.mutate("create", None, entity)
    loser, winner, *_ = sandbox.account().all("Customer")
    sandbox.mutate("merge", None, loser, winner)
    return sandbox


@pytest.mark.parametrize("entity", ENTITIES)
def test_records_have_what_intuit_publishes(
    published: Published, sandbox: QuickBooksSandbox, entity: str
) -> None:
    rows = sandbox.account().rows[entity]
    assert [fault for row in rows for fault in published.faults(shown(rows, row), entity)] == []


def test_the_records_have_all_kinds_that_are_mapped(sandbox: QuickBooksSandbox) -> None:
    invoices = sandbox.account().all("Invoice").values()
    kinds = {line["DetailType"] for one in invoices for line in one["Line"]}
    assert kinds == {
        "SalesItemLineDetail", "GroupLineDetail", "DescriptionOnly", "DiscountLineDetail", "SubTotalLineDetail",
    }  # fmt: skip
    assert any(one["CustomField"] for one in invoices)
    assert any(one["ParentRef"] for one in sandbox.account().all("Customer").values())


async def test_bodies_have_what_intuit_publishes(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    save = QuickBooksSandbox._save

    def kept(self: QuickBooksSandbox, call: Call[Any]) -> Reply:
        sent.append(json.loads(call.body))
        return save(self, call)

    monkeypatch.setattr(QuickBooksSandbox, "_save", kept)
    whole = mapping.customer_body(mapping.to_customer(filled(published, "Customer"), ORIGIN))
    bare = mapping.customer_body(mapping.to_customer({"Id": "1", "DisplayName": "Bare"}, ORIGIN))
    with QuickBooksBench() as bench:  # routes are bound when it begins to serve
        ours, theirs, *_ = sorted(bench.ids("customers"))
        writes = [
            Write("create", None, whole, "k1"),
            Write("create", None, bare, "k2"),
            Write("update", ours, {**whole, "DisplayName": "Other"}, "k3"),
            Write("delete", theirs, {}, "k4"),
        ]
        async with bench.open() as adapter:
            outcomes = [one.outcome async for one in adapter.write("customers", writes)]
    assert outcomes == ["applied"] * 4
    assert whole.keys() == {
        "DisplayName", "PrimaryEmailAddr", "PrimaryPhone", "CompanyName", "Notes", "BillAddr", "ShipAddr",
    }  # fmt: skip
    assert len(sent) == 4
    assert [fault for body in sent for fault in published.faults(body, "Customer")] == []


def filled(published: Published, entity: str) -> dict[str, Any]:
    """A record with every member, and a line of every kind; texts that have to mean something do."""
    whole: dict[str, Any] = published.whole(entity)
    if "Line" in whole:
        whole["Line"] = list(of_every_kind(published))
    if "PrimaryEmailAddr" in whole:
        whole["PrimaryEmailAddr"]["Address"] = "ada@example.com"
    if "CurrencyRef" in whole:
        whole["CurrencyRef"]["value"] = "USD"
    return whole


def of_every_kind(published: Published) -> Iterator[dict[str, Any]]:
    """A line of each kind that Intuit publishes, with every member."""
    members = published.members("Line")
    details = {name: one.type for name, one in members.items() if one.choice is not None}
    whole = {name: value for name, value in published.whole("Line").items() if name not in details}
    for name, kind in details.items():
        word = "DescriptionOnly" if name == "DescriptionLineDetail" else name
        yield {**whole, "DetailType": word, name: published.whole(kind)}


class Watched(dict[str, Any]):
    """A record of a type that notes which members are asked for."""

    def __init__(
        self, value: dict[str, Any], kind: str, published: Published, asked: set[tuple[str, str]]
    ) -> None:
        members = published.members(kind)

        def held(name: str, part: Any) -> Any:
            return Watched(part, members[name].type, published, asked) if isinstance(part, dict) else part

        super().__init__(
            {
                name: [held(name, one) for one in part] if isinstance(part, list) else held(name, part)
                for name, part in value.items()
            }
        )
        self._kind, self._asked = kind, asked

    def get(self, key: str, default: Any = None) -> Any:
        self._asked.add((self._kind, key))
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self._asked.add((self._kind, key))
        return super().__getitem__(key)


@pytest.mark.parametrize("entity", ENTITIES)
def test_all_that_is_published_is_read_by_its_name_and_type(published: Published, entity: str) -> None:
    """A record with every member loses nothing that is mapped, and no member is asked for that Intuit does not have."""
    asked: set[tuple[str, str]] = set()
    read = {"Customer": mapping.to_customer, "Invoice": mapping.to_invoice}.get(entity, mapping.to_record)
    record: Any = read(Watched(filled(published, entity), entity, published, asked), ORIGIN)
    assert not [name for name in record.custom_fields if name.startswith("invalid_")]
    assert {name for name, value in record if value is None} <= NOT_OF_QUICKBOOKS
    asked -= {("Line", "id")}  # by which the kit names a line that can't be read
    # One mapping reads all that land in records: it asks each of them for what another one has.
    alike = ENTITIES if read is mapping.to_record else (entity,)
    unknown = [
        (kind, name)
        for kind, name in asked
        if not any(name in published.members(one) for one in (alike if kind == entity else (kind,)))
    ]
    assert unknown == []


def test_a_companys_own_field_is_read_whatever_it_holds(published: Published) -> None:
    held = {
        name: one.type for name, one in published.members("CustomField").items() if one.choice is not None
    }
    fields = [{"Name": name, name: published.whole(kind)} for name, kind in held.items()]
    raw = {"Id": "1", "DisplayName": "Ada", "CustomField": [*fields, {"Name": "Empty", "StringValue": ""}]}
    assert mapping.to_customer(raw, ORIGIN).custom_fields == {
        "StringValue": "text",
        "BooleanValue": True,
        "DateValue": "2026-03-31",
        "NumberValue": "12.5",
    }


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        ("Customer", {"Nme": "x"}, "Customer: Customer has no Nme"),
        ("Customer", {"Active": "true"}, "Customer.Active: 'true' is not xs:boolean"),
        (
            "Customer",
            {"BillAddr": "High St"},
            "Customer.BillAddr: 'High St' is not an object (PhysicalAddress)",
        ),
        ("Invoice", {"Line": {}}, "Invoice.Line: {} is not an array"),
        ("Invoice", {"TotalAmt": "1.50"}, "Invoice.TotalAmt: '1.50' is not xs:decimal"),
        (
            "Invoice",
            {"DueDate": "2026-03-31T00:00:00Z"},
            "Invoice.DueDate: '2026-03-31T00:00:00Z' is not xs:date",
        ),
        ("Invoice", {"Line": [{"LineNum": 0}]}, "Invoice.Line[0].LineNum: 0 is not xs:positiveInteger"),
        (
            "Invoice",
            {"CustomerRef": {"value": "1", "id": "1"}},
            "Invoice.CustomerRef: ReferenceType has no id",
        ),
        ("Invoice", {"PrintStatus": "Printed"}, "Invoice.PrintStatus: 'Printed' is not PrintStatusEnum"),
        ("GroupLineDetail", {}, "GroupLineDetail: GroupItemRef is missing"),
        (
            "Line",
            {"TaxLineDetail": {}, "DiscountLineDetail": {}},
            "Line: DiscountLineDetail beside TaxLineDetail",
        ),
    ],
)
def test_what_the_schema_does_not_have_is_found(
    published: Published, kind: str, value: Any, fault: str
) -> None:
    assert list(published.faults(value, kind)) == [fault]
