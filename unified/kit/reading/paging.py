"""Pages of a list: how the next one is asked for.

A *paging* is one way in which providers number their pages: :class:`AfterId`, :class:`Token`, :class:`Offset`,
:class:`PageNumber`, :class:`NextLink` or :class:`LinkHeader`. It says what a request for a page has to hold,
and reads from an answer which page follows. Where a page begins is a *position*, text or a number, so that it
can be kept in a cursor.

Not here: who goes from page to page (``pages``), who sends the requests (``listing`` for plain lists), and a history
that is read by several readers at once (``windows``).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import urljoin

import httpx
import msgspec

from unified.kit.errors import ProtocolError

Position = str | int
Path = tuple[str, ...]
"""Keys from a JSON object's top down."""

Taker = str | Path
"""What of a request takes a value: a parameter of its query, or keys to a place in its body."""

_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_ID_AND_HELD = msgspec.json.Decoder(tuple[str | int, int])

Json = msgspec.Raw | Mapping[str, msgspec.Raw]
"""Any JSON, or an object of which the first level is taken apart already."""


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a list.

    Attributes:
        items: What is on it, as JSON.
        following: Where the next page begins; None on the last one.
        more: The rest of the page, some items at a time, where an answer is read as it comes.
        is_whole: Whether the page ends here. Where it does not, what follows is its rest, from where it begins itself.
    """

    items: Sequence[msgspec.Raw]
    following: Position | None = None
    more: AsyncGenerator[Sequence[msgspec.Raw], None] | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered to a request for a page.

    Attributes:
        what: Names the connection and the list in errors.
        items: What is on the page, as JSON.
        body: The whole answer; several things are asked of it, so an object is taken apart once.
        headers: Its headers, by lower-case name.
    """

    what: str
    items: Sequence[msgspec.Raw]
    body: Json
    headers: Mapping[str, str] = field(default_factory=dict)


def within(json: Json | None, path: Path) -> msgspec.Raw | None:
    """What stands under some keys of a JSON object, or None where one of them is missing or null.

    Args:
        json: The object.
        path: Keys from its top down; none of them stands for the object itself, where it is not taken apart.

    Raises:
        msgspec.MsgspecError: If there is no object where a key is looked for.
    """
    for key in path:
        parts = json if isinstance(json, Mapping) else {} if json is None else _PARTS.decode(json) or {}
        json = parts.get(key)
    return json if isinstance(json, msgspec.Raw) and bytes(memoryview(json)[:5]) != b"null" else None


@lru_cache(maxsize=1024)
def cut(path: Path) -> Callable[[msgspec.Raw], msgspec.Raw | None]:
    """What :func:`within` does for some keys, compiled: what stands beside them is passed over and not taken apart.

    Args:
        path: Keys from an object's top down, at least one.

    Returns:
        A function of the object's JSON; it raises as :func:`within` does.
    """
    kind: Any = None
    for key in reversed(path):
        field = ("value", msgspec.Raw, msgspec.Raw()) if kind is None else ("value", kind | None, None)
        kind = msgspec.defstruct("Part", [field], rename={"value": key})
    decoder = msgspec.json.Decoder(kind | None)

    def found(json: msgspec.Raw) -> msgspec.Raw | None:
        part: Any = decoder.decode(json)
        for _ in path:
            if part is None:
                return None
            part = part.value
        return None if bytes(memoryview(part)[:5]) in (b"", b"null") else part

    return found


def items_in(json: Json, path: Path, *, is_optional: bool = False) -> list[msgspec.Raw]:
    """The list under some keys of an answer.

    Args:
        json: The answer.
        path: The keys.
        is_optional: Whether a list without anything in it may be missing, or null.

    Raises:
        msgspec.MsgspecError: If no list is there.
    """
    found = within(json, path)
    if found is None and not is_optional:
        raise msgspec.ValidationError(f"there is no list at {'.'.join(path) or 'its top'}")
    return [] if found is None else _LIST.decode(found)


