"""Webhooks as they travel: what a provider sent, the events in it, and what it is answered at once. Plain data.

Not here: how a delivery is verified (``signatures``) and read (``payloads``). What an event means for the tables is
said by :meth:`unified.kit.adapter.BaseAdapter.changes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

UNREADABLE = "unreadable"
"""The type of an event that is not as the provider documents, in a delivery with others that are."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request that a provider sent.

    Attributes:
        method: HTTP method in upper case.
        url: The public URL as it is configured at the provider, query included; never the Host header.
        headers: Raw values by lower-case name; one that came twice joined by ``", "`` (RFC 9110, 5.3).
        body: The raw bytes.
        received_at: When it arrived.
    """

    method: str
    url: str
    headers: Mapping[str, bytes]
    body: bytes = field(repr=False)
    received_at: datetime

    @classmethod
    def polled(cls, body: bytes, received_at: datetime) -> "Delivery":
        """An event that a poll brought, to be read as if it had been delivered; nobody signed it."""
        return cls("", "", {}, body, received_at)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender is answered: to a handshake, when there is nothing to store, or once all is stored.

    Attributes:
        status: HTTP status.
        body: The whole body.
        headers: Headers to send; no others, cookies least of all.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One event out of a delivery.

    Attributes:
        dedupe_key: The same on every delivery of this event and on no other one; at most 2,000 characters. Made of what
            is signed: otherwise a person who has seen a delivery could send it again under another key.
        event_type: In the provider's own words.
        occurred_at: When it happened, or None where the provider does not say.
        body: JSON text of this event alone, as the provider sent it.
    """

    dedupe_key: str
    event_type: str
    occurred_at: datetime | None
    body: bytes = field(repr=False)


def is_wanted(event_type: str, wanted: Sequence[str]) -> bool:
    """Whether a type of event is among those that are wanted: by its name, or as one of a family (``customer.*``).

    Nothing wanted is all.
    """
    return not wanted or any(
        event_type.startswith(one[:-1]) if one.endswith("*") else event_type == one for one in wanted
    )
