"""The bench: an adapter, a stand-in of its system that runs, and a copy that keeps what a store would keep.

Not here: what is checked.
"""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import quote
from uuid import UUID

import msgspec

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import ConnectionRef, CredentialKind
from unified.kit.secrets import Secret
from unified.kit.streams import Cursor, Page
from unified.sandbox.faults import Fault
from unified.sandbox.provider import Provider
from unified.sandbox.server import Server

NOW = 1_790_000_000
"""A Wednesday in 2026, at which the stand-in's clock begins and stands still."""


@dataclass
class Copy:
    """What a store holds of a stream after the pages that it was given.

    Attributes:
        stream: Its name.
        records: Raw records by id, decoded.
        gone: Tombstones: when each record was deleted.
        cursor: Where the next pull goes on from.
        met: Ids in the order in which they came since the last pull began.
        rejects: Records without a readable id.
    """

    stream: str
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: dict[str, datetime] = field(default_factory=dict)
    cursor: Cursor | None = None
    met: list[str] = field(default_factory=list)
    rejects: int = 0
    _refreshed: dict[datetime | None, set[str]] = field(default_factory=dict)

    def add(self, page: Page) -> None:
        """Store a page: its records, its tombstones and its cursor together."""
        for record in page.records:
            if record.source_id is None:
                self.rejects += 1
                continue
            self.met.append(record.source_id)
            self.records[record.source_id] = msgspec.json.decode(record.body)
            self.gone.pop(record.source_id, None)
            self._refreshed.setdefault(page.refresh_started_at, set()).add(record.source_id)
        for tombstone in page.tombstones:
            self.gone[tombstone.source_id] = tombstone.deleted_at
            self.records.pop(tombstone.source_id, None)
        self._refreshed.setdefault(page.refresh_started_at, set()).update(page.met)
        if page.refresh_done:
            alive = self._refreshed.get(page.refresh_started_at, set())
            self.records = {name: record for name, record in self.records.items() if name in alive}
        if page.cursor is not None:
            # Cursors are stored as JSON.
            self.cursor = msgspec.json.decode(msgspec.json.encode(page.cursor))


@dataclass(frozen=True)
class Granted:
    """An access token that nobody refreshes, of a system that is opened by OAuth alone."""

    token: str = field(repr=False)

    async def current(self) -> Secret:
        """The token."""
        return Secret(self.token)

    async def renewed(self, rejected: Secret) -> Secret:
        """There is no other one."""
        return rejected


