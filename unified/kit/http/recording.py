"""What a client asks and is answered, noted for a person to look at: bounded, and without any secret.

Requests leave as ever, to the same addresses; this stands around the transport. Playing exchanges back is ``replay``'s.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import httpx

from unified.kit.errors import ConfigurationError
from unified.kit.http.authentication import ANSWERS_SECRET, SECRETS
from unified.kit.secrets import MASK, without, without_lookalikes

_RECORDING: ContextVar["Recording | None"] = ContextVar("recording", default=None)

LONGEST = 50_000
"""Characters of a body that are shown."""

# Characters masked beyond the cut: a secret that it divides would be shown in part.
_BEYOND = 5_000
_HIDDEN_HEADERS = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))


class TooManyRequestsError(ConfigurationError):
    """A trial would take more requests than it may."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An exchange as a person may see it.

    Attributes:
        method: Of the request.
        url: Where it went, with its query.
        headers: What it carried.
        body: What it sent.
        status: Of the answer; None where there was none.
        answer_headers: The answer's.
        answer: What was answered, as text; cut where it is long.
        is_cut: Whether it is.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: str
    status: int | None
    answer_headers: Mapping[str, str]
    answer: str
    is_cut: bool


@dataclass(slots=True)
class _Exchange:
    request: httpx.Request
    sent: bytes
    response: httpx.Response | None = None
    body: bytes = b""


@dataclass(slots=True)
class Recording:
    """The exchanges of the clients that are opened within :func:`recording`.

    Attributes:
        most: Requests that may be sent.
        secrets: Masked wherever they appear.
    """

    most: int
    secrets: Iterable[str]
    _exchanges: list[_Exchange] = field(default_factory=list)

    def begin(self, request: httpx.Request, sent: bytes) -> _Exchange:
        """Note a request before it leaves.

        Raises:
            TooManyRequestsError: If that many have left already.
        """
        if len(self._exchanges) >= self.most:
            raise TooManyRequestsError(
                f"it took {self.most} requests and was not done, so it was stopped; look for pages that do not end"
            )
        exchange = _Exchange(request, sent)
        self._exchanges.append(exchange)
        return exchange

    def shown(self) -> list[Shown]:
        """What was asked and answered so far."""
        return [self._shown(one) for one in list(self._exchanges)]

    def last_answer(self) -> bytes:
        """The last answer's body as it came, to find its shape; it may hold what is secret."""
        answered = [one for one in list(self._exchanges) if not one.request.extensions.get(ANSWERS_SECRET)]
        return answered[-1].body if answered else b""

    def masked(self, text: str) -> str:
        """A text without what is secret in any of the exchanges."""
        return without_lookalikes(without(text, self._all_secrets()))

    def _all_secrets(self) -> set[str]:
        """All that was sent as a secret: a session's token is known by the requests that carry it."""
        found = set(self.secrets)
        for one in list(self._exchanges):
            found.update(one.request.extensions.get(SECRETS, ()))
            for name in _HIDDEN_HEADERS:
                value = one.request.headers.get(name, "")
                found |= {value, value.rpartition(" ")[2]}
        return found

    def _shown(self, one: _Exchange) -> Shown:
        answer = one.body[: 4 * (LONGEST + _BEYOND)].decode(errors="replace")
        text = (
            MASK if one.request.extensions.get(ANSWERS_SECRET) else self.masked(answer[: LONGEST + _BEYOND])
        )
        sent = one.sent[: LONGEST + _BEYOND].decode(errors="replace")
        return Shown(
            one.request.method,
            self.masked(str(one.request.url)),
            self._headers(one.request.headers),
            self.masked(sent)[:LONGEST],
            None if one.response is None else one.response.status_code,
            {} if one.response is None else self._headers(one.response.headers),
            text[:LONGEST],
            is_cut=len(answer) > LONGEST,
        )

    def _headers(self, headers: httpx.Headers) -> dict[str, str]:
        return {
            name: MASK if name in _HIDDEN_HEADERS else self.masked(value) for name, value in headers.items()
        }


@contextmanager
def recording(into: Recording) -> Iterator[None]:
    """Note what clients ask that are opened within the block."""
    token = _RECORDING.set(into)
    try:
        yield
    finally:
        _RECORDING.reset(token)


def recorded(transport: httpx.AsyncBaseTransport) -> httpx.AsyncBaseTransport:
    """A transport that notes what goes over it, within :func:`recording`; elsewhere the same one."""
    into = _RECORDING.get()
    return transport if into is None else _Recorded(transport, into)


class _Recorded(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, into: Recording) -> None:
        self._inner = inner
        self._into = into

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = self._into.begin(request, await request.aread())
        response = await self._inner.handle_async_request(request)
        exchange.response, exchange.body = response, await response.aread()
        return response
