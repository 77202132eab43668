"""Bounds on what a client can make the server hold before there is a request to judge.

The parser beneath uvicorn sets none: a head may go on for ever, a request may trickle in for ever, and pipelined
requests pile up faster than they are answered (https://github.com/Kludex/uvicorn/pull/1684, closed unmerged).
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Proxies pass on some 8 to 32 KiB of headers; providers send one or two.
HEAD_BYTES = 64 * 1024

# Senders of webhooks wait for one answer before they send more, on one connection.
MOST_PIPELINED = 16

# From the first byte of a request to its last, and from a connection to its first request.
REQUEST_SECONDS = 10.0

_TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with bounds on heads, time, pipelines and connections.

    Attributes:
        most_connections: More are turned away with 503 before anything is read from them.
    """

    most_connections = 1_000

    _deadline: asyncio.TimerHandle | None = None
    _is_receiving = False
    _head_bytes: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take on a connection, or turn it away."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.write(_TOO_MANY)
            transport.close()
        else:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._clear_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it belongs to a head that is too long."""
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.send_400_response("The request's head is too long.")
                return
        super().data_received(data)
        if self._is_receiving and self._deadline is None:
            self._set_deadline()

    def on_message_begin(self) -> None:
        """A head begins. The piece that it began in, at most some 256 KiB, is not counted."""
        super().on_message_begin()
        self._is_receiving = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """A head has ended, and its request starts or waits for the ones before it."""
        if len(self.pipeline) >= MOST_PIPELINED:
            raise ValueError  # the parser gives up, and uvicorn closes the connection with 400
        self._head_bytes = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request has arrived whole."""
        self._is_receiving = False
        self._clear_deadline()
        super().on_message_complete()

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.close)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
