"""Verifiers of providers that no connector of ours reads; connectors bring their own.

| name | header | signed | time |
|---|---|---|---|
| ``slack`` | ``X-Slack-Signature`` | ``v0:{time}:{body}`` | ±300 s |
| ``intuit`` | ``intuit-signature`` | body | none |
| ``xero`` | ``x-xero-signature`` | body | none |
| ``github`` | ``X-Hub-Signature-256`` | body | none |

Where no time is signed a delivery can be replayed for ever; its dedupe key is all that recognises it. So a key is made
of what is signed and of nothing else: the delivery ids of GitHub and Jira are headers that anybody can set anew.

Not here: those that options describe (``generic``).
"""

from typing import Any

import msgspec

from unified.kit.webhooks.deliveries import Answer, Delivery, ReceivedEvent
from unified.kit.webhooks.generic import HmacOptions, HmacVerifier
from unified.kit.webhooks.payloads import Text, body_key, header_text, read_each, read_json, read_time
from unified.kit.webhooks.signatures import (
    PROBE_TYPE,
    SIGNATURE,
    Claim,
    Probe,
    SharedSecretVerifier,
    Verifier,
    header,
    hmac_sha256,
    seconds,
)
from unified.kit.webhooks.standard import UNTYPED


class _SlackEvent(msgspec.Struct):
    type: Text


class _SlackBody(msgspec.Struct):
    """https://docs.slack.dev/apis/events-api: an event in its envelope, or a notice to the app."""

    type: Text
    challenge: str | None = None
    event: _SlackEvent | None = None
    event_id: Text | None = None
    event_time: int | None = None
    team_id: Text | None = None
    minute_rate_limited: int | None = None


def slack_key(kind: str, event_id: str | None, team: str | None, minute: int | None) -> str | None:
    """What an event of Slack's is known by: its id, or what a notice to the app says; None where neither is there."""
    return event_id or (f"{kind}:{team}:{minute}" if team and minute else None)


