"""What the settings of a generic webhook make of an event."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from adapters.webhook.adapter import WebhookAdapter
from unified.kit.declarations import ConnectionRef
from unified.kit.errors import ConfigurationError
from unified.kit.factory import build_adapter
from unified.kit.settings import UnusableSettingsError, checked_settings
from unified.kit.streams import RawRecord, State
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.sync.columns.rules import changed_columns, checked_columns

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
REF = ConnectionRef(UUID(int=1), UUID(int=2), "acme/hooks")


def states(body: bytes, event_type: str = "made", **settings: Any) -> dict[str, list[State]]:
    adapter = build_adapter("webhook", settings, {}, REF)
    found = adapter.changes([ReceivedEvent("key", event_type, NOW, body)])
    return {stream: list(carried) for stream, carried in found.states.items()}


def carried(source_id: str | None, body: bytes) -> State:
    return State(RawRecord(source_id, body), "key", NOW)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("", b'{"id": 7, "sum": 1.50}', [("7", b'{"id": 7, "sum": 1.50}')]),
        ("a.b", b'{"a": {"b": {"id": "x"}}}', [("x", b'{"id": "x"}')]),
        ("a", b'{"a": [{"id": 1}, {"id": null}, 5]}', [("1", b'{"id": 1}'), (None, b'{"id": null}'), (None, b"5")]),
        ("a", b'{"a": []}', []),
        ("a.b", b'{"a": 7}', [(None, b'{"a": 7}')]),
        ("a", b"[]", [(None, b"[]")]),
    ],
)  # fmt: skip
def test_records_are_taken_as_they_were_sent(path: str, body: bytes, expected: list[Any]) -> None:
    found = states(body, customers={"records": path, "id": "id"})
    assert found.get("customers", []) == [carried(*one) for one in expected]


def test_one_event_may_carry_records_of_several_streams() -> None:
    settings = {
        "customers": {"types": ["order.*"], "records": "buyer", "id": "no"},
        "invoices": {"types": ["order.paid"], "records": "bill", "id": {"paths": ["year", "no"], "by": "-"}},
        "records": {"types": ["other"], "id": "id"},
    }
    body = b'{"buyer": {"no": 7}, "bill": {"year": 2026, "no": 1}}'
    assert states(body, "order.paid", **settings) == {
        "customers": [carried("7", b'{"no": 7}')],
        "invoices": [carried("2026-1", b'{"year": 2026, "no": 1}')],
    }
    assert list(states(body, "order.made", **settings)) == ["customers"]
    assert states(body, "orders", **settings) == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"customers": {}},
        {"customers": {"id": "a["}},
        {"customers": {"id": "id", "tombstone": {"path": "id", "at": "a["}}},
        {"customers": {"id": "id", "recrods": "a"}},
        {"customers": {"id": ["id"]}},
        {"customers": "id"},
    ],
)
def test_settings_that_can_not_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UnusableSettingsError, match=r"customers"):
        checked_settings(WebhookAdapter, settings)


LEADS = {
    "customers": {"records": "data.customer", "id": "no", "tombstone": {"path": "gone.at"}},
    "invoices": {"id": {"paths": ["year", "$.no"], "by": "-"}},
}


@pytest.mark.parametrize(
    "field",
    ["data", "data.customer", "customer", "data.customer.no", "no", "gone", "customer.gone.at", "year"],
)
@pytest.mark.parametrize("stream", ["customers", "records"])
def test_what_leads_to_records_or_tells_them_apart_has_to_stay(stream: str, field: str) -> None:
    """In the rules of any stream: an event is cut by all of them."""
    with pytest.raises(ConfigurationError, match=f"{stream}.{field} has to stay"):
        checked_columns(WebhookAdapter, {stream: {field: "omit"}}, LEADS)


def test_what_else_an_event_holds_may_be_left_out() -> None:
    for field in ("data.other", "mail", "customer.mail", "gone.by", "number"):
        assert checked_columns(WebhookAdapter, {"customers": {field: "hash"}}, LEADS)
    assert checked_columns(WebhookAdapter, {"customers": {"no": "omit"}}, {})


def test_settings_that_lead_by_what_is_left_out_already_are_refused() -> None:
    now: Any = SimpleNamespace(settings=LEADS, columns={"customers": {"mail": "hash"}})
    by_mail = {**LEADS, "customers": {"records": "data.customer", "id": "mail"}}
    with pytest.raises(ConfigurationError, match=r"customers.mail has to stay"):
        changed_columns(WebhookAdapter, now, None, by_mail)
    assert changed_columns(WebhookAdapter, now, {}, by_mail) == {}
    assert changed_columns(WebhookAdapter, now, None, LEADS) is None
