"""Stripe's webhooks: their signature (https://docs.stripe.com/webhooks/signature), and what an event means.

A payload is rendered in the API version of its endpoint, with ten lines of an invoice at most. So an event
only says that an object changed, and the object is read again; deletions alone are taken from the payload.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from adapters.stripe.secret import without_secret
from unified.kit.errors import ConfigurationError
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.owners import Owner
from unified.kit.webhooks.payloads import Text, fields_of, read_json, read_time
from unified.kit.webhooks.signatures import (
    PROBE_TYPE,
    SIGNATURE,
    Claim,
    Probe,
    SharedSecretVerifier,
    header,
    hmac_sha256,
    seconds,
)

# Which stream an object belongs to.
_STREAMS = {
    name.removesuffix("s"): name
    for name in (
        "customers", "invoices", "subscriptions", "charges", "refunds", "payment_intents", "products", "prices",
        "payouts", "credit_notes", "disputes",
    )
}  # fmt: skip


class _Envelope(msgspec.Struct):
    """What every event has (https://docs.stripe.com/api/events/object); a v2 event's time is ISO 8601."""

    id: Text
    type: Text
    created: int | str


class _Subject(msgspec.Struct):
    id: Any = None
    object: Any = None


class _Data(msgspec.Struct):
    object: _Subject | None = None


class _Related(msgspec.Struct):
    id: Any = None
    type: Any = None


class _Scope(msgspec.Struct):
    account: Any = None
    context: Any = None
    livemode: Any = None


class _Event(msgspec.Struct):
    data: _Data | None = None
    related_object: _Related | None = None

    @property
    def subject(self) -> _Subject:
        """What it is about: whole in a snapshot event, by its id in a thin one."""
        if self.data is not None and self.data.object is not None:
            return self.data.object
        related = self.related_object or _Related()
        return _Subject(related.id, related.type)


_EVENT = msgspec.json.Decoder(_Event)
_SCOPE = msgspec.json.Decoder(_Scope)

LEADING = fields_of(_Envelope, _Event, _Scope, _Subject)
"""By what its events are known, dated and led to records; see :attr:`unified.kit.adapter.BaseAdapter.leading`."""


class StripeVerifier(SharedSecretVerifier):
    """``Stripe-Signature: t=…,v1=…``, one ``v1`` per active secret while the endpoint's secret is rolled."""

    name = "stripe"

    def claim(self, delivery: Delivery) -> Claim:
        """``{t}.{body}``; signatures of other schemes, as ``v0`` of test events, are not for us."""
        elements = [part.partition(b"=") for part in header(delivery, "stripe-signature").split(b",")]
        sent_at = b"".join(value for name, _, value in elements if name == b"t")
        signatures = [value for name, _, value in elements if name == b"v1"]
        return Claim(signatures, b"%b.%b" % (sent_at, delivery.body), seconds(sent_at))

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """Time and signature."""
        return {"stripe-signature": f"t={probe.seconds},v1={SIGNATURE}"}

    def probe_body(self, probe: Probe) -> bytes:
        """An event about no object."""
        said = {"id": f"evt_{probe.id}", "object": "event", "type": PROBE_TYPE, "created": probe.seconds}
        mode = {} if probe.livemode is None else {"livemode": probe.livemode}
        return msgspec.json.encode({**said, **mode, "data": {"object": {}}})

    def key(self, secret: str) -> bytes:
        """The whole text, ``whsec_`` included."""
        if not secret.startswith("whsec_"):
            raise ConfigurationError("a signing secret of a Stripe endpoint starts with whsec_")
        return secret.encode()

    def sign(self, key: bytes, message: bytes) -> bytes:
        """Hex."""
        return hmac_sha256(key, message)

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event, known by its id, which is the same when it is polled."""
        event = read_json(delivery.body, _Envelope)
        body = without_secret("events", delivery.body)
        return [ReceivedEvent(event.id, event.type, read_time(event.created), body)]


def owner(event: ReceivedEvent) -> Owner:
    """The connected account that an event is of, and its mode; it names no account where that is the endpoint's own.

    ``account`` of a snapshot (https://docs.stripe.com/connect/webhooks), ``context`` of a thin event, which may be a
    path of ids (https://docs.stripe.com/context).
    """
    try:
        scope = _SCOPE.decode(event.body)
    except (msgspec.MsgspecError, UnicodeError):
        return Owner()
    named = scope.account or scope.context
    account = named.rpartition("/")[2] if isinstance(named, str) else None
    return Owner(account or None, scope.livemode if isinstance(scope.livemode, bool) else None)


def subjects(event: ReceivedEvent) -> Iterable[Subject]:
    """The object that an event is about; see :meth:`unified.kit.adapter.BaseAdapter.subjects`.

    A preview (``invoice.upcoming``) is not an invoice yet. Stripe brings nothing back: a deletion is final.
    What a thin event names (https://docs.stripe.com/event-destinations#thin-events) is read again, whatever happened to
    it.
    """
    subject = _EVENT.decode(event.body).subject
    stream = _STREAMS.get(subject.object) if isinstance(subject.object, str) else None
    if stream is None or not isinstance(subject.id, str):
        return
    is_gone = event.event_type == f"{subject.object}.deleted"
    if event.event_type != "invoice.upcoming":
        yield Subject(stream, subject.id, deleted_at=event.occurred_at if is_gone else None)
