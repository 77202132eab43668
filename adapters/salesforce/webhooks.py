"""What Salesforce sends by HTTP when a record changes: Outbound Messages, and a flow's own HTTP call.

Both are hints. An Outbound Message is SOAP that nobody signs: anybody who knows the endpoint's address and the
organization's id can send one. It holds the latest state of a record, comes in any order and again, so nothing of it is
believed but which record to read again. A flow proves a password.
https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging_understanding.htm

Change Data Capture goes through Salesforce's Pub/Sub API (gRPC), and is out of reach of HTTP.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import msgspec
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from adapters.salesforce.objects import full_id, number_of
from unified.kit.errors import ConfigurationError, MappingError, PayloadError, SignatureError
from unified.kit.streams import Origin
from unified.kit.webhooks.basic import BasicVerifier
from unified.kit.webhooks.deliveries import Answer, Delivery, ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.payloads import Text, read_json, read_time
from unified.kit.webhooks.signatures import SIGNATURE, Claim, Probe, SharedSecretVerifier
from unified.schema.event import UnifiedEvent

_OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_MOST = 100

_ACK = b"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>\
<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>\
</soapenv:Body></soapenv:Envelope>"""


_PROBED = "UnifiedTest"
_PROBE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>\
<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>{organization}</OrganizationId>\
<Notification><Id>{id}</Id><sObject xsi:type="sf:UnifiedTest" xmlns:sf="urn:sobject.enterprise.soap.sforce.com" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><sf:Id>{id}</sf:Id><sf:SystemModstamp>{at}</sf:SystemModstamp>\
</sObject></Notification></notifications></soapenv:Body></soapenv:Envelope>"""


class Change(msgspec.Struct):
    """One change, as it is kept: what a notification or a flow says, without a session's id."""

    organization: Text
    object: Text
    id: Text
    notification: Text | None = None
    fields: dict[str, Any] = {}
    at: Text | None = None

    @property
    def key(self) -> str:
        """The same whenever this change is sent, and another one for each other change."""
        return self.notification or f"{self.organization}:{self.object}:{self.id}:{self.at}"

    @property
    def changed_at(self) -> datetime | None:
        """When the record changed, or the flow ran; None where it can't be read."""
        said = self.at or self.fields.get("SystemModstamp")
        try:
            return read_time(said) if isinstance(said, str) else None
        except PayloadError:
            return None


_CHANGE = msgspec.json.Decoder(Change)


class OutboundMessageVerifier(SharedSecretVerifier):
    """Outbound Messages. The secret is the organization's id, fifteen or eighteen characters beginning with 00D.

    The sender comes again until the answer holds ``<Ack>true</Ack>``, for a day at most.
    """

    name = "salesforce"
    most_events = _MOST
    stored = Answer(200, _ACK, {"content-type": "text/xml; charset=utf-8"})

    def claim(self, delivery: Delivery) -> Claim:
        """The organization that the message says it is from."""
        try:
            found = _text(_notifications(delivery), "OrganizationId")
        except PayloadError:
            raise SignatureError from None
        return Claim([full_id(found).encode("latin-1", "replace")], b"")

    def key(self, secret: str) -> bytes:
        """The id, of eighteen characters."""
        if not secret.startswith("00D") or number_of(secret) is None:
            raise ConfigurationError(
                "the secret of Salesforce's Outbound Messages is the organization's id, which begins with 00D "
                "(Setup, Company Information)"
            )
        return full_id(secret).encode()

    def probe_body(self, probe: Probe) -> bytes:
        """A message about an object that no stream reads; the organization's id, which proves it, stands in it."""
        return _PROBE.format(organization=SIGNATURE, id=probe.id, at=probe.at.isoformat()).encode()

    def sign(self, key: bytes, message: bytes) -> bytes:
        """The id itself: nothing is signed."""
        del message
        return key

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """An event for each notification, known by the notification's id, which stays when it is sent again."""
        root = _notifications(delivery)
        organization = full_id(_text(root, "OrganizationId"))
        found = [_notified(one, organization) for one in root.iter(f"{_OUTBOUND}Notification")]
        if not found or len(found) > _MOST:
            raise PayloadError(f"an Outbound Message has 1 to {_MOST} notifications")
        return found


