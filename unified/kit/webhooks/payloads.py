"""What a delivery's body says, once it is known who sent it.

Bodies are read whole and checked, so that nobody who reads an event later can fail at its JSON. One odd event does not
cost the others that came with it. Not here: signatures (``signatures``).
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec

from unified.kit.broken_json import repairs
from unified.kit.errors import PayloadError
from unified.kit.webhooks.deliveries import UNREADABLE, Delivery, ReceivedEvent

# Providers nest some ten levels deep. The bound keeps later readers of an event off the recursion limit.
_MOST_NESTED = 100

# What becomes part of a key: short enough for an index, without the character that PostgreSQL can't store.
# Nor with U+FFFD, which stands for half a surrogate pair: keys that differ there would be one.
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern="^[^\\x00\ufffd]+$")]

_Shape = TypeVar("_Shape")


def fields_of(*shapes: type[msgspec.Struct]) -> frozenset[str]:
    """The fields that some shapes read, as a body has them."""
    return frozenset(name for shape in shapes for name in shape.__struct_encode_fields__)


def read_json(body: bytes, shape: type[_Shape]) -> _Shape:
    """Decode a body whole, so that nobody who reads it later can fail at its JSON.

    Args:
        body: JSON text.
        shape: What it has to be; a msgspec structure names the fields that are needed.

    Raises:
        PayloadError: If it is no JSON, nested too deeply, or of another shape; the reason names no values.
    """
    try:
        value = msgspec.json.decode(body)
        _check_nesting(value)
        return msgspec.convert(value, shape)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise PayloadError(f"the delivery is signed, but its body can't be read: {reason}") from None


def read_each(
    body: bytes, shape: type[_Shape], event: Callable[[_Shape, bytes], ReceivedEvent]
) -> list[ReceivedEvent]:
    """The events of a list, of which an odd one does not cost the others.

    Args:
        body: JSON text of the list.
        shape: What its elements have to be.
        event: Makes an event of an element: as ``shape``, and as the JSON text that was sent.

    Returns:
        An event for each element, in order; of the type :data:`UNREADABLE` for one that can't be read.

    Raises:
        PayloadError: If it is not a list, or none of its elements can be read.
    """
    events: list[ReceivedEvent] = []
    refused: PayloadError | None = None
    for raw in map(bytes, _elements(body)):
        try:
            events.append(event(read_json(raw, shape), raw))
        except PayloadError as error:
            refused = error
            events.append(ReceivedEvent(f"sha256:{hashlib.sha256(raw).hexdigest()}", UNREADABLE, None, raw))
    if refused is not None and all(one.event_type == UNREADABLE for one in events):
        raise refused
    return events


def raw_at(body: bytes, keys: Iterable[str]) -> bytes | None:
    """The JSON text that stands below some keys, as it was sent; None where there is none.

    Args:
        body: JSON text that was read before.
        keys: From the top down; none leads to all of it.
    """
    found: msgspec.Raw | None = msgspec.Raw(body)
    for key in keys:
        try:
            found = msgspec.json.decode(found or b"", type=dict[str, msgspec.Raw]).get(key)
        except msgspec.MsgspecError:
            return None
    return None if found is None else bytes(found)


def read_time(value: float | str, *, per_second: int = 1) -> datetime:
    """A time within a payload: ISO 8601, UTC where it names no zone, or Unix time.

    Args:
        value: What the payload holds.
        per_second: 1000 where numbers count milliseconds.

    Raises:
        PayloadError: If it is not a time between the years 1 and 9999.
    """
    try:
        if not isinstance(value, str):
            return datetime.fromtimestamp(value / per_second, UTC)
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise PayloadError("the delivery is signed, but the time of an event in it can't be read") from None


def header_text(delivery: Delivery, name: str) -> str | None:
    """A header's value as text, or None where it is missing or empty.

    Raises:
        PayloadError: If it is longer than a key, or holds what can't be stored.
    """
    value = delivery.headers.get(name)
    try:
        return msgspec.convert(value.decode("latin-1"), Text) if value else None
    except msgspec.ValidationError as error:
        raise PayloadError(f"the delivery is signed, but its header {name} can't be read: {error}") from None


def body_key(delivery: Delivery) -> str:
    """The dedupe key of an event whose body names none: a hash of the body, which is signed whole."""
    return f"sha256:{hashlib.sha256(delivery.body).hexdigest()}"


def mended(body: bytes) -> bytes:
    """An object or a list whose JSON breaks a rule, such as half a surrogate pair, as JSON; any other body as it is."""
    for mended in repairs(body):
        try:
            value = msgspec.json.decode(mended)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
        return mended if isinstance(value, dict | list) else body
    return body


def _elements(body: bytes) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        read_json(body, list)  # says what is wrong with it
        raise


def _check_nesting(value: Any) -> None:
    level = [value]
    for _ in range(_MOST_NESTED):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return
    raise RecursionError
