"""What the Stripe stand-in answers fits Stripe's published types, today's and those of 2024-06-20."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from unified.sandbox.stripe import StripeSandbox
from unified.sandbox.stripe.objects import KINDS, Kind

PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "stripe"
NOW = 1_790_000_000

pytestmark = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="Stripe's published types (../shared/data/stripe) are not on this machine"
)


@pytest.fixture(scope="module")
def types() -> dict[str, dict[str, dict[str, Any]]]:
    fields: dict[str, dict[str, dict[str, Any]]] = json.loads((PUBLISHED / "types-latest.json").read_text())
    return fields


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The 2024-06-20 OpenAPI file as JSON Schema: OpenAPI's `nullable` and open enums rewritten."""
    document: dict[str, Any] = json.loads((PUBLISHED / "slim-2024-06-20.json").read_text())

    def rewritten(node: Any) -> Any:
        if isinstance(node, list):
            return [rewritten(one) for one in node]
        if not isinstance(node, dict):
            return node
        new = {name: rewritten(value) for name, value in node.items()}
        return {"anyOf": [new, {"type": "null"}]} if new.pop("nullable", False) is True else new

    result: dict[str, Any] = rewritten(document)
    return result


@pytest.fixture(scope="module")
def sandbox() -> StripeSandbox:
    return StripeSandbox(customers=2500, invoices=2500, now=NOW)


def check(record: dict[str, Any], fields: dict[str, dict[str, Any]], label: str) -> None:
    missing = {name for name, one in fields.items() if not one["optional"]} - set(record)
    unknown = set(record) - set(fields)
    assert not missing, f"{label} lacks {missing}"
    assert not unknown, f"{label} has {unknown}, which Stripe does not"
    for name, value in record.items():
        assert value is not None or fields[name]["nullable"], f"{label}.{name} is null"
        expected = {"number": int, "string": str, "boolean": bool}.get(
            fields[name]["type"].removesuffix(" | null")
        )
        if value is not None and expected:
            assert isinstance(value, expected), f"{label}.{name} is {value!r}"


def test_customers_and_deleted_customers(sandbox: StripeSandbox, types: dict[str, Any]) -> None:
    for customer in sandbox.account().all_customers():
        check(customer, types["Customer"], customer["id"])
    check(
        {"id": "cus_x", "object": "customer", "deleted": True}, types["DeletedCustomer"], "deleted customer"
    )


def test_invoices_and_lines(sandbox: StripeSandbox, types: dict[str, Any]) -> None:
    for invoice in sandbox.account().all_invoices():
        check(invoice, types["Invoice"], invoice["id"])
        for line in invoice["lines"]["data"]:
            check(line, types["InvoiceLineItem"], line["id"])


def test_account(sandbox: StripeSandbox, types: dict[str, Any]) -> None:
    check(sandbox.account().profile, types["Account"], "account")


def test_events_and_their_payloads(sandbox: StripeSandbox, types: dict[str, Any]) -> None:
    for event in sandbox.account().all_events():
        check(event, types["EventBase"], event["id"])
        payload = event["data"]["object"]
        if event["api_version"] == "2024-06-20" or event["type"] in ("invoice.upcoming", "product.updated"):
            continue
        check(payload, types[payload["object"].capitalize()], event["type"])


def test_old_payloads_fit_the_old_schema(sandbox: StripeSandbox, schema: dict[str, Any]) -> None:
    checked = set()
    for event in sandbox.account().all_events():
        payload = event["data"]["object"]
        if event["api_version"] != "2024-06-20" or payload["object"] not in ("invoice", "customer"):
            continue
        root = {**schema, "$ref": f"#/components/schemas/{payload['object']}"}
        jsonschema.Draft202012Validator(root).validate(payload)
        allowed = set(schema["components"]["schemas"][payload["object"]]["properties"])
        assert set(payload) <= allowed
        checked.add(event["type"])
    assert {"customer.created", "invoice.paid", "invoice.created"} <= checked


def test_errors_fit_the_schema(sandbox: StripeSandbox, schema: dict[str, Any]) -> None:
    root = {**schema, "$ref": "#/components/schemas/error"}
    for error in (
        sandbox.status_error(429, None),
        sandbox.status_error(409, "lock_timeout"),
        sandbox.status_error(500, None),
        sandbox.revoked_error("sk_test_fake_acme"),
        sandbox.unknown_path_error("GET", "/v1/nothing"),
    ):
        jsonschema.Draft202012Validator(root).validate(json.loads(error.reply.content))


# What basil took away (https://docs.stripe.com/changelog/basil).
_GONE = {
    "subscription": {"current_period_end", "current_period_start"},
    "credit_note": {"tax_amounts"},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_further_objects_have_what_stripe_requires(sandbox: StripeSandbox, whole: Any, kind: Kind) -> None:
    published = whole["components"]["schemas"][kind.object]
    known = {"string": str, "integer": int, "boolean": bool, "array": list}
    for record in sandbox.account().all_objects(kind.name):
        assert set(published["required"]) - set(record) == _GONE.get(kind.object, set())
        for name, value in record.items():
            of = published["properties"].get(name, {})
            assert value is not None or of.get("nullable", True), f"{kind.name}.{name} is null"
            if value is not None and of.get("type") in known:
                assert isinstance(value, known[of["type"]]), f"{kind.name}.{name} is {value!r}"


@pytest.fixture(scope="module")
def whole() -> Any:
    """All of the 2024-06-20 OpenAPI file."""
    return json.loads((PUBLISHED / "spec3.2024-06-20.json").read_text())
