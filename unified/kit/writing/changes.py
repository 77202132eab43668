"""Changes to make at a target, and their outcomes.

Not here: what a system's API takes (each adapter's ``mapping`` and ``writing``), and who decides what to
write (``sync``).
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from unified.kit.errors import ConfigurationError, UndecidedError
from unified.kit.streams import RawRecord

Operation = Literal["create", "update", "delete"]
Outcome = Literal["applied", "refused", "missing", "conflict", "unknown"]

CUSTOM = "custom_fields"
"""The field of which single keys may be written, as ``custom_fields.<key>``."""


@dataclass(frozen=True, slots=True)
class Write:
    """One change to make at the target.

    Attributes:
        operation: ``delete`` stands for archiving where the system has a bin.
        source_id: The target's id of the record; None to create one.
        body: From :meth:`unified.kit.adapter.BaseAdapter.from_unified`, for an update of the fields that are to
            change; empty for a delete.
        idempotency_key: Names this very change, unlike any other write: the same for each time that it is sent.
            Made of connection, record and content version; 255 characters at most.
        sent_at: When it may have been sent first, by a run that was cut off or without an answer; None if it
            never was. It decides whether it may be sent again, or has to be looked up first.
    """

    operation: Operation
    source_id: str | None
    body: Mapping[str, Any]
    idempotency_key: str
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of one :class:`Write`.

    Attributes:
        write: The change.
        outcome: ``applied``, now or by an earlier attempt; ``refused`` by the provider; ``missing``: the record
            to change is no longer there, which is not a fault of a delete; ``conflict``: a record like the one to
            create exists, and holds something else; ``unknown``: it was sent, no answer came, and nothing
            says whether it was applied. The same write with ``sent_at`` may be tried later: it is never
            applied twice.
        source_id: Of the record at the target: changed, created, or in conflict; None where there is none.
        raw: The record as the target's answer shows it, for ``to_unified``. After an update some targets show
            little more than what was written: take the fields that were sent, and nothing else. None without
            such an answer, and after a delete.
        reason: The provider's words where it was refused, or why the outcome is unknown; nothing secret.
        is_final: Of an unknown outcome: nothing at the provider will ever show it, so a person has to look.
    """

    write: Write
    outcome: Outcome
    source_id: str | None = None
    raw: RawRecord | None = None
    reason: str | None = None
    is_final: bool = False


Report = Callable[[Written], None]
Job = Callable[[Report], Coroutine[Any, Any, None]]
"""One request, or a few that belong together; it reports each of its writes once, then may fail."""


async def carry_out(jobs: Iterable[Job], *, at_once: int) -> AsyncGenerator[Written, None]:
    """Run jobs side by side and pass on what they report.

    Args:
        jobs: Begun in their order.
        at_once: Jobs under way at most.

    Yields:
        Reports, as they come.

    Raises:
        Exception: What the first job failed with, once those that were under way have reported: no further ones
            are begun.
    """
    reports: deque[Written] = deque()
    running: list[asyncio.Task[None]] = []
    waiting = iter(jobs)
    failure: BaseException | None = None
    try:
        while True:
            while failure is None and len(running) < at_once and (job := next(waiting, None)) is not None:
                running.append(asyncio.create_task(job(reports.append)))
            if not running:
                break
            finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task in finished]:  # in the order in which they began
                running.remove(task)
                error = task.exception()
                failure = failure or error
            while reports:
                yield reports.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failure is not None:
        raise failure


def report_unknown(writes: Iterable[Write], error: UndecidedError, report: Report) -> None:
    """Report writes that were sent and whose outcome is not known."""
    for write in writes:
        report(Written(write, "unknown", write.source_id, reason=str(error)))


def choose(
    parts: Mapping[str, Mapping[str, Any]], custom: Mapping[str, Any], fields: Collection[str] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a body holds for the fields to write; see :meth:`unified.kit.adapter.BaseAdapter.from_unified`.

    Args:
        parts: By field of the model, the properties of the system that carry it; None where empty.
        custom: By key, the record's custom fields that the system can hold.
        fields: The fields to write, or None for whatever is known.

    Returns:
        The properties, and the custom fields. Without ``fields`` both are free of None.

    Raises:
        ConfigurationError: If one of the fields is not written to this system.
    """
    if fields is None:
        known = {name: value for part in parts.values() for name, value in part.items() if value is not None}
        return known, dict(custom)
    chosen: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for field in fields:
        name, _, key = field.partition(".")
        if name == CUSTOM:
            own |= {key: custom.get(key)} if key else custom
        elif field in parts:
            chosen |= parts[field]
        else:
            msg = f"{field} is not written; {', '.join(sorted(parts))} and {CUSTOM} are"
            raise ConfigurationError(msg)
    return chosen, own