class Paging(ABC):
    """One way of numbering pages.

    Attributes:
        in_headers: Whether an answer's headers say what follows.
        shifts: Whether a page is counted from the list's beginning: what leaves the list before it moves other records
            over its edge, where nobody reads them.
    """

    in_headers: ClassVar[bool] = False
    shifts: ClassVar[bool] = False

    @abstractmethod
    def parameters(self, at: Position | None) -> Mapping[Taker, Position]:
        """What the request for the page at a position, by default the first one, holds: text in the query."""

    @abstractmethod
    def following(self, answer: Answer, at: Position | None) -> Position | None:
        """Where the page after this one begins; None if it is the last one.

        Args:
            answer: The page.
            at: Where it begins itself.

        Raises:
            ProtocolError: If the answer says that more follows, and not from where.
            msgspec.MsgspecError: If the answer does not have the documented form.
        """

    def url(self, url: str, at: Position | None) -> str | None:  # noqa: ARG002 - only a link is a URL of its own
        """The URL of the page at a position, complete, where the answer before held one; else None.

        Args:
            url: The list's own, to which a link may be relative.
            at: The position.
        """
        return None


@dataclass(frozen=True, slots=True)
class AfterId(Paging):
    """The next page begins after the last record's id (Stripe).

    Without ``more`` a page that is not full is the last. How full one is, the provider decides, so a first page of less
    than ``size`` is full until a shorter one comes: its position also holds how full it was.

    Attributes:
        parameter: Takes the id.
        more: Where the answer says whether anything follows.
        id: Where a record has its id.
        size: Records on a full page, as far as that is known.
    """

    parameter: Taker
    more: Path = ()
    id: Path = ("id",)
    size: int | None = None

    def parameters(self, at: Position | None) -> Mapping[Taker, Position]:
        """The id, after the first page."""
        return {} if at is None else _held(self.parameter, self._begins(at)[0])

    def following(self, answer: Answer, at: Position | None) -> Position | None:
        """The last record's id, and how full the page was where that is less than its size."""
        held = len(answer.items)
        if not (self.follows(answer) if self.more else held >= self._begins(at)[1]):
            return None
        position = _position(within(answer.items[-1], self.id)) if answer.items else None
        if position is None:
            raise ProtocolError(f"{answer.what} has no record to go on from, yet more follow")
        if self.more or held >= (self.size or 1):
            return position
        return msgspec.json.encode([position, held]).decode()

    def follows(self, answer: Answer) -> bool:
        """Whether an answer says that more follows."""
        return _flag(answer.body, self.more)

    def _begins(self, at: Position | None) -> tuple[Position, int]:
        """The id behind which a page begins, and how many records it has at least unless it is the last."""
        if isinstance(at, str) and at.startswith("["):
            with suppress(msgspec.MsgspecError):  # else it is an id
                return _ID_AND_HELD.decode(at)
        return ("", 1) if at is None else (at, self.size or 1)


@dataclass(frozen=True, slots=True)
class Token(Paging):
    """The answer holds a word that the next request repeats (Chargebee, HubSpot, Slack, Jira).

    Attributes:
        parameter: Takes the word.
        token: Where the answer has it; missing, null or empty on the last page, unless that is said elsewhere.
        more: Where the answer says whether anything follows, if the last page has a token as well.
        end: The same the other way round: where the answer says whether it is the last page (Zendesk).
    """

    parameter: Taker
    token: Path
    more: Path = ()
    end: Path = ()

    def parameters(self, at: Position | None) -> Mapping[Taker, Position]:
        """The token, after the first page."""
        return {} if at is None else _held(self.parameter, at)

    def following(self, answer: Answer, at: Position | None) -> Position | None:  # noqa: ARG002
        """The token."""
        return _following(answer, self.token, self.more, self.end)


@dataclass(frozen=True, slots=True)
class _Numbered(Paging):
    """The request states a number, of records or of pages, and the answer may say where the list ends.

    Where it does not, a page that is not full is the last. A size that is only asked for may be more than the provider
    gives, so a first page of less is full until a shorter one comes: its position also holds how full it was.
    """

    shifts: ClassVar[bool] = True

    parameter: Taker
    size: int
    first: int = 0
    size_parameter: Taker | None = None
    end: Path = ()
    count: Path = ()

    def parameters(self, at: Position | None) -> Mapping[Taker, Position]:
        """The number, and the size where it is asked for."""
        size = {} if self.size_parameter is None else _held(self.size_parameter, self.size)
        return {**_held(self.parameter, self._begins(at)[0]), **size}

    def following(self, answer: Answer, at: Position | None) -> Position | None:
        """The number of the next page, if there is one."""
        (number, full), held = self._begins(at), len(answer.items)
        following = number + self._step(held)
        count = within(answer.body, self.count) if self.count else None
        if self.end:
            return None if _flag(answer.body, self.end) else following
        if count is not None:
            return following if following - self.first < msgspec.json.decode(count, type=int) else None
        if not held or held < full:
            return None
        return following if held >= self.size else f"{following}/{held}"

    def _begins(self, at: Position | None) -> tuple[int, int]:
        """The number of a page, and how many records it has at least unless it is the last."""
        if at is None:
            return self.first, self.size if self.size_parameter is None else 1
        number, _, full = str(at).partition("/")
        return int(number), int(full or self.size)

    def _step(self, held: int) -> int:  # noqa: ARG002 - for those that count records
        """By how much a page moves the number."""
        return 1


