"""Requests that are answered from recorded exchanges, and never leave: how a connector is tried offline.

What is expected of the answers is the caller's (`unified.sync.connectors.golden`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import parse_qsl

import httpx
import msgspec

from unified.kit.errors import ConfigurationError

_REPLAY: ContextVar["Replay | None"] = ContextVar("replay", default=None)
# What is not repeated of a recorded answer: the body is stored as it was before it was sent.
_OF_THE_WIRE = frozenset(("content-encoding", "content-length", "transfer-encoding", "connection"))


class ReplayError(ConfigurationError):
    """A request is not the one that was recorded, or a recorded one was not sent."""


class Exchange(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A request and its answer, with made-up secrets in place of real ones.

    Attributes:
        method: Of the request.
        url: Where it goes, with its query; the order of parameters does not matter.
        sends: Headers that it must have, such as the credential's.
        json: The JSON that it sends, where it sends some.
        form: The form that it sends, where it sends one.
        status: Of the answer.
        headers: Of the answer.
        body: The JSON that is answered, kept digit by digit.
        text: What is answered instead, where that is not JSON.
    """

    url: str
    method: str = "GET"
    sends: dict[str, str] = {}
    json: msgspec.Raw = msgspec.Raw()
    form: dict[str, str] | None = None
    status: int = 200
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw()
    text: str = ""

    @property
    def key(self) -> tuple[str, str, object, tuple[tuple[str, str], ...]]:
        """What says which request it is: method, place, query."""
        return _key(self.method, httpx.URL(self.url))

    def sent_as(self, body: bytes) -> bool:
        """Whether what it sends is this body; any is, where it says nothing of it."""
        if self.form is not None:
            sent = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
            return sorted(sent) == sorted(self.form.items())
        return not bytes(self.json) or _says_the_same(self.json, body)

    def answer(self) -> httpx.Response:
        """The recorded answer."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_WIRE}
        if not bytes(self.body):
            return httpx.Response(self.status, headers=headers, text=self.text)
        return httpx.Response(
            self.status, headers={"content-type": "application/json", **headers}, content=bytes(self.body)
        )


class Replay(httpx.AsyncBaseTransport):
    """Answers each recorded request, as often as it was recorded and in that order."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        """Answer from ``exchanges``."""
        self._left = list(exchanges)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request.

        Raises:
            ReplayError: If it was not recorded, or its headers or body differ.
        """
        asked = _key(request.method, request.url)
        body = await request.aread()
        same = [one for one in self._left if one.key == asked]
        found = next((one for one in same if one.sent_as(body)), None)
        if found is None:
            why = "with another body" if same else "which is not among the recorded exchanges that are left"
            raise ReplayError(f"it asks {request.method} {request.url}, {why}")
        for name, value in found.sends.items():
            if request.headers.get(name) != value:
                raise ReplayError(
                    f"it asks {request.method} {request.url} without the header {name} that was recorded"
                )
        self._left.remove(found)
        return found.answer()

    def finish(self) -> None:
        """See that everything recorded was asked for.

        Raises:
            ReplayError: If a recorded request was not sent.
        """
        if self._left:
            first = self._left[0]
            raise ReplayError(f"it never asks {first.method} {first.url}, which was recorded")


@contextmanager
def replaying(exchanges: Sequence[Exchange]) -> Iterator[Replay]:
    """Answer every request of clients that are opened within the block from ``exchanges``; send none."""
    replay = Replay(exchanges)
    token = _REPLAY.set(replay)
    try:
        yield replay
    finally:
        _REPLAY.reset(token)


def current_replay() -> Replay | None:
    """What answers the requests of a client that is opened now, where they must not leave."""
    return _REPLAY.get()


def _key(method: str, url: httpx.URL) -> tuple[str, str, object, tuple[tuple[str, str], ...]]:
    return (
        method.upper(),
        f"{url.scheme}://{url.host}{url.path}",
        url.port,
        tuple(sorted(url.params.multi_items())),
    )


def _says_the_same(recorded: msgspec.Raw, sent: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(recorded) == msgspec.json.decode(sent))
    except ValueError:
        return False
