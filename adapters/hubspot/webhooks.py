"""HubSpot's webhooks: signatures, the events in a delivery, what they mean, and events as unified ones.

Signatures: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation.
Events: https://developers.hubspot.com/docs/api-reference/latest/webhooks/guide. They come in an older form
(``contact.creation``) and a generic one (``object.creation`` with an ``objectTypeId``).

A payload holds one property at most, so an event only says which record to read again. That goes for deletions too:
the record may have been restored since, or belong to another of the accounts whose events an app gets at one URL.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from adapters.base import Changes, Origin, RawRecord
from adapters.errors import SignatureError
from adapters.hubspot.mapping import COMPANY_PROPERTIES
from adapters.webhooks import (
    Claim,
    Delivery,
    ReceivedEvent,
    Text,
    Verifier,
    header,
    hmac_sha256,
    read_list,
    read_time,
    seconds,
)
from unified_schema import UnifiedEvent

# What stands before a company's id where the contacts associated with it are to be fetched.
OF_COMPANY = "companies/"

# The only escapes that HubSpot undoes in a URL before it signs it.
_DECODED = re.compile("%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)")

# https://developers.hubspot.com/docs/guides/crm/understanding-the-crm#object-type-ids
_OBJECT_TYPES = {"0-1": "contact", "0-2": "company", "0-53": "invoice"}
_STREAMS = {"contact": "customers", "invoice": "invoices"}

_GENERIC = "object"
_USER = "userId:"

# What tells two changes apart beside the fields that a key spells out. Never attemptNumber: it counts deliveries.
_CHANGE = (
    "subscriptionType", "objectTypeId", "propertyName", "propertyValue", "changeFlag", "associationType",
    "associationTypeId", "associationCategory", "associationRemoved", "fromObjectId", "fromObjectTypeId", "toObjectId",
    "toObjectTypeId", "primaryObjectId", "mergedObjectIds", "newObjectId", "messageId",
)  # fmt: skip


class _Event(msgspec.Struct, rename="camel"):
    """What a key needs of an event; ids are numbers, and text where HubSpot has changed its mind."""

    subscription_type: Text
    occurred_at: int
    portal_id: int
    event_id: int | Text | None = None
    subscription_id: int | Text | None = None
    object_id: int | Text | None = None


class _Verifier(Verifier):
    """What the versions have in common: a delivery is a list of up to a hundred events."""

    def read_events(self, body: bytes, headers: Mapping[str, bytes]) -> list[ReceivedEvent]:
        """One event per element, each under a key of its own: ``eventId`` is not unique."""
        read_list(body, _Event)
        return [
            ReceivedEvent(event_key(event), event["subscriptionType"], _occurred_at(event), raw)
            for event, raw in read_list(body, dict[str, Any])
        ]


class HubSpotVerifier(_Verifier):
    """Version 3: HMAC over method, URL, body and the time in milliseconds."""

    name = "hubspot"

    def claim(self, delivery: Delivery) -> Claim:
        """Method, URL, body, time."""
        sent_at = header(delivery, "x-hubspot-request-timestamp")
        url = _DECODED.sub(lambda escape: unquote(escape[0]), delivery.url)
        message = b"%b%b%b%b" % (delivery.method.encode(), url.encode(), delivery.body, sent_at)
        return Claim([header(delivery, "x-hubspot-signature-v3")], message, seconds(sent_at, per_second=1000))

    def sign(self, key: bytes, message: bytes) -> bytes:
        """Base64."""
        return hmac_sha256(key, message, "base64")


class HubSpotV1Verifier(_Verifier):
    """Version 1: a hash of secret and body. Only for connections that ask for it: it can be replayed."""

    name = "hubspot_v1"
    version = b"v1"

    def claim(self, delivery: Delivery) -> Claim:
        """The message, if the delivery says that it is signed in this version."""
        if header(delivery, "x-hubspot-signature-version") != self.version:
            raise SignatureError
        return Claim([header(delivery, "x-hubspot-signature")], self.message(delivery))

    def message(self, delivery: Delivery) -> bytes:
        """The body."""
        return delivery.body

    def sign(self, key: bytes, message: bytes) -> bytes:
        """Hex. No HMAC: who knows one signature can extend its message, but never to another JSON text."""
        return hashlib.sha256(key + message).hexdigest().encode()


class HubSpotV2Verifier(HubSpotV1Verifier):
    """Version 2: a hash of secret, method, URL and body. As replayable as version 1."""

    name = "hubspot_v2"
    version = b"v2"

    def message(self, delivery: Delivery) -> bytes:
        """Method, URL, body."""
        return b"%b%b%b" % (delivery.method.encode(), delivery.url.encode(), delivery.body)


def event_key(raw: Mapping[str, Any]) -> str:
    """What names an event, however often it is delivered.

    Args:
        raw: The event, decoded.
    """
    change = msgspec.json.encode([raw.get(name) for name in _CHANGE], order="sorted")
    named = (raw.get(name) for name in ("portalId", "subscriptionId", "objectId", "occurredAt", "eventId"))
    digest = hashlib.sha256(change).hexdigest()[:16]
    return ":".join(("" if part is None else str(part)) for part in (*named, digest))


def changes(events: Sequence[ReceivedEvent]) -> Changes:
    """What events mean; see :meth:`adapters.base.BaseAdapter.changes`.

    A company that is renamed, merged or restored means its contacts, which carry its name.
    """
    fetch: dict[str, dict[str, None]] = {stream: {} for stream in _STREAMS.values()}
    for received in events:
        raw = msgspec.json.decode(received.body)
        for kind, object_id in _subjects(raw) if isinstance(raw, dict) else ():
            if kind in _STREAMS:
                fetch[_STREAMS[kind]][object_id] = None
            elif kind == "company" and _moves_contacts(raw):
                fetch["customers"][OF_COMPANY + object_id] = None
    return Changes(
        records={"events": [RawRecord(event.dedupe_key, event.body) for event in events]},
        fetch={stream: list(ids) for stream, ids in fetch.items()},
    )


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map an event. Pure; the record's id is the event's key."""
    subject = next(_subjects(raw), (None, None))
    occurred_at = _occurred_at(raw)
    source = raw.get("sourceId")
    return UnifiedEvent(
        **origin.identify(event_key(raw)),
        created_at=occurred_at,
        custom_fields={"portal_id": raw["portalId"]},
        raw_data=raw,
        event_type=raw["subscriptionType"],
        event_category=_category(raw),
        payload=raw,
        user_id=source.removeprefix(_USER) if isinstance(source, str) and source.startswith(_USER) else None,
        resource_type=subject[0] or _category(raw),
        resource_id=subject[1],
        occurred_at=occurred_at,
    )


