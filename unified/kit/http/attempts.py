"""How often one request is tried, and what it means for a change where no answer came in the end.

Not here: which failures may pass (``client`` and ``refusals`` say so by raising :class:`Retry`), and rate limits.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import httpx
import stamina

from unified.kit.errors import (
    NotFoundError,
    ProtocolError,
    ProviderError,
    RequestRefusedError,
    UnavailableError,
    UndecidedError,
)

# A retry is one line of the application's own log, not of structlog's on standard output.
stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])

_Read = TypeVar("_Read")

Effect = Literal["none", "repeatable", "once"]
"""What a request changes at the provider: nothing; something that a repetition leaves as it is; or something
that a repetition would do twice."""

_LONGEST_BACKOFF = 30.0


class Retry(Exception):  # noqa: N818 - a signal to the retry loop, never seen outside
    """An attempt failed in a way that may pass.

    Attributes:
        error: How it failed.
        wait: Seconds to wait first, or None.
        decided: Whether the provider certainly did nothing.
    """

    def __init__(self, error: ProviderError, wait: float | None = None, *, decided: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait
        self.decided = decided


def is_open(error: Exception) -> bool:
    """Whether a failure leaves open what the provider did."""
    if isinstance(error, ProtocolError):
        # No status: a body that could not be taken in, of an answer that may have been one of success.
        return error.status is None or httpx.codes.is_success(error.status)
    return (
        isinstance(error, UnavailableError)
        and error.status is not None
        and error.status >= httpx.codes.INTERNAL_SERVER_ERROR
    )


async def tried(
    attempt: Callable[[int], Awaitable[_Read]], *, attempts: int, delay: float, effect: Effect
) -> _Read:
    """Try a request until it is answered.

    Args:
        attempt: Sends it, given how many times it will have been sent. It raises :class:`Retry` where that may help.
        attempts: How often to send it at most.
        delay: Seconds before the second time, where the provider asks for no other wait; doubles.
        effect: What it changes.

    Raises:
        UndecidedError: If it has an effect, and it is open whether that took place.
        ProviderError: How it failed last.
    """
    decided = True

    def retry(error: Exception) -> bool | float:
        nonlocal decided
        decided = decided and (error.decided if isinstance(error, Retry) else not is_open(error))
        if not isinstance(error, Retry) or (effect == "once" and not decided):
            return False
        # The provider's own wait where it gave one, else exponential backoff.
        return True if error.wait is None else error.wait

    try:
        async for turn in stamina.retry_context(
            on=retry,
            attempts=attempts,
            timeout=None,
            wait_initial=delay,
            wait_max=_LONGEST_BACKOFF,
            wait_jitter=delay,
        ):
            with turn:
                return await attempt(turn.num)
    except (RequestRefusedError, NotFoundError):
        raise  # its word on this very request, earlier attempts included
    except (Retry, ProviderError) as last:
        failure = last.error if isinstance(last, Retry) else last
        if effect != "none" and not decided:
            msg = f"{failure}; whether it was carried out is open"
            raise UndecidedError(msg, status=failure.status, code=failure.code, wait=failure.wait) from None
        raise failure from None
    raise AssertionError("unreachable")