class SlackVerifier(SharedSecretVerifier):
    """Slack's Events API (https://docs.slack.dev/authentication/verifying-requests-from-slack)."""

    name = "slack"

    def claim(self, delivery: Delivery) -> Claim:
        """``v0:{time}:{body}``."""
        sent_at = header(delivery, "x-slack-request-timestamp")
        message = b"v0:%b:%b" % (sent_at, delivery.body)
        return Claim([header(delivery, "x-slack-signature")], message, seconds(sent_at))

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """Time and signature."""
        return {"x-slack-request-timestamp": str(probe.seconds), "x-slack-signature": SIGNATURE}

    def probe_body(self, probe: Probe) -> bytes:
        """An event in its envelope."""
        said = {"event": {"type": PROBE_TYPE}, "event_id": probe.id, "event_time": probe.seconds}
        return msgspec.json.encode({"type": "event_callback", "team_id": probe.account, **said})

    def sign(self, key: bytes, message: bytes) -> bytes:
        """``v0=`` and hex."""
        return b"v0=" + hmac_sha256(key, message)

    def handshake(self, delivery: Delivery) -> Answer | None:
        """Echo the challenge that checks a URL (https://docs.slack.dev/reference/events/url_verification)."""
        asked = read_json(delivery.body, _SlackBody)
        if asked.type != "url_verification" or asked.challenge is None:
            return None
        return Answer(200, asked.challenge.encode(), {"content-type": "text/plain; charset=utf-8"})

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event. A notice to the app, such as ``app_rate_limited``, has no id; what it says names it."""
        envelope = read_json(delivery.body, _SlackBody)
        key = slack_key(envelope.type, envelope.event_id, envelope.team_id, envelope.minute_rate_limited)
        key = key or body_key(delivery)
        kind = envelope.event.type if envelope.event else envelope.type
        occurred_at = None if envelope.event_time is None else read_time(envelope.event_time)
        return [ReceivedEvent(key, kind, occurred_at, delivery.body)]


class _IntuitEvent(msgspec.Struct):
    """An element of the CloudEvents form."""

    id: Text
    type: Text
    time: str


class _IntuitEntity(msgspec.Struct, rename="camel"):
    id: Text
    name: Text
    operation: Text
    last_updated: Text


class _IntuitChange(msgspec.Struct):
    entities: list[_IntuitEntity]


class _IntuitNotification(msgspec.Struct, rename="camel"):
    realm_id: Text
    data_change_event: _IntuitChange


class _IntuitNotifications(msgspec.Struct, rename="camel"):
    """The form before CloudEvents."""

    event_notifications: list[_IntuitNotification]


class IntuitVerifier(HmacVerifier):
    """QuickBooks Online (https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks)."""

    most_events = 100

    def __init__(self) -> None:
        super().__init__("intuit", HmacOptions("intuit-signature", "", "base64"))

    def probe_body(self, probe: Probe) -> bytes:
        """A CloudEvent."""
        about = {"intuitentityid": "0", "intuitaccountid": probe.account}
        return msgspec.json.encode(
            [{"id": probe.id, "type": PROBE_TYPE, "time": probe.at.isoformat(), **about}]
        )

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """CloudEvents with ids, or the older notifications, whose changed entities become an event each."""
        if delivery.body.lstrip().startswith(b"["):
            return read_each(
                delivery.body,
                _IntuitEvent,
                # Several events of a record have been seen with one id, which ends in its kind and number.
                lambda event, raw: ReceivedEvent(
                    f"{event.id}:{event.type}:{event.time}", event.type, read_time(event.time), raw
                ),
            )
        return [
            ReceivedEvent(
                f"{notified.realm_id}:{entity.name}:{entity.id}:{entity.operation}:{entity.last_updated}",
                f"{entity.name}.{entity.operation}",
                read_time(entity.last_updated),
                msgspec.json.encode({"realmId": notified.realm_id, **msgspec.to_builtins(entity)}),
            )
            for notified in read_json(delivery.body, _IntuitNotifications).event_notifications
            for entity in notified.data_change_event.entities
        ]


class _XeroEvent(msgspec.Struct, rename="camel"):
    resource_id: Text
    tenant_id: Text
    event_category: Text
    event_type: Text
    event_date_utc: Text


class _XeroBody(msgspec.Struct):
    events: list[Any]


class XeroVerifier(HmacVerifier):
    """Xero (https://developer.xero.com/documentation/guides/webhooks/overview)."""

    most_events = 100

    def __init__(self) -> None:
        super().__init__("xero", HmacOptions("x-xero-signature", "", "base64"))

    def probe_body(self, probe: Probe) -> bytes:
        """An event; its category and type make ours."""
        category, _, kind = PROBE_TYPE.partition(".")
        about = {
            "resourceId": probe.id,
            "tenantId": probe.account or probe.id,
            "eventDateUtc": probe.at.isoformat(),
        }
        return msgspec.json.encode({"events": [{"eventCategory": category, "eventType": kind, **about}]})

    def handshake(self, delivery: Delivery) -> Answer | None:
        """A delivery without events asks for our intent to receive; 200 and nothing else says yes."""
        return None if read_json(delivery.body, _XeroBody).events else Answer(200)

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """Events have no id: what happened to which resource at which millisecond names them."""
        read_json(delivery.body, _XeroBody)
        raw = msgspec.json.decode(delivery.body, type=dict[str, msgspec.Raw])["events"]

        def received(event: _XeroEvent, element: bytes) -> ReceivedEvent:
            return ReceivedEvent(
                ":".join(msgspec.structs.astuple(event)),
                f"{event.event_category}.{event.event_type}",
                read_time(event.event_date_utc),
                element,
            )

        return read_each(bytes(raw), _XeroEvent, received)


class _GitHubBody(msgspec.Struct):
    action: Text | None = None


class GitHubVerifier(HmacVerifier):
    """GitHub, as JSON (https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries)."""

    def __init__(self) -> None:
        super().__init__("github", HmacOptions())

    def probe_headers(self, probe: Probe) -> dict[str, str]:
        """The event's type, and the signature."""
        return {"x-github-event": PROBE_TYPE, **super().probe_headers(probe)}

    def read_events(self, delivery: Delivery) -> list[ReceivedEvent]:
        """One event; its type is a header, and its action, where it has one, a field."""
        action = read_json(delivery.body, _GitHubBody).action
        kind = header_text(delivery, "x-github-event") or UNTYPED
        name = f"{kind}.{action}" if action else kind
        return [ReceivedEvent(body_key(delivery), name, None, delivery.body)]


SHARED: tuple[Verifier, ...] = (
    SlackVerifier(),
    IntuitVerifier(),
    XeroVerifier(),
    GitHubVerifier(),
)
"""All of the table."""
