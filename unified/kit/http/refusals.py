"""How a provider's refusals are read: which error they are, whether the same request may succeed later, and when.

An adapter declares what is its provider's own: where codes and messages stand in the body, what a code means that its
status does not say, and how an answer of success is known that is a refusal all the same. Salesforce's limit is a 403,
QuickBooks' fault comes with 200, and so does Slack's error. Here is the one place that says which statuses may pass;
which *errors* may, once all retries are used up, is ``unified.kit.errors.MAY_PASS``.
"""

import contextlib
import email.utils
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

from unified.kit.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RateLimitedError,
    RequestRefusedError,
    UnavailableError,
)
from unified.kit.http.answers import Answer

_LONGEST_REASON = 300
# A secret that begins in what is shown is looked for up to here.
_MOST_SILENCED = 16_384
# Epoch seconds from here on are a time, and smaller numbers seconds to wait.
_FIRST_EPOCH = 1_000_000_000

_GOES_ON = ". The next run goes on from here"
_ADVICE: Mapping[type[ProviderError], str] = {
    AuthenticationError: ". The credential is wrong or revoked; add a valid one",
    PermissionDeniedError: ". Give the credential the right to do this",
    NotFoundError: ". Is base_url right?",
    RateLimitedError: _GOES_ON,
    UnavailableError: _GOES_ON,
    ProtocolError: ". Redirects are not followed; correct base_url",
}

_ANYTHING = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a status or a provider's own code means.

    Attributes:
        kind: The error that it becomes.
        retry: Whether the same request may succeed later.
        wait: Seconds to wait first where the answer names no time; None leaves it to the backoff.
        lasts: Seconds for which the next run does not ask either, where no retry helped and the answer names no time.
        note: What else a person should know: "; the day's requests are used up until midnight".
        holds_all: Whether a limit holds back all of the connection's requests, and not those alone that count against
            the same one.
    """

    kind: type[ProviderError]
    retry: bool = False
    wait: float | None = None
    lasts: float | None = None
    note: str = ""
    holds_all: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as it was read.

    Attributes:
        reason: The provider's own words.
        meaning: What it is, and whether it may pass.
        code: The provider's own word for what is wrong, for adapters that act on it.
        wait: Seconds to wait first, None where neither the answer nor the declaration says.
    """

    reason: str
    meaning: Meaning
    code: str | None = None
    wait: float | None = None

    def error(self, what: str, status: int, silenced: Callable[[str], str]) -> ProviderError:
        """The error to raise.

        Args:
            what: Who asked for what: ``stripe connection acme/main: GET /v1/events``.
            status: The answer's status.
            silenced: Takes secrets out of the provider's words.
        """
        reason = silenced(_in_one_line(self.reason[:_MOST_SILENCED]))[:_LONGEST_REASON]
        advice = f"{self.meaning.note}{_ADVICE.get(self.meaning.kind, '')}"
        message = f"{what} answered {status}: {reason.rstrip('.') if advice else reason}{advice}"
        code = None if self.code is None else silenced(_in_one_line(self.code[:_LONGEST_REASON]))
        return self.meaning.kind(message, status=status, code=code)


