"""Writing many records with one request, each with an outcome of its own.

One record that is refused never keeps another one from being written: where a request is refused as a whole it is sent
in two halves, down to the record at fault. Where a request may have been carried out without an answer and can't be
repeated, the records are looked up first, and only those that are not there are sent again.

The adapter says how its requests look (:class:`BatchTarget`). Not here: systems that take one record at a time
(``one_by_one``).
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import stamina

from unified.kit.errors import (
    NotFoundError,
    ProtocolError,
    ProviderError,
    RequestRefusedError,
    UndecidedError,
    counted,
)
from unified.kit.writing.changes import Report, Write, Written, carry_out

_LONGEST_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class Lane:
    """Writes that may be sent together.

    Attributes:
        action: What they are sent as, in the provider's own word.
        is_repeatable: Whether they may be sent again before their outcome was looked up.
    """

    action: str
    is_repeatable: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Why one write was not carried out.

    Attributes:
        write: The change.
        category: The provider's own word for what is wrong.
        reason: Its words for people.
    """

    write: Write
    category: str
    reason: str


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What an answer says about the writes of one request.

    Attributes:
        settled: The outcomes of those that were carried out.
        refused: Those that were not, each with its own reason.
        unmatched: How many results answer none of the writes. Writes that are in neither list were not carried out,
            unless there are such results: then it is open.
    """

    settled: Sequence[Written]
    refused: Sequence[Refused] = ()
    unmatched: int = 0


class BatchTarget(ABC):
    """What an adapter says about a system that takes many records in one request: the writer of a stream.

    Attributes:
        size: Writes in one request at most.
    """

    size: ClassVar[int]

    def __init__(self, adapter: Any) -> None:
        """Use a connected :class:`unified.kit.adapter.BaseAdapter`, whose settings say how much goes out at once."""
        self._adapter = adapter

    @property
    def label(self) -> str:
        """Names the connection in errors."""
        return str(self._adapter.label)

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        config = self._adapter.config
        batched = Batched(
            self,
            size=self.size,
            at_once=config.concurrency,
            attempts=config.retry_count + 1,
            retry_delay=config.retry_delay,
        )
        return batched.write(writes)

    @abstractmethod
    def lane(self, write: Write) -> Lane:
        """With which others a write is sent."""

    @abstractmethod
    async def send(self, lane: Lane, writes: Sequence[Write]) -> BatchOutcome:
        """Send writes of one lane in one request, and match its answer with them.

        Raises:
            RequestRefusedError, NotFoundError: If the request is refused as a whole.
            UndecidedError: If it is open whether it was carried out.
            ProviderError: If nothing more can be written for now.
        """

    @abstractmethod
    async def look_up(self, writes: Sequence[Write]) -> Sequence[Written]:
        """Find out the outcome of writes that can't be repeated and had no answer.

        Returns:
            What is known. What is left out was not carried out, and is sent again.
        """

    @abstractmethod
    async def refusal(self, write: Write, error: ProviderError) -> Refused:
        """Why the only write of a request was refused with the whole of it.

        Raises:
            ProviderError: ``error``, where it is not about this record.
        """

    @abstractmethod
    async def settle(self, refused: Sequence[Refused]) -> Sequence[Written]:
        """What refusals come to: ``refused``, ``missing``, ``conflict``, or ``applied`` by an earlier attempt."""


class _Batch:
    """Writes that are sent together, until something is known of each.

    Attributes:
        waiting: By idempotency key, those of which nothing was reported.
        open: Keys of those that were sent without an answer, now or by an earlier run.
    """

    def __init__(self, writes: Sequence[Write], report: Report) -> None:
        self.waiting = {write.idempotency_key: write for write in writes}
        self.open = {write.idempotency_key for write in writes if write.sent_at is not None}
        self._report = report

    def settle(self, outcomes: Sequence[Written]) -> None:
        for written in outcomes:
            del self.waiting[written.write.idempotency_key]
            self.open.discard(written.write.idempotency_key)
            self._report(written)

    def leave_open(self, writes: Sequence[Write]) -> None:
        self.open.update(write.idempotency_key for write in writes)

    def give_up(self, reason: str) -> None:
        """Report what stayed open. The others were not carried out, and are not reported."""
        left = [self.waiting[key] for key in self.open]
        self.settle([Written(write, "unknown", write.source_id, reason=reason) for write in left])


@dataclass(frozen=True, slots=True)
class Batched:
    """Carries out changes of one stream.

    Attributes:
        target: The system.
        size: Writes in one request.
        at_once: Requests under way at most.
        attempts: How often a write is sent that is looked up in between.
        retry_delay: Seconds before the second time; doubles.
    """

    target: BatchTarget
    size: int
    at_once: int
    attempts: int
    retry_delay: float

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        lanes: dict[Lane, list[Write]] = defaultdict(list)
        for write in writes:
            lanes[self.target.lane(write)].append(write)
        jobs = (
            partial(self._write, lane, waiting[at : at + self.size])
            for lane, waiting in lanes.items()
            for at in range(0, len(waiting), self.size)
        )
        return carry_out(jobs, at_once=self.at_once)

    async def _write(self, lane: Lane, writes: Sequence[Write], report: Report) -> None:
        batch = _Batch(writes, report)
        try:
            if lane.is_repeatable:
                await self._send(lane, writes, batch)
            else:
                await self._send_what_is_not_there(lane, batch)
        except ProviderError as error:
            batch.give_up(str(error))
            raise

    async def _send_what_is_not_there(self, lane: Lane, batch: _Batch) -> None:
        async for attempt in stamina.retry_context(
            on=UndecidedError,
            attempts=self.attempts,
            timeout=None,
            wait_initial=self.retry_delay,
            wait_max=_LONGEST_WAIT,
            wait_jitter=self.retry_delay,
        ):
            with attempt:
                if batch.open:
                    batch.settle(await self.target.look_up([batch.waiting[key] for key in batch.open]))
                    batch.open.clear()
                await self._send(lane, tuple(batch.waiting.values()), batch)

    async def _send(self, lane: Lane, writes: Sequence[Write], batch: _Batch) -> None:
        """Send writes in one request; in two halves where it is refused as a whole, down to the one at fault."""
        if not writes:
            return
        try:
            outcome = await self.target.send(lane, writes)
        except UndecidedError:
            batch.leave_open(writes)
            raise
        except (RequestRefusedError, NotFoundError) as error:
            await self._divide(lane, writes, batch, error)
            return
        batch.settle(outcome.settled)
        if outcome.refused:
            batch.settle(await self.target.settle(outcome.refused))
        rest = [write for write in writes if write.idempotency_key in batch.waiting]
        if rest and (outcome.unmatched or len(writes) == 1):
            batch.leave_open(rest)
            raise UndecidedError(
                f"{self.target.label}: the answer leaves out {len(rest)} of {counted(len(writes), 'record')}"
            )
        if len(rest) < len(writes):
            await self._send(lane, rest, batch)
        else:
            fault = ProtocolError(f"{self.target.label}: records were refused without saying which")
            await self._divide(lane, rest, batch, fault)

    async def _divide(self, lane: Lane, writes: Sequence[Write], batch: _Batch, error: ProviderError) -> None:
        if len(writes) > 1:
            middle = len(writes) // 2
            for half in (writes[:middle], writes[middle:]):
                await self._send(lane, half, batch)
            return
        batch.settle(await self.target.settle([await self.target.refusal(writes[0], error)]))