@dataclass(frozen=True, slots=True)
class Offset(_Numbered):
    """The request counts the records before the page (QuickBooks counts from 1).

    Attributes:
        parameter: Takes the number of the first record.
        size: Records on a full page; one with fewer is the last.
        first: Number of the very first record.
        size_parameter: Takes the size, where it is asked for; the provider may give less.
        end: Where the answer says whether it is the last page: how full it is does not matter then.
        count: Where the answer says how many records the list has: how full the page is does not matter then.
    """

    def _step(self, held: int) -> int:
        return held


@dataclass(frozen=True, slots=True)
class PageNumber(_Numbered):
    """The request counts pages (Xero).

    Attributes:
        parameter: Takes the page's number.
        size: Records on a full page; one with fewer is the last.
        first: Number of the very first page.
        size_parameter: Takes the size, where it is asked for; the provider may give less.
        end: Where the answer says whether it is the last page: how full it is does not matter then.
        count: Where the answer says how many pages there are: how full this one is does not matter then.
    """

    first: int = 1


@dataclass(frozen=True, slots=True)
class NextLink(Paging):
    """The answer holds the next page's URL (Salesforce). It may be a path; another host is never asked.

    Attributes:
        link: Where the answer has it; missing, null or empty on the last page, unless that is said elsewhere.
        more: Where the answer says whether anything follows, if the last page has a link as well.
        end: The same the other way round: where the answer says whether it is the last page (Zendesk).
    """

    link: Path
    more: Path = ()
    end: Path = ()

    def parameters(self, at: Position | None) -> Mapping[Taker, Position]:  # noqa: ARG002 - the URL has them
        """None: the URL has them all."""
        return {}

    def url(self, url: str, at: Position | None) -> str | None:
        """The link, after the first page."""
        return None if at is None else urljoin(url, str(at))

    def following(self, answer: Answer, at: Position | None) -> Position | None:  # noqa: ARG002
        """The URL."""
        return _following(answer, self.link, self.more, self.end)


@dataclass(frozen=True, slots=True)
class LinkHeader(Paging):
    """A ``Link`` header holds the next page's URL (RFC 8288; GitHub, Shopify). Another host is never asked."""

    in_headers: ClassVar[bool] = True

    def parameters(self, at: Position | None) -> Mapping[Taker, Position]:  # noqa: ARG002 - the URL has them
        """None: the URL has them all."""
        return {}

    def url(self, url: str, at: Position | None) -> str | None:
        """The link, after the first page."""
        return None if at is None else urljoin(url, str(at))

    def following(self, answer: Answer, at: Position | None) -> Position | None:  # noqa: ARG002
        """The URL of the relation ``next``."""
        links = httpx.Response(200, headers={"link": answer.headers.get("link", "")}).links
        return next((link["url"] for name, link in links.items() if "next" in (name or "").split()), None)


def _held(taker: Taker, value: Position) -> dict[Taker, Position]:
    """What a request holds: text in its query, a number as such in its body."""
    return {taker: str(value) if isinstance(taker, str) else value}


def _following(answer: Answer, place: Path, more: Path, end: Path) -> Position | None:
    """The position that stands in an answer; None on the last page, by a flag where the list has one.

    Raises:
        ProtocolError: If the flag says that more follows, and no position is there.
    """
    if (more and not _flag(answer.body, more)) or (end and _flag(answer.body, end)):
        return None
    position = _position(within(answer.body, place))
    if position is None and (more or end):
        raise ProtocolError(f"{answer.what} has nothing at {'.'.join(place)} to go on from, yet more follow")
    return position


def _flag(body: Json, path: Path) -> bool:
    """Whether something is said to be so: anything but false, in word or value, zero, and what is empty."""
    found = within(body, path)
    return found is not None and msgspec.json.decode(found) not in (False, 0, "", "false", "False", [], {})


def _position(raw: msgspec.Raw | None) -> Position | None:
    """A position as JSON; None where it is missing or empty."""
    position: Position | None = None if raw is None else msgspec.json.decode(raw, type=str | int)
    return None if position == "" else position
