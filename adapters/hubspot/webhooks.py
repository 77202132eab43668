"""HubSpot's webhooks: signatures, the events in a delivery, what they mean, and events as unified ones.

Signatures: https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation.
Events: https://developers.hubspot.com/docs/api-reference/latest/webhooks/guide. They come in an older form
(``contact.creation``) and a generic one (``object.creation`` with an ``objectTypeId``).

A payload holds one property at most, so an event only says which record to read again. That goes for
deletions too: the record may have been restored since. An app has one URL for all accounts that use it, so each event
names its portal.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec

from adapters.hubspot.mapping import COMPANY_PROPERTIES
from unified.kit.errors import MappingError, PayloadError, SignatureError
from unified.kit.streams import Origin
from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.owners import Owner
from unified.kit.webhooks.payloads import Text, fields_of, read_each, read_time
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
from unified.schema import UnifiedEvent

# What stands before a company's id where the contacts associated with it are to be fetched.
OF_COMPANY = "companies/"

# The only escapes that HubSpot undoes in a URL before it signs it.
_DECODED = re.compile("%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)")

# https://developers.hubspot.com/docs/guides/crm/understanding-the-crm#object-type-ids
_OBJECT_TYPES = {
    "0-1": "contact", "0-2": "company", "0-3": "deal", "0-5": "ticket", "0-7": "product", "0-8": "line_item",
    "0-14": "quote", "0-53": "invoice",
}  # fmt: skip
_STREAMS = {
    "contact": "customers", "invoice": "invoices", "company": "companies", "deal": "deals", "ticket": "tickets",
    "product": "products", "line_item": "line_items", "quote": "quotes",
}  # fmt: skip

# Types that an account has defined itself.
_CUSTOM_TYPE = re.compile(r"2-[0-9]{1,18}")

_GENERIC = "object"
_USER = "userId:"
# ``contact.privacyDeletion``; ``contact.deletion`` comes beside it
# (https://developers.hubspot.com/changelog/now-live-webhooks-now-support-privacy-compliant-contact-deletions).
_ERASED = "privacyDeletion"
# What changes the name that a company's contacts carry, beside a change of that property.
_RENAMING = ("merge", "restore")

# What distinguishes two changes besides the fields that a key names. Never attemptNumber: it counts deliveries.
_CHANGE = (
    "subscriptionType", "objectTypeId", "propertyName", "propertyValue", "changeFlag", "associationType",
    "associationTypeId", "associationCategory", "associationRemoved", "fromObjectId", "fromObjectTypeId",
    "toObjectId", "toObjectTypeId", "primaryObjectId", "mergedObjectIds", "newObjectId", "messageId",
)  # fmt: skip


# Numbers, and text where HubSpot has changed its mind; bounded, as they become part of a key.
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | Text


class _Event(msgspec.Struct, rename="camel"):
    """An event, as far as anything here rests on its form."""

    subscription_type: Text
    occurred_at: int
    portal_id: _Id
    event_id: _Id | None = None
    subscription_id: _Id | None = None
    object_id: _Id | None = None
    object_type_id: Text | None = None
    property_name: str | None = None
    source_id: str | None = None
    primary_object_id: _Id | None = None
    new_object_id: _Id | None = None
    merged_object_ids: list[_Id] = []
    association_type: str = ""
    from_object_id: _Id | None = None
    from_object_type_id: Text | None = None
    to_object_id: _Id | None = None
    to_object_type_id: Text | None = None

    @property
    def family(self) -> str | None:
        """``contact``, ``company``, …; None for a generic event about a kind of object not known here."""
        family = self.subscription_type.partition(".")[0]
        return _OBJECT_TYPES.get(self.object_type_id or "") if family == _GENERIC else family

    @property
    def change(self) -> str:
        """``creation``, ``propertyChange``, …."""
        return self.subscription_type.partition(".")[2]

    @property
    def time(self) -> datetime:
        """When it happened."""
        return read_time(self.occurred_at, per_second=1000)

    def subjects(self) -> Iterator[tuple[str, str]]:
        """Kind and id of every record that it is about, as far as its kind is known; the main one first."""
        return ((kind, object_id) for kind, _, object_id in self._records() if kind)

    def custom_objects(self) -> Iterator[str]:
        """The same of records of custom objects: ids under which the stream keeps them."""
        return (
            f"{name}:{object_id}" for _, name, object_id in self._records() if _CUSTOM_TYPE.fullmatch(name)
        )

    def _records(self) -> Iterator[tuple[str | None, str, str]]:
        """Kind, type and id of every record that it is about, as far as they are said."""
        main = (self.new_object_id, self.primary_object_id, self.object_id, *self.merged_object_ids)
        ends = self.association_type.lower().split("_to_")  # CONTACT_TO_COMPANY
        source, target = self.from_object_type_id or "", self.to_object_type_id or ""
        named = (
            *((self.family, self.object_type_id or "", one) for one in main),
            (_OBJECT_TYPES.get(source, ends[0]), source, self.from_object_id),
            (_OBJECT_TYPES.get(target, ends[-1]), target, self.to_object_id),
        )
        for kind, name, object_id in named:
            # An id that is not a number would make HubSpot refuse the whole batch in which it is asked for.
            if str(object_id).isdecimal() and str(object_id).isascii():
                yield kind, name, str(object_id)


class _Scope(msgspec.Struct, rename="camel"):
    portal_id: _Id | None = None


_EVENT = msgspec.json.Decoder(_Event)
_SCOPE = msgspec.json.Decoder(_Scope)

LEADING = fields_of(_Event)
"""By what its events are known, dated and led to records; see :attr:`unified.kit.adapter.BaseAdapter.leading`."""


class _Verifier(SharedSecretVerifier):
    """What the versions have in common: a delivery is a list of up to a hundred events."""

    most_events = 100

    def probe_body(self, probe: Probe) -> bytes:
        """An event of the account about no record."""
        portal = int(probe.account) if probe.account and probe.account.isdecimal() else 0
        said = {"subscriptionType": PROBE_TYPE, "occurredAt": probe.milliseconds}
        return msgspec.json.encode([{**said, "portalId": portal, "messageId": probe.id}])

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event per element, each under a key of its own: ``eventId`` is not unique."""

        def received(event: _Event, raw: bytes) -> ReceivedEvent:
            return ReceivedEvent(
                event_key(msgspec.json.decode(raw)), event.subscription_type, event.time, raw
            )

        return read_each(delivery.body, _Event, received)