def _subjects(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and id of every record that an event is about, as far as its kind is known; the main one first."""
    kind = _category(raw)
    named = [(kind, raw.get("newObjectId")), (kind, raw.get("primaryObjectId")), (kind, raw.get("objectId"))]
    merged = raw.get("mergedObjectIds")
    named += [(kind, one) for one in merged] if isinstance(merged, list) else []
    ends = str(raw.get("associationType", "")).lower().split("_to_")
    for end, otherwise in (("from", ends[0]), ("to", ends[-1])):
        named.append((_OBJECT_TYPES.get(raw.get(f"{end}ObjectTypeId", ""), otherwise), raw.get(f"{end}ObjectId")))
    for one, object_id in named:
        # Ids are whole numbers; whatever else stands there would make a whole batch of a fetch fail.
        if one and str(object_id).isdecimal():
            yield one, str(object_id)


def _category(raw: Mapping[str, Any]) -> str | None:
    """``contact``, ``company``, …; None for a generic event about an object that we do not know."""
    family = str(raw["subscriptionType"]).partition(".")[0]
    return _OBJECT_TYPES.get(raw.get("objectTypeId", "")) if family == _GENERIC else family


def _moves_contacts(raw: Mapping[str, Any]) -> bool:
    change = str(raw["subscriptionType"]).partition(".")[2]
    return change in {"merge", "restore"} or (
        change == "propertyChange" and raw.get("propertyName") in COMPANY_PROPERTIES
    )


def _occurred_at(raw: Mapping[str, Any]) -> Any:
    return read_time(raw["occurredAt"], per_second=1000)
