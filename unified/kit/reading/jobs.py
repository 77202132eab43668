"""A list that the provider makes first: a job is begun, asked after until it is done, and its results are the list.

Where a page begins says which job it is of, so a pull that was stopped waits for the same one, or goes on in its
results. What is asked, and how answers are read, a :class:`Job` says; who goes from page to page is `pages`.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Literal, NamedTuple
from urllib.parse import urljoin

import httpx
import msgspec

from unified.kit.errors import (
    AdapterError,
    ForbiddenHostError,
    NotFoundError,
    RequestRefusedError,
    UnavailableError,
)
from unified.kit.http.client import HttpClient
from unified.kit.reading.lists import Asked, ListEndpoint
from unified.kit.reading.paging import Answer, Paging, Part, Position, Taker

_log = logging.getLogger(__name__)

# For so many seconds a job is awaited within one page; then the pull has its turn, and may stop.
_TURN = 30.0

Made = Mapping[str, str]
"""What identifies a job to its provider, by name."""


@dataclass(frozen=True, slots=True)
class Look:
    """How far a job is.

    Attributes:
        state: Whether it is done, and how.
        word: The provider's own word for that.
        results: The lists that it made, once it is completed.
    """

    state: Literal["running", "completed", "skipped", "failed"]
    word: str
    results: Sequence[ListEndpoint] = ()


class Job(ABC):
    """What is asked of a provider about jobs of one kind.

    Attributes:
        attempts: How often one is begun where it fails.
        poll_seconds: Between two looks.
        timeout_seconds: How long one may take.
        clock: Says what time it is.
    """

    attempts: int
    poll_seconds: float
    timeout_seconds: float
    clock: Callable[[], datetime]

    @abstractmethod
    async def begin(self, http: HttpClient, asked: Asked) -> Made:
        """Begin a job, with these further conditions."""

    @abstractmethod
    async def look(self, http: HttpClient, made: Made) -> Look:
        """Ask how far it is.

        Raises:
            NotFoundError: If the provider does not know it.
        """

    @abstractmethod
    def may_ask(self, url: httpx.URL) -> bool:
        """Whether a result may be asked for there, without a credential."""

    @abstractmethod
    async def end(self, http: HttpClient, made: Made, *, is_done: bool) -> None:
        """Take it off the provider's hands: all of it was read, or it was not done in time."""


@dataclass(frozen=True, slots=True)
class File(Paging):
    """A result at a URL: one page, as it is."""

    in_headers: ClassVar[bool] = False
    shifts: ClassVar[bool] = False

    target: str

    def parameters(self, at: Position | None) -> Mapping[Taker, Position]:  # noqa: ARG002 - the URL has them
        """None: the URL has them all."""
        return {}

    def url(self, url: str, at: Position | None) -> str:  # noqa: ARG002 - there is one page
        """The URL, which may be relative to the base URL."""
        return urljoin(url, self.target)

    def following(self, answer: Answer, at: Position | None) -> Position | None:  # noqa: ARG002
        """Nothing."""
        return None


class _Place(NamedTuple):
    """Where a reader of a job is.

    Attributes:
        made: The job.
        began: When, in seconds since 1970.
        attempt: Its number, from 1: others failed before it.
        waited: Seconds that were waited for it so far.
        file: Which of its results.
        page: Where a page of that begins; None for the first.
    """

    made: dict[str, str]
    began: int
    attempt: int = 1
    waited: float = 0
    file: int = 0
    page: Position | None = None

    @property
    def key(self) -> str:
        """What distinguishes the job from others."""
        return msgspec.json.encode(self.made).decode()