class HubSpotVerifier(_Verifier):
    """Version 3: HMAC over method, URL, body and the time in milliseconds."""

    name = "hubspot"

    def claim(self, delivery: Delivery) -> Claim:
        """Method, URL, body, time."""
        sent_at = header(delivery, "x-hubspot-request-timestamp")
        url = _DECODED.sub(lambda escape: unquote(escape[0]), delivery.url)
        message = b"%b%b%b%b" % (delivery.method.encode(), url.encode(), delivery.body, sent_at)
        return Claim([header(delivery, "x-hubspot-signature-v3")], message, seconds(sent_at, per_second=1000))

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """Time and signature."""
        return {
            "x-hubspot-request-timestamp": str(probe.milliseconds),
            "x-hubspot-signature-v3": SIGNATURE,
        }

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

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """Version and signature."""
        del probe
        return {"x-hubspot-signature-version": self.version.decode(), "x-hubspot-signature": SIGNATURE}

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
    # A mapped record has lost its U+0000 (BaseAdapter.map_record), and keeps its key all the same.
    change = msgspec.json.encode([raw.get(name) for name in _CHANGE]).replace(b"\\u0000", b"")
    named = (raw.get(name) for name in ("portalId", "subscriptionId", "objectId", "occurredAt", "eventId"))
    digest = hashlib.sha256(change).hexdigest()[:16]
    return ":".join(("" if part is None else str(part)) for part in (*named, digest))


def owner(event: ReceivedEvent) -> Owner:
    """The portal that an event is of: an app has one URL for all portals that use it."""
    try:
        portal_id = _SCOPE.decode(event.body).portal_id
    except (msgspec.MsgspecError, UnicodeError):
        return Owner()
    return Owner(None if portal_id is None else str(portal_id))


def subjects(event: ReceivedEvent) -> Iterable[Subject]:
    """The records that an event is about; see :meth:`unified.kit.adapter.BaseAdapter.subjects`.

    A company that is renamed, merged or restored means its contacts, which carry its name. A contact that was deleted
    for privacy can't be restored
    (https://knowledge.hubspot.com/privacy-and-consent/how-do-i-perform-a-gdpr-delete-in-hubspot).
    """
    said = _EVENT.decode(event.body)
    renames = said.change in _RENAMING or (
        said.change == "propertyChange" and said.property_name in COMPANY_PROPERTIES
    )
    is_erased = said.change == _ERASED
    for kind, object_id in said.subjects():
        if kind in _STREAMS:
            deleted_at = said.time if is_erased else None
            yield Subject(_STREAMS[kind], object_id, deleted_at, erase=is_erased)
        if kind == "company" and renames:
            yield Subject("customers", OF_COMPANY + object_id)

    for source_id in said.custom_objects():
        yield Subject("custom_objects", source_id)


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map an event. Pure; the record's id is the event's key.

    Raises:
        MappingError: If it is not what HubSpot documents.
    """
    try:
        event = msgspec.convert(raw, _Event)
        happened = event.time
    except (msgspec.ValidationError, PayloadError) as error:
        raise MappingError(f"the event has an unexpected form: {error}") from None
    kind, object_id = next(event.subjects(), (event.family, None))
    user = event.source_id or ""
    return UnifiedEvent(
        **origin.identify(event_key(raw)),
        created_at=happened,
        custom_fields={"portal_id": event.portal_id},
        raw_data=raw,
        event_type=event.subscription_type,
        event_category=event.family,
        payload=raw,
        user_id=user.removeprefix(_USER) if user.startswith(_USER) else None,
        resource_type=kind,
        resource_id=object_id,
        occurred_at=happened,
    )
