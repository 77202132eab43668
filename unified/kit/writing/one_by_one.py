"""Writing records with one request each, safe to repeat by idempotency keys.

The adapter sends one change; what its outcome means is the same everywhere and said here. Not here: systems that
take many records in one request (``batched``).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from unified.kit.errors import NotFoundError, RequestRefusedError, UndecidedError
from unified.kit.streams import RawRecord
from unified.kit.writing.changes import Report, Write, Written, carry_out, report_unknown


@dataclass(frozen=True, slots=True)
class OneByOne:
    """Carries out changes of one stream.

    Attributes:
        send: Sends one change with its idempotency key, and returns the record that the answer shows: under no id where
            it names none, None where it shows none (after a delete). It raises what the HTTP client raises.
        clock: Says how old an idempotency key is.
        at_once: Requests under way at most.
        key_kept: For how long the provider remembers an idempotency key. A creation that may have been sent longer ago
            is not sent again, as it could be done twice; zero for a provider that knows no such keys.
        is_missing: Whether a 404 means that the record is gone; else it is the path that is wrong, and nothing more
            can be written.
        refused: Finds out what a refusal means: a ``conflict``, or ``applied`` by an earlier run; None for no more than
            a refusal.
    """

    send: Callable[[Write], Awaitable[RawRecord | None]]
    clock: Callable[[], datetime]
    at_once: int
    key_kept: timedelta = timedelta(0)
    is_missing: Callable[[NotFoundError], bool] = lambda _: True
    refused: Callable[[Write, RequestRefusedError], Awaitable[Written | None]] | None = None

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        return carry_out((partial(self._write, write) for write in writes), at_once=self.at_once)

    async def _write(self, write: Write, report: Report) -> None:
        if (
            write.operation == "create"
            and write.sent_at is not None
            and self.clock() - write.sent_at > self.key_kept
        ):
            reason = (
                f"it was sent at {write.sent_at:%Y-%m-%d %H:%M}, and the provider no longer knows its idempotency "
                "key; look the record up"
            )
            report(Written(write, "unknown", reason=reason, is_final=True))
            return
        try:
            raw = await self.send(write)
        except UndecidedError as error:
            report_unknown([write], error, report)
            raise
        except NotFoundError as error:
            if write.source_id is None or not self.is_missing(error):
                raise
            report(Written(write, "missing", write.source_id, reason=str(error)))
        except RequestRefusedError as error:
            found = None if self.refused is None else await self.refused(write, error)
            report(found or Written(write, "refused", write.source_id, reason=str(error)))
        else:
            report(_applied(write, raw))


def _applied(write: Write, raw: RawRecord | None) -> Written:
    if raw is not None and raw.source_id is None:
        reason = "the provider's answer names no record"
        return Written(write, "unknown", write.source_id, reason=reason, is_final=True)
    return Written(write, "applied", write.source_id if raw is None else raw.source_id, raw)
