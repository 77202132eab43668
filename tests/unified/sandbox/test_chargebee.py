"""Chargebee's own client against the stand-in: it reads all, finds no field that it does not know, and is refused."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from unified.sandbox.chargebee import ChargebeeSandbox
from unified.sandbox.faults import Fault
from unified.sandbox.server import Server
from unified.sandbox.tables.api import RequestLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_790_000_000


@pytest.fixture(scope="module")
def chargebee() -> Any:
    """The client: it takes seconds to import, and each process collects all files."""
    return import_module("chargebee")


@pytest.fixture
def sandbox() -> ChargebeeSandbox:
    return ChargebeeSandbox(now=NOW)


@pytest.fixture
def client(sandbox: ChargebeeSandbox, chargebee: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(chargebee.Chargebee, "verify_ca_certs", False)
    with Server(sandbox) as server:
        made = chargebee.Chargebee("test_fake_acme", "acme-test")
        made.env.protocol, made.env.api_endpoint = "http", f"{server.url}/chargebee/api/v2"
        yield made


def response(noun: str, of: str = "") -> Any:
    """The client's class of a record, or of a part of it."""
    return getattr(import_module(f"chargebee.models.{noun}.responses"), f"{of or noun.title()}Response")


def everything(resource: Any, noun: str, **parameters: Any) -> dict[str, Any]:
    found, offset = {}, {}
    while True:
        answer = resource.list({"limit": 70, **parameters, **offset})
        found |= {getattr(one, noun).id: getattr(one, noun) for one in answer.list}
        if answer.next_offset is None:
            return found
        offset = {"offset": answer.next_offset}


@pytest.mark.parametrize("table", ["customers", "invoices", "events"])
def test_it_lists_every_record_with_fields_that_it_knows(
    sandbox: ChargebeeSandbox, client: Any, table: str
) -> None:
    found = everything(getattr(client, table[:-1].title()), table[:-1])
    records = sandbox.account().all(table)
    assert found.keys() == records.keys()
    known = {field.name for field in fields(response(table[:-1]))} | {"object"}
    for record in records.values():
        assert {name for name in record if not name.startswith("cf_")} <= known
        raw = found[record["id"]].raw_data
        assert raw == {name: value for name, value in record.items() if value is not None}
        for line in record.get("line_items", ()):
            assert line.keys() <= {field.name for field in fields(response("invoice", "LineItem"))} | {
                "object"
            }


def test_it_reads_changes_in_their_order_with_deleted_records(
    sandbox: ChargebeeSandbox, chargebee: Any, client: Any
) -> None:
    first, second, *_ = sandbox.account().all("customers")
    sandbox.clock.advance(seconds=60)
    client.Customer.update(second, {"first_name": "Zoë", "billing_address": {"city": "Köln"}})
    sandbox.clock.advance(seconds=60)
    client.Customer.delete(first)
    made = client.Customer.create({"email": "new@acme.example"}).customer.id
    asked = {
        "updated_at": {"after": NOW},
        "sort_by": {"asc": "updated_at"},
    }
    assert everything(client.Customer, "customer", **asked).keys() == {second, made}
    changed = everything(client.Customer, "customer", include_deleted=True, **asked)
    assert next(iter(changed)) == second
    assert (changed[first].deleted, changed[second].billing_address.city) == (True, "Köln")
    with pytest.raises(chargebee.InvalidRequestError, match="not found"):
        client.Customer.retrieve(first)
    kinds = [one.event_type for one in everything(client.Event, "event").values()][-3:]
    assert kinds == ["customer_changed", "customer_deleted", "customer_created"]


def test_it_finds_records_by_ids(sandbox: ChargebeeSandbox, client: Any) -> None:
    ids = list(sandbox.account().all("customers"))[:3]
    found = everything(client.Customer, "customer", id={"in": [*ids, "unknown"]})
    assert list(found) == ids


@pytest.mark.parametrize(
    "parameters", [{"limit": 101}, {"offset": "elsewhere"}, {"colour": "red"}, {"sort_by": {"asc": "email"}}]
)
def test_it_is_refused_what_is_not_documented(
    chargebee: Any, client: Any, parameters: dict[str, Any]
) -> None:
    with pytest.raises(chargebee.InvalidRequestError) as refused:
        client.Customer.list(parameters)
    assert refused.value.api_error_code == "param_wrong_value"
    assert refused.value.param is not None


def test_it_understands_the_refusals(sandbox: ChargebeeSandbox, chargebee: Any, client: Any) -> None:
    def refusal() -> Any:
        with pytest.raises(chargebee.APIError) as refused:
            client.Customer.list({})
        return refused.value

    client.env.api_key = "test_fake_wrong"
    assert (refusal().http_status_code, refusal().api_error_code) == (401, "api_authentication_failed")
    client.env.api_key = "test_fake_acme"
    sandbox.set_limits(RequestLimit(1, 60))
    client.Customer.list({})
    assert (refusal().api_error_code, refusal().http_headers["retry-after"]) == (
        "api_request_limit_exceeded",
        "1",
    )
    sandbox.set_limits(None)
    sandbox.faults.add(Fault("status", status=500))
    assert str(refusal()) == "Internal Server Error"
