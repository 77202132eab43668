"""Customers written over the API: form bodies, what Stripe refuses in them, and idempotency keys.

Source: https://docs.stripe.com/api/customers/create, …/update and …/delete;
https://docs.stripe.com/api/idempotent_requests. Not here: how a change happens (`unified.sandbox.stripe.account`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from unified.sandbox.clock import DAY, Clock
from unified.sandbox.provider import Call, Reply
from unified.sandbox.stripe.query import invalid, missing, stripe_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.stripe.account import StripeAccount

Record = dict[str, Any]

MAX_KEY = 255
KEY_KEPT = DAY
MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE = 50, 40, 500
_LENGTHS = {
    "email": 512, "name": 256, "phone": 20, "description": 5000, "business_name": 150, "individual_name": 150,
}  # fmt: skip
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_NEW: Record = {
    "address": None, "balance": 0, "currency": None, "customer_account": None, "default_source": None,
    "delinquent": False, "description": None, "discount": None, "email": None, "metadata": {}, "name": None,
    "next_invoice_sequence": 1, "phone": None, "preferred_locales": [], "shipping": None, "tax_exempt": "none",
}  # fmt: skip
"""What a customer has of which nothing was said; whatever else it needs is generated."""


def create_customer(call: Call[StripeAccount]) -> Reply:
    """`POST /v1/customers`."""
    fields = _fields(_NEW, _nested(call.body))
    return _encoded(call.account.create_customer(**{**_NEW, **fields}))


def update_customer(call: Call[StripeAccount]) -> Reply:
    """`POST /v1/customers/{id}`: what is not named stays. A write that changes nothing makes no event."""
    customer_id = _existing(call)
    customers = call.account.customers
    before = customers.get(customers.index_of(customer_id) or 0)
    fields = _fields(before, _nested(call.body))
    changed = {name: value for name, value in fields.items() if before.get(name) != value}
    return _encoded(call.account.update_customer(customer_id, **changed) if changed else before)


def delete_customer(call: Call[StripeAccount]) -> Reply:
    """`DELETE /v1/customers/{id}`: for good."""
    customer_id = _existing(call)
    call.account.delete_customer(customer_id)
    return _encoded({"id": customer_id, "object": "customer", "deleted": True})


@dataclass(frozen=True)
class _Answered:
    at: float
    request: bytes
    reply: Reply


class IdempotencyKeys:
    """The answers to requests that carried a key, for a day: the same request again gets the same answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answered: dict[tuple[str, str], _Answered] = {}

    def once(self, answer: Callable[[Call[StripeAccount]], Reply]) -> Callable[[Call[StripeAccount]], Reply]:
        """An endpoint that carries out a request of each key once. What it refuses is not kept."""

        def serve(call: Call[StripeAccount]) -> Reply:
            key = call.request.headers.get("idempotency-key")
            if key is None:
                return answer(call)
            if not 0 < len(key) <= MAX_KEY:
                raise stripe_error(400, f"Idempotency keys have at most {MAX_KEY} characters.")
            place = call.account.profile["id"], key
            request = hashlib.sha256(call.request.url.path.encode() + b"\n" + call.body).digest()
            known = self._answered.get(place)
            if known is None or self._clock.time() - known.at >= KEY_KEPT:
                reply = answer(call)
                self._answered[place] = _Answered(self._clock.time(), request, replace(reply))
                return reply
            if known.request != request:
                reason = "Keys for idempotent requests can only be used with the same parameters as at first."
                raise stripe_error(400, reason, kind="idempotency_error")
            return replace(known.reply, headers={"idempotent-replayed": "true"})

        return serve


def _existing(call: Call[StripeAccount]) -> str:
    customer_id: str = call.request.path_params["id"]
    index = call.account.customers.index_of(customer_id)
    if index is None or call.account.customers.is_gone(index):
        raise missing("customer", customer_id, "id", 404)
    return customer_id


def _nested(body: bytes) -> Record:
    """`address[line1]=…` as dictionaries within dictionaries."""
    document: Record = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        path = re.findall(r"[^\[\]]+", name)
        target = document
        for part in path[:-1]:
            inner = target.setdefault(part, {})
            if not isinstance(inner, dict):
                raise invalid(f"Invalid object: {part}", part)
            target = inner
        target[path[-1]] = value
    return document


def _fields(before: Record, given: Record) -> Record:
    """The fields that a request sets, checked; an empty text empties one."""
    fields: Record = {}
    for name, value in given.items():
        if name == "metadata":
            fields[name] = _metadata(before["metadata"], value)
        elif name == "address":
            fields[name] = _address(before["address"], value)
        elif name == "shipping":
            fields[name] = _shipping(value)
        elif name in _LENGTHS and isinstance(value, str):
            fields[name] = _text(name, value)
        else:
            raise stripe_error(
                400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name
            )
    return fields


def _text(name: str, value: str) -> str | None:
    if len(value) > _LENGTHS[name]:
        raise invalid(f"Invalid string: must be at most {_LENGTHS[name]} characters", name)
    if name == "email" and value and not _EMAIL.fullmatch(value):
        raise invalid(f"Invalid email address: {value}", name, "email_invalid")
    return value or None


def _address(before: Record | None, given: Any) -> Record | None:
    if given == "":
        return None
    if not isinstance(given, dict):
        raise invalid("Invalid object", "address")
    if unknown := [part for part in given if part not in _ADDRESS]:
        raise invalid(
            f"Received unknown parameter: {unknown[0]}", f"address[{unknown[0]}]", "parameter_unknown"
        )
    known = before or dict.fromkeys(_ADDRESS)
    return {**known, **{part: value or None for part, value in given.items()}}


def _shipping(given: Any) -> Record | None:
    if given == "":
        return None
    for part in ("address", "name"):
        if not isinstance(given, dict) or not given.get(part):
            raise invalid(
                f"Missing required param: shipping[{part}].", f"shipping[{part}]", "parameter_missing"
            )
    return {
        "address": _address(None, given["address"]),
        "name": given["name"],
        "phone": given.get("phone") or None,
    }


def _metadata(before: Record, given: Any) -> Record:
    """Keys are merged; an empty value removes one, an empty text for the whole removes all."""
    if given == "":
        return {}
    for key, value in given.items():
        if len(key) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE:
            raise invalid("Metadata keys have 40 characters at most, values 500.", f"metadata[{key}]")
    merged = {key: value for key, value in {**before, **given}.items() if value != ""}
    if len(merged) > MAX_METADATA:
        raise invalid(f"Metadata can have at most {MAX_METADATA} keys.", "metadata")
    return merged


def _encoded(record: Record) -> Reply:
    return Reply(msgspec.json.encode(record))
