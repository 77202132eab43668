"""A list of a provider's API: where it is, how its answers are built, how its pages follow.

Not here: which lists make a stream, and when they are read (``listing`` for the usual case, else the adapter).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import httpx
import msgspec

from unified.kit.errors import ForbiddenHostError, ProtocolError
from unified.kit.http import bodies
from unified.kit.http.answers import Answer as HttpAnswer
from unified.kit.http.client import HttpClient
from unified.kit.reading.pages import read_pages
from unified.kit.reading.paging import Answer, Json, Paging, Part, Path, Position, Taker, items_in

Parameters = Sequence[tuple[str, str]]
Asked = Sequence[tuple[Taker, Any]]
"""Parameters of a query, and values at places of a body, which are JSON."""
_Made = TypeVar("_Made")

_NOTHING = msgspec.Raw(b"null")
_ANOTHER_FORM = "has another form than documented"
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
# An object is taken apart with the first look at it; whatever else comes in its place is a fault of the list's.
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw] | str | int | float | bool | None)


@dataclass(frozen=True, slots=True)
class Body:
    """What a list is asked for with, where that is more than a query.

    Attributes:
        fields: JSON; of a form, text by name.
        is_form: Whether it is form-encoded, and not JSON.
    """

    fields: Mapping[str, Any]
    is_form: bool = False

    def sent(self, asked: Mapping[Path, Any] = MappingProxyType({})) -> dict[str, Any]:
        """What the client takes: the fields, with values at further places; of a form, places have one key."""
        whole = dict(self.fields)
        for path, value in asked.items():
            *above, last = path
            place = whole
            for key in above:
                below = place.get(key)
                place[key] = place = dict(below) if isinstance(below, dict) else {}
            place[last] = str(value) if self.is_form else value
        return {"form" if self.is_form else "json": whole}


@dataclass(frozen=True, slots=True)
class ListEndpoint:
    """One list.

    Attributes:
        path: Below ``base_url``.
        paging: How its pages follow each other.
        items: Where an answer has the records; no keys where it is a list itself.
        params: What every request asks for, such as the size of a page.
        method: How it is asked for; a POST that reads has no effect, and is repeated as a GET is.
        body: What every request sends.
        headers: The same as headers.
        limit: The rate limit that its requests count against.
        may_be_empty: Whether a page without a record may stand in the middle of it.
        is_optional: Whether an answer without records leaves out the list in it, or has null there (QuickBooks).
        stream: Reads the records of an answer some at a time, where it may be larger than memory; it closes the answer.
        most_bytes: What such an answer may hold, decompressed.
        extract: Takes the records out of an answer, and the JSON that says how the list goes on, where keys do not.
    """

    path: str
    paging: Paging
    items: Path = ()
    params: Parameters = ()
    method: Literal["GET", "POST"] = "GET"
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    limit: str = "default"
    may_be_empty: bool = False
    is_optional: bool = False
    extract: Callable[[HttpAnswer], Awaitable[tuple[Sequence[msgspec.Raw], Json]]] | None = None
    stream: Callable[[HttpAnswer], AsyncGenerator[Sequence[msgspec.Raw], None]] | None = None
    most_bytes: int = bodies.MOST_BYTES

    def what(self, http: HttpClient) -> str:
        """Names the connection and the list in errors."""
        return f"{http.label}: the list {self.path}"

    async def page(self, http: HttpClient, at: Position | None = None, params: Asked = ()) -> Part:
        """Ask for one page; see :meth:`read`. Of one that is read as it comes, the first records are there."""
        if self.stream is not None:
            return await self._streamed(http, self.stream, at, params)
        return await self.read(
            http, lambda answer: Part(answer.items, self._following(http, answer, at)), at, params
        )

    async def look(self, http: HttpClient, params: Asked = ()) -> None:
        """Ask for the first page, to see whether it may be read: a large one is not read to its end."""
        if self.stream is None:
            await self.page(http, None, params)
        else:
            path, sent = self._request(http, None, params)
            await http.exchange(self.method, path, keeps="beginning", **sent)

    async def _streamed(
        self,
        http: HttpClient,
        stream: Callable[[HttpAnswer], AsyncGenerator[Sequence[msgspec.Raw], None]],
        at: Position | None,
        params: Asked,
    ) -> Part:
        what = self.what(http)
        path, sent = self._request(http, at, params)
        answer = await http.exchange(self.method, path, most_bytes=self.most_bytes, keeps="file", **sent)
        batches = _worded(what, stream(answer))
        items = await anext(batches, ())
        following = self._following(http, Answer(what, items, _NOTHING, answer.headers), at)
        return Part(items, following, batches)

    async def read(
        self,
        http: HttpClient,
        made: Callable[[Answer], _Made],
        at: Position | None = None,
        params: Asked = (),
    ) -> _Made:
        """Ask for one page, and make something of it.

        Args:
            http: The connection's client.
            made: Reads the answer.
            at: Where the page begins; by default it is the first one.
            params: Further conditions, the same for every page of a list; those with keys go into the body.

        Raises:
            ProviderError: If the provider does not answer as documented.
            ForbiddenHostError: If the page leads on to another host, or its own place does.
        """
        what = self.what(http)
        path, sent = self._request(http, at, params)
        decoder: msgspec.json.Decoder[Any] = _OBJECT if self.items else _ANYTHING
        headers: Mapping[str, str] = {}
        items: Sequence[msgspec.Raw] | None = None
        is_html = False
        try:
            if self.extract is None and not self.paging.in_headers:
                body = await http.request(self.method, path, decoder, **sent)
            else:
                answer = await http.exchange(self.method, path, **sent)
                is_html, headers = answer.kind == "text/html", answer.headers
                if self.extract is None:
                    body = answer.decoded(decoder)
                else:
                    items, body = await self.extract(answer)
            if items is None:
                items = self._items(body)
            return made(Answer(what, items, body, headers))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            why = "it is HTML" if is_html else str(error)
            raise ProtocolError(f"{what} {_ANOTHER_FORM}: {why}") from error

    def _request(self, http: HttpClient, at: Position | None, params: Asked) -> tuple[str, dict[str, Any]]:
        """Where a page is asked for, and what that request holds."""
        link = self._own_link(http, at)
        asked = [*self.params, *params, *self.paging.parameters(at).items()]
        sent = self._sent(asked, has_query=link is None)
        return link or self.path, {**sent, "headers": self.headers, "limit": self.limit}

    def link(self, http: HttpClient, at: Position | None) -> str | None:
        """The URL of the page at a position, where an answer held one; see :meth:`Paging.url`.

        Raises:
            ProtocolError: If that is not a URL.
        """
        try:
            link = self.paging.url(http.url(self.path), at)
            httpx.URL(link or "")
        except (ValueError, httpx.InvalidURL):
            raise ProtocolError(f"{self.what(http)} goes on at what is not a URL") from None
        return link

    def _own_link(self, http: HttpClient, at: Position | None) -> str | None:
        """The same, of a page that is asked for with the credential."""
        link = self.link(http, at)
        if link is None or http.is_own(link):
            return link
        url = httpx.URL(link)
        raise ForbiddenHostError(
            f"{self.what(http)} goes on at {url.scheme}://{url.netloc.decode()}, which is not where base_url "
            "leads, and no credential goes elsewhere; if the API is there, correct base_url, else ask its provider"
        )

    def _following(self, http: HttpClient, answer: Answer, at: Position | None) -> Position | None:
        """Where the next page begins. A place that can't be asked for is refused before anything is kept of it."""
        following = self.paging.following(answer, at)
        if following is not None:
            self._own_link(http, following)
        return following

    async def ask(self, http: HttpClient, params: Asked = ()) -> HttpAnswer:
        """Ask for the first page, and take what is answered as it is."""
        sent = self._sent([*self.params, *params], has_query=True)
        return await http.exchange(self.method, self.path, headers=self.headers, limit=self.limit, **sent)

    def _items(self, body: Any) -> list[msgspec.Raw]:
        if self.items and not isinstance(body, dict):
            raise msgspec.ValidationError("it is not an object")
        return items_in(body, self.items, is_optional=self.is_optional)

    def _sent(self, asked: Asked, *, has_query: bool) -> dict[str, Any]:
        """What a request holds, as the client takes it; a link has its query already."""
        query = [(name, value) for name, value in asked if isinstance(name, str)] if has_query else None
        if self.body is None:
            return {"params": query}
        placed = {path: value for path, value in asked if not isinstance(path, str)}
        return {"params": query, **self.body.sent(placed)}

    def pages(
        self, http: HttpClient, params: Asked = (), *, begin: Position | None = None
    ) -> AsyncGenerator[Part, None]:
        """All pages from a position on, one after the other: :func:`unified.kit.reading.pages.read_pages`."""

        async def read(at: Position | None) -> Part:
            return await self.page(http, at, params)

        return read_pages(read, what=self.what(http), begin=begin, may_be_empty=self.may_be_empty)


async def _worded(
    what: str, batches: AsyncGenerator[Sequence[msgspec.Raw], None]
) -> AsyncGenerator[Sequence[msgspec.Raw], None]:
    """Batches of records; what is wrong with their answer is an error that names the list."""
    try:
        async with aclosing(batches):
            async for batch in batches:
                yield batch
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"{what} {_ANOTHER_FORM}: {error}") from error