def _in_one_line(text: str) -> str:
    """Words of others without what ends a line, moves a terminal's cursor or turns its text round."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


# What a status means that no declaration names; of the others, 5xx may pass.
_USUAL: Mapping[int, Meaning] = {
    401: Meaning(AuthenticationError),
    403: Meaning(PermissionDeniedError),
    404: Meaning(NotFoundError),
    408: Meaning(UnavailableError, retry=True),
    423: Meaning(UnavailableError, retry=True),
    425: Meaning(UnavailableError, retry=True),
    429: Meaning(RateLimitedError, retry=True),
}


class _Present:
    """Any value at all, but null."""

    def __eq__(self, other: object) -> bool:
        return other is not None

    __hash__ = None  # type: ignore[assignment]


PRESENT: Any = _Present()


@dataclass(frozen=True)
class Refusals:
    """How one provider refuses.

    A path leads into a decoded JSON body: ``error.code``, ``0.errorCode`` (the first element), ``errors.*.message``
    (of all elements, or of all fields of an object).

    Attributes:
        codes_at: Paths of the provider's word for what is wrong; the first that leads anywhere counts.
        reasons_at: Paths of its words for people; all that they lead to are shown, each once.
        reference_at: What the provider's support asks for, by its name: ``{"correlation id": "correlationId"}``.
        codes: What a code means; it goes before the status.
        statuses: What a status means at this provider, beyond the usual.
        fault_at: Path of what makes a refusal of an answer of success, with the value it has there:
            ``("ok", False)``, ``("Fault", PRESENT)``.
        retry_header: A header of ``true`` or ``false`` that says whether to retry. A limit is waited for all the same.
        wait_headers: Headers that say how long to wait: seconds, a time in seconds since 1970, an HTTP or ISO date.
    """

    codes_at: tuple[str, ...] = ()
    reasons_at: tuple[str, ...] = ()
    reference_at: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, Meaning] = field(default_factory=dict)
    statuses: Mapping[int, Meaning] = field(default_factory=dict)
    fault_at: tuple[str, Any] | None = None
    retry_header: str | None = None
    wait_headers: tuple[str, ...] = ("retry-after",)
    _fault: msgspec.json.Decoder[Any] | None = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make what looks for faults: a decoder of the one field, which passes over all others."""
        if self.fault_at is not None:
            top = self.fault_at[0].split(".")[0]
            shape = msgspec.defstruct("Fault", [("top", Any, None)], rename={"top": top})
            object.__setattr__(self, "_fault", msgspec.json.Decoder(shape))

    def is_fault(self, answer: Answer) -> bool:
        """Whether an answer of success is a refusal all the same."""
        if self._fault is None or self.fault_at is None:
            return False
        path, value = self.fault_at
        try:
            found = self._fault.decode(answer.body).top
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False  # not of this provider's form; its decoder will say that
        return any(one == value for one in _at(found, path.split(".")[1:]))

    def read(self, answer: Answer) -> Refusal:
        """What a refusal is and whether it may pass, by its code, its status, and its headers."""
        body: Any = None
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            body = answer.decoded(_ANYTHING)
        code = next(self._found(body, self.codes_at), None)
        meaning = self.codes.get(code or "") or self.statuses.get(answer.status) or _usual(answer.status)
        said = answer.headers.get(self.retry_header or "")
        if said and not issubclass(meaning.kind, RateLimitedError):
            meaning = replace(meaning, retry=said.lower() == "true")
        waits = (seconds_in(answer.headers[name]) for name in self.wait_headers if name in answer.headers)
        wait = next((one for one in waits if one is not None), meaning.wait)
        return Refusal(self._reason(answer, body, code), meaning, code, wait)

    def _reason(self, answer: Answer, body: Any, code: str | None) -> str:
        words = "; ".join(dict.fromkeys(self._found(body, self.reasons_at))) or answer.reason or "no reason"
        notes = [code] if code and code not in words else []
        notes += [
            f"{name} {value}"
            for name, path in self.reference_at.items()
            for value in self._found(body, (path,))
        ]
        return f"{words} ({', '.join(notes)})" if notes else words

    @staticmethod
    def _found(body: Any, paths: tuple[str, ...]) -> Iterator[str]:
        for path in paths:
            for one in _at(body, path.split(".")):
                if isinstance(one, str | int) and not isinstance(one, bool) and str(one).strip():
                    yield str(one)


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    """What a path leads to: nothing, one value, or several."""
    if not path:
        yield value
    elif isinstance(value, dict):
        if path[0] in value:
            yield from _at(value[path[0]], path[1:])
        elif path[0] == "*":
            for one in value.values():
                yield from _at(one, path[1:])
    elif isinstance(value, list):
        if path[0] == "*":
            for one in value:
                yield from _at(one, path[1:])
        elif path[0].isdecimal() and int(path[0]) < len(value):
            yield from _at(value[int(path[0])], path[1:])


def _usual(status: int) -> Meaning:
    if status in _USUAL:
        return _USUAL[status]
    if httpx.codes.is_server_error(status):
        return Meaning(UnavailableError, retry=True)
    return Meaning(ProtocolError if httpx.codes.is_redirect(status) else RequestRefusedError)


def seconds_in(text: str) -> float | None:
    """Seconds to wait by a header: a number, or a date (RFC 9110 section 10.2.3, or ISO 8601); None if unreadable."""
    now = datetime.now(UTC)
    with contextlib.suppress(ValueError):
        number = float(text)
        wait = number - now.timestamp() if number >= _FIRST_EPOCH else number
        return max(0.0, wait) if wait == wait else None  # noqa: PLR0124 - not a number
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        with contextlib.suppress(ValueError, TypeError):
            until = read(text)
            until = until if until.tzinfo else until.replace(tzinfo=UTC)
            return max(0.0, (until - now).total_seconds())
    return None