_PLACE = msgspec.json.Decoder(_Place)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEndpoint(ListEndpoint):
    """A list that a job makes; its pages are those of the job's results, after some empty ones while it is awaited.

    Attributes:
        job: What is asked.
    """

    job: Job
    may_be_empty: bool = True
    _own: set[str] = field(default_factory=set)
    """Jobs that this run has begun or awaited."""
    _done: dict[str, Sequence[ListEndpoint]] = field(default_factory=dict)
    """The results of the last one that was done."""

    async def page(self, http: HttpClient, at: Position | None = None, params: Asked = ()) -> Part:
        """Begin a job, wait for it, or read a page of its results.

        Raises:
            RequestRefusedError: If it failed as often as it may, or is not to be had any more.
            UnavailableError: If it was not done in time.
            ForbiddenHostError: If a result is where none may be.
            ProviderError: As :meth:`ListEndpoint.read` raises it.
        """
        if at is None:
            return await self._begun(http, params, 1)
        here = self._place(http, at)
        results = self._done.get(here.key)
        if results is None:
            look, waited = await self._awaited(http, here)
            self._own.add(here.key)
            if look.state == "running":
                return Part((), _written(here._replace(waited=here.waited + waited)))
            if look.state == "failed":
                if here.attempt < self.job.attempts:
                    return await self._begun(http, params, here.attempt + 1)
                raise RequestRefusedError(
                    f"{self.what(http)}: its job failed ({look.word[:100]!r}), {here.attempt} times"
                )
            results = look.results
            self._done.clear()
            self._done[here.key] = results
        return await self._of_results(http, results, here)

    async def _of_results(self, http: HttpClient, results: Sequence[ListEndpoint], here: _Place) -> Part:
        """A page of a job that is done; behind its last one the job is ended."""
        if not results:
            await self._ended(http, here.made, is_done=True)
            return Part(())
        if here.file >= len(results):
            raise RequestRefusedError(f"{self.what(http)}: its job has fewer results than before")
        part = await self._read(http, results[here.file], here.page)
        if part.following is not None:
            return replace(part, following=_written(here._replace(page=part.following)))
        if here.file + 1 < len(results):
            return replace(part, following=_written(here._replace(file=here.file + 1, page=None)))
        if part.more is not None:
            return replace(part, more=self._until_ended(http, here.made, part.more))
        await self._ended(http, here.made, is_done=True)
        return part

    async def _until_ended(
        self, http: HttpClient, made: Made, rest: AsyncGenerator[Sequence[msgspec.Raw], None]
    ) -> AsyncGenerator[Sequence[msgspec.Raw], None]:
        """The rest of the last result, after which the job is ended."""
        async with aclosing(rest):
            async for batch in rest:
                yield batch
        await self._ended(http, made, is_done=True)

    async def _begun(self, http: HttpClient, params: Asked, attempt: int) -> Part:
        made = await self.job.begin(http, params)
        place = _Place(dict(made), int(self.job.clock().timestamp()), attempt)
        self._own.add(place.key)
        return Part((), _written(place))

    async def _awaited(self, http: HttpClient, here: _Place) -> tuple[Look, float]:
        """How far the job is once it is done, or the pull has its turn; and for how many seconds it was waited."""
        waited = 0.0
        while True:
            try:
                look = await self.job.look(http, here.made)
            except NotFoundError as error:
                raise RequestRefusedError(f"{error}; its job is gone", status=error.status) from None
            age = max(here.waited + waited, self.job.clock().timestamp() - here.began)
            if look.state == "running" and age >= self.job.timeout_seconds:
                await self._ended(http, here.made, is_done=False)
                msg = f"{self.what(http)}: its job was not done within {self.job.timeout_seconds:,} seconds"
                # One of a former run is given up, and the list read from its start; this run's is for the next.
                raise UnavailableError(msg) if here.key in self._own else RequestRefusedError(msg)
            if look.state != "running" or waited >= _TURN:
                return look, waited
            await asyncio.sleep(self.job.poll_seconds)
            waited += self.job.poll_seconds

    async def _read(self, http: HttpClient, result: ListEndpoint, at: Position | None) -> Part:
        """A page of a result; of one at another origin without the credential."""
        link = result.link(http, at)
        if link is None or http.is_own(link):
            return await result.page(http, at)
        url = httpx.URL(link)
        if not self.job.may_ask(url):
            raise ForbiddenHostError(
                f"{self.what(http)}: its result is at {url.host}, which is not one of this system's hosts, and "
                "nothing was asked there"
            )
        elsewhere = http.elsewhere(url)
        try:
            return await result.page(elsewhere, at)
        finally:
            await elsewhere.aclose()

    async def _ended(self, http: HttpClient, made: Made, *, is_done: bool) -> None:
        try:
            await self.job.end(http, made, is_done=is_done)
        except AdapterError as error:
            _log.warning("%s; the job is left to its provider", error)

    def _place(self, http: HttpClient, at: Position) -> _Place:
        try:
            return _PLACE.decode(str(at))
        except msgspec.MsgspecError:
            raise RequestRefusedError(f"{self.what(http)}: the last run stopped in no job of it") from None


def _written(place: _Place) -> str:
    return msgspec.json.encode(place).decode()
