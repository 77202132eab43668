"""Reading a request's body, counted as it comes: what its headers say about its size is a claim."""

from collections.abc import Awaitable, Callable, MutableMapping
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
        """Let one body have ``bytes_each`` at most, where its reader says nothing else, and all ``bytes_together``."""
        self._bytes_each = bytes_each
        self._bytes_together = bytes_together
        self._bytes = 0

    async def read(self, receive: Receive, claimed: bytes, most: int | None = None) -> bytes:
        """Read a body. It counts until it is handed to :meth:`release`.

        Args:
            receive: ASGI's, of a request whose body was not read yet.
            claimed: The header ``Content-Length``, or nothing. Too much is refused at once; less is counted.
            most: Bytes that it may have.

        Returns:
            All of it.

        Raises:
            TooLargeError, TooBusyError, DisconnectedError: As their names say; then nothing is counted any more.
        """
        most = self._bytes_each if most is None else most
        if claimed.isdigit() and int(claimed[:20]) > most:
            raise TooLargeError
        body = bytearray()
        is_complete = False
        try:
            while not is_complete:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise DisconnectedError
                piece = message.get("body", b"")
                body += piece
                self._bytes += len(piece)
                if len(body) > most:
                    raise TooLargeError
                if self._bytes > self._bytes_together:
                    raise TooBusyError
                is_complete = not message.get("more_body")
        finally:
            if not is_complete:
                self._bytes -= len(body)
        return bytes(body)

    def release(self, body: bytes) -> None:
        """Count a body no longer."""
        self._bytes -= len(body)