class Bench(ABC):
    """What the author of an adapter says to have it tested. Use an instance in ``with``: the stand-in runs meanwhile.

    Attributes:
        adapter_class: The adapter.
        credentials: What opens the stand-in's first account, by the adapter's names; obviously fake. An access token
            where the system is opened by OAuth alone.
        settings: Beside the address and those that make the adapter quick.
        base: Path of the API below the address at which the stand-in is served.
        covers: Streams to test, where a few stand for all that the same code reads; empty for all that are polled.
        edits: By stream, which of ``create``, ``update`` and ``delete`` its records know at the source.
        whole: Streams of which every pull reads all, as nothing says what changed.
        silent: Streams of whose changes no webhook says anything, where the system delivers others.
        before_pages: Requests of a full refresh before those of its pages, where it has to find out something first.
        webhook_secret: What deliveries are signed with, where the system sends any.
        unsigned: ``body`` and ``time``, where the system signs no such thing in its deliveries, and ``headers`` where
            what proves a delivery stands in its body.
    """

    adapter_class: ClassVar[type[BaseAdapter[Any]]]
    credentials: ClassVar[Mapping[str, str]]
    settings: ClassVar[Mapping[str, Any]] = {}
    base: ClassVar[str] = ""
    covers: ClassVar[tuple[str, ...]] = ()
    edits: ClassVar[Mapping[str, frozenset[str]]]
    whole: ClassVar[frozenset[str]] = frozenset()
    silent: ClassVar[frozenset[str]] = frozenset()
    before_pages: ClassVar[int] = 0
    webhook_secret: ClassVar[str] = ""
    unsigned: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *, empty: bool = False) -> None:
        self.provider = self.stand_in(empty=empty)
        self._server = Server(self.provider)

    @abstractmethod
    def stand_in(self, *, empty: bool) -> Provider[Any]:
        """The system without limits, its clock at :data:`NOW`: several pages of every stream, or nothing at all."""

    @abstractmethod
    def ids(self, stream: str) -> set[str]:
        """The ids that a complete copy of a stream holds now."""

    @abstractmethod
    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """Make a change at the source: ``create`` (without an id), ``update`` or ``delete``. The record's id."""

    def id_path(self, stream: str) -> str:
        """Where in an element of a list the id stands, dotted."""
        del stream
        return "id"

    def before(self, stream: str) -> int:
        """The same as ``before_pages`` for a stream, where they differ."""
        del stream
        return self.before_pages

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    @classmethod
    def streams(cls, change: str | None = None) -> list[str]:
        """Names of the streams to test, all or those whose records know a change."""
        names = cls.covers or [stream.name for stream in cls.adapter_class.streams]
        return [name for name in names if change is None or change in cls.edits.get(name, ())]

    @property
    def url(self) -> str:
        """The base URL that the adapter is given."""
        return f"{self._server.url}/{self.provider.name}{self.base}"

    def now(self) -> datetime:
        """The stand-in's time, which is the adapter's as well."""
        return datetime.fromtimestamp(self.provider.clock.time(), UTC)

    def open(self, credentials: Mapping[str, str] | None = None, **settings: Any) -> BaseAdapter[Any]:
        """An adapter, not slowed down by limits or pauses unless settings say so."""
        quick = {
            "base_url": self.url,
            "allow_private_hosts": True,
            "requests_per_second": 1e6,
            "retry_delay": 0,
        }
        opens = credentials or self.credentials
        is_oauth = self.adapter_class.credential_kind is CredentialKind.OAUTH_TOKEN
        return self.adapter_class(
            self.adapter_class.config_model.model_validate({**quick, **self.settings, **settings}),
            {name: Secret(value) for name, value in opens.items()},
            ConnectionRef(UUID(int=1), UUID(int=2), f"acme/{self.adapter_class.name}"),
            clock=self.now,
            tokens=Granted(next(iter(opens.values()))) if is_oauth else None,
        )

    async def sync(self, copy: Copy, *, pages: int | None = None, **settings: Any) -> list[Page]:
        """Pull what is new into a copy. ``pages`` stops after so many, as a run does that is killed."""
        seen: list[Page] = []
        copy.met.clear()
        async with (
            self.open(**settings) as adapter,
            aclosing(adapter.pull(copy.stream, copy.cursor)) as source,
        ):
            async for page in source:
                copy.add(page)
                seen.append(page)
                if len(seen) == pages:
                    break
        return seen

    async def loaded(self, stream: str) -> Copy:
        """A copy after a first load, with nothing new at the source since a day before it; requests count anew."""
        copy = Copy(stream)
        self.provider.clock.advance(days=1)
        await self.sync(copy)
        self.provider.clock.advance(seconds=60)
        self.provider.stats.reset()
        return copy

    async def settled(self, copy: Copy) -> None:
        """Pull twice, an hour later each time: also what an adapter looks at a second time has come by then."""
        for _ in range(2):
            self.provider.clock.advance(seconds=3600)
            await self.sync(copy)

    def fault(self, kind: Any, path: str = "", **how: Any) -> None:
        """Arm a fault of the stand-in: see :class:`unified.sandbox.faults.Fault`."""
        self.provider.faults.add(Fault(kind, path, **how))

    def leaks(self, texts: Iterable[str]) -> list[str]:
        """Which of the texts show a credential, plain or as it travels."""
        shapes = [shape for value in self.credentials.values() for shape in _shapes(value)]
        return [text for text in texts if any(shape in text for shape in shapes)]


def _shapes(value: str) -> set[str]:
    basic = base64.b64encode(f"{value}:".encode()).decode()
    return {
        value,
        quote(value, safe=""),
        json.dumps(value)[1:-1],
        basic,
        base64.b64encode(value.encode()).decode(),
    }