class FlowVerifier(BasicVerifier):
    """A flow's HTTP call, through a named credential with user and password; its body is JSON.

    ``{"organization": "00D…", "object": "Contact", "id": "003…", "at": "2026-11-28T16:20:00Z"}``, of the flow's
    ``$Organization.Id`` and ``$Flow.CurrentDateTime``: without a time two changes of a record would be one event.
    """

    name = "salesforce_flow"

    def probe_body(self, probe: Probe) -> bytes:
        """A change of an object that no stream reads."""
        said = {"organization": probe.account or probe.id, "object": _PROBED, "id": probe.id}
        return msgspec.json.encode({**said, "at": probe.at.isoformat()})

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event, known by its record and time."""
        change = read_json(delivery.body, Change)
        if change.at is None:
            raise PayloadError("a flow's call has to say when it was made: at")
        return [ReceivedEvent(change.key, f"{change.object}.changed", change.changed_at, delivery.body)]


def subjects(
    event: ReceivedEvent, streams: Mapping[str, str], parents: Mapping[str, str]
) -> Iterator[Subject]:
    """The record that a change is about, to be read again.

    Args:
        event: The change.
        streams: By object, the stream that its records are in.
        parents: By object of lines, the field that names their invoice.
    """
    change = _CHANGE.decode(event.body)
    if change.object in streams:
        yield Subject(streams[change.object], full_id(change.id))
    elif isinstance(parent := change.fields.get(parents.get(change.object, "")), str):
        yield Subject("invoices", full_id(parent))


def organization(event: ReceivedEvent) -> str | None:
    """The organization that an event names; None for one of an unknown form."""
    try:
        return full_id(_CHANGE.decode(event.body).organization)
    except msgspec.MsgspecError:
        return None


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map a change that was delivered."""
    try:
        change = msgspec.convert(raw, Change)
    except msgspec.ValidationError as error:
        raise MappingError(f"the event has an unexpected form: {error}") from None
    return UnifiedEvent(
        **origin.identify(change.key),
        created_at=change.changed_at or origin.observed_at,
        raw_data=raw,
        event_type=f"{change.object}.changed",
        event_category=change.object,
        payload=raw,
        resource_type=change.object,
        resource_id=change.id,
        occurred_at=change.changed_at or origin.observed_at,
    )


def _notifications(delivery: Delivery) -> Element:
    """The message within its envelope. A document type is refused, and with it entities of any kind.

    Raises:
        PayloadError: If it is not an Outbound Message.
    """
    try:
        root = fromstring(delivery.body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise PayloadError(f"the delivery is not an Outbound Message: {type(error).__name__}") from None
    found = root.find(f".//{_OUTBOUND}notifications")
    if found is None:
        raise PayloadError("the delivery is not an Outbound Message: it has no notifications")
    return found


def _notified(notification: Element, organization: str) -> ReceivedEvent:
    record = notification.find(f"{_OUTBOUND}sObject")
    if record is None:
        raise PayloadError("a notification of an Outbound Message has no sObject")
    fields = {one.tag.rpartition("}")[2]: one.text for one in record}
    said = {
        "organization": organization,
        "object": record.get(_TYPE, "").rpartition(":")[2],
        "id": fields.get("Id"),
        "notification": _text(notification, "Id"),
        "fields": fields,
    }
    body = msgspec.json.encode(said)
    change = read_json(body, Change)
    return ReceivedEvent(change.key, f"{change.object}.changed", change.changed_at, body)


def _text(element: Element, name: str) -> str:
    found = element.findtext(f"{_OUTBOUND}{name}")
    if not found:
        raise PayloadError(f"an Outbound Message lacks {name}")
    return found
