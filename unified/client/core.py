"""What a client does, step by step, without doing it: which requests, how long to wait, when to give up.

Each function is a generator of steps. :mod:`unified.client.drivers` carries them out, with or without ``await``; so
paging, repetition and refusals are written once.
"""

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from unified.client.errors import OF_STATUS, ClientError, UnreachableError, UnusableQueryError

PAGE = 1_000
"""Items that are asked for at once."""
PATIENCE_SECONDS = 60.0
"""How long in all a request is repeated that the server can't serve at present."""

_SHORT_PAGE = 200
_AGAIN = frozenset({429, 503})
_OK, _LARGEST = 200, 300
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """Send a request: GET of a path with a query."""

    path: str
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """A call was not answered; why, in words."""

    reason: str


@dataclass(frozen=True, slots=True)
class RawPage:
    """A page as it came.

    Attributes:
        items: As JSON has them: money and times are text.
        since: Where to go on with what changes after this page.
    """

    items: list[dict[str, Any]] = field(repr=False)
    since: str | None


Steps = Generator[Call | Wait | RawPage, Answer | Failure | None, None]

_Body = TypeVar("_Body")


class _Page(msgspec.Struct):
    """A page, as the server sends it."""

    items: list[dict[str, Any]]
    next: str | None
    since: str | None = None


class _Problem(msgspec.Struct):
    """A refusal, as the server sends it (RFC 9457)."""

    detail: str
    errors: list[dict[str, str]] = []
    request_id: str | None = None


def pages(name: str, query: Mapping[str, Any]) -> Steps:
    """All pages of a list, one after the other.

    Args:
        name: The list, e.g. ``customers``.
        query: Filters and what else the list takes, as Python has it; see :func:`encoded`.
    """
    asked = encoded({"limit": PAGE, **query})
    cursor: tuple[tuple[str, str], ...] = ()
    while True:
        found = yield from _exchange(Call(f"/api/{name}", asked + cursor), _Page)
        yield RawPage(found.items, found.since)
        if found.next is None:
            return
        cursor = (("cursor", found.next),)


def connectors() -> Steps:
    """All systems that can be connected, page by page."""
    return pages("connectors", {"limit": _SHORT_PAGE})


def single(name: str, connection: str, source_id: str, query: Mapping[str, Any]) -> Steps:
    """One record, as a page with one item."""
    path = "/".join(quote(part, safe="") for part in (name, connection, source_id))
    found = yield from _exchange(Call(f"/api/{path}", encoded(query)), dict[str, Any])
    yield RawPage([found], None)


def encoded(query: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """A query as it is sent.

    Args:
        query: Values are text, bool, int, Decimal, enums, times with their zone, or lists of these; None is left out.

    Raises:
        UnusableQueryError: If a value is none of these: a float is not exact, and a time without zone says no moment.
    """
    sent: list[tuple[str, str]] = []
    for name, value in query.items():
        if value is None:
            continue
        several = value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        texts = [_text(name, one) for one in several]
        sent += (
            [(name, ",".join(texts))] if name in ("fields", "expand") else [(name, text) for text in texts]
        )
    return tuple(sent)


def _text(name: str, value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case str():
            return value
        case int():
            return str(value)
        case Decimal():
            return format(value, "f")
        case datetime() if value.tzinfo is not None:
            return value.isoformat()
        case datetime():
            raise UnusableQueryError(f"{name} is a time without a zone; give it one, such as tzinfo=UTC")
        case float():
            raise UnusableQueryError(f"{name} is a float, which is not exact; give a Decimal or text")
    raise UnusableQueryError(f"{name} can't be {type(value).__name__}; give text, a number, a time or a list")


def _exchange(
    call: Call, kind: type[_Body]
) -> Generator[Call | Wait | RawPage, Answer | Failure | None, _Body]:
    """Send a request until it is answered, as long as the server asks to come again; the body, of that kind."""
    left, wait = PATIENCE_SECONDS, _FIRST_WAIT
    while True:
        answer = yield call
        match answer:
            case Answer(status=status) if _OK <= status < _LARGEST:
                return _decoded(answer, kind)
            case Answer(status=status) if status in _AGAIN:
                error = _refused(answer)
                seconds = _asked_wait(answer, wait)
            case Answer():
                raise _refused(answer)
            case Failure(reason):
                error, seconds = UnreachableError(reason), wait
            case None:
                raise AssertionError("a call needs an answer")
        if seconds > left:
            raise error
        left -= seconds
        wait = min(wait * 2, _LONGEST_WAIT)
        yield Wait(seconds)


def _asked_wait(answer: Answer, otherwise: float) -> float:
    """Seconds that an answer asks to wait, and a little more, so that not all come again at once."""
    try:
        seconds = max(float(answer.headers.get("retry-after", "")), 0.0)
    except ValueError:
        seconds = otherwise
    return seconds + random.uniform(0, min(seconds, 1) / 4)  # noqa: S311 - no secret


def _decoded(answer: Answer, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ClientError(
            "the answer is not of a Unified Assets server; is the address right?", status=answer.status
        ) from None


def _refused(answer: Answer) -> ClientError:
    """What a refusal says; that of something else on the way may say nothing."""
    try:
        said = msgspec.json.decode(answer.body, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = _Problem(f"the server answered with status {answer.status}")
    faults = "; ".join(": ".join(one.values()) for one in said.errors)
    message = f"{said.detail.rstrip('.')}: {faults}" if faults else said.detail
    kind = OF_STATUS.get(answer.status, ClientError)
    return kind(message, status=answer.status, errors=said.errors, request_id=said.request_id)
