"""Reading a request's body, counted as it comes: what its headers say about its size is a claim."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class TooLargeError(Exception):
    """The body has more bytes than one may have."""


class TooBusyError(Exception):
    """The bodies under way have more bytes than all may have together."""


class DisconnectedError(Exception):
    """The sender went away, or took too long, before the body was complete."""


class Bodies:
    """The bodies under way, bounded one by one and together."""

    def __init__(self, *, bytes_each: int, bytes_together: int) -> None:
        """Let one body have ``bytes_each`` at most, and all of them ``bytes_together``."""
        self._bytes_each = bytes_each
        self._bytes_together = bytes_together
        self._bytes = 0

    @asynccontextmanager
    async def read(self, receive: Receive, claimed: bytes) -> AsyncIterator[bytes]:
        """Read a body, and count it until the block ends.

        Args:
            receive: ASGI's, of a request whose body was not read yet.
            claimed: The header ``Content-Length``, or nothing. Too much is refused at once; less is counted.

        Yields:
            All of the body.

        Raises:
            TooLargeError, TooBusyError, DisconnectedError: As their names say.
        """
        if claimed.isdigit() and int(claimed[:20]) > self._bytes_each:
            raise TooLargeError
        pieces: list[bytes] = []
        size = 0
        try:
            is_complete = False
            while not is_complete:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise DisconnectedError
                piece = message.get("body", b"")
                is_complete = not message.get("more_body")
                pieces.append(piece)
                size += len(piece)
                self._bytes += len(piece)
                if size > self._bytes_each:
                    raise TooLargeError
                if self._bytes > self._bytes_together:
                    raise TooBusyError
            yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
        finally:
            self._bytes -= size
