"""How an adapter's requests leave: httpx on the outside, aiohttp within.

aiohttp reads a page in a quarter of the CPU time that httpx's own transport takes for it, which is what bounds a
first load (``docs/decisions.md``). Which addresses may be reached is `guarded`'s.
"""

import httpx
from yarl import URL

from unified.kit.http import bodies
from unified.kit.http.guarded import GuardedSession, waiting


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connects only to addresses that were checked."""

    def __init__(self, label: str, *, allow_private: bool) -> None:
        """Open nothing yet.

        Args:
            label: Names the connection in errors.
            allow_private: Whether addresses that are not public are fine. Machines' metadata never is.
        """
        self._session = GuardedSession(label, allow_private=allow_private)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, once, and read its whole answer, decompressed.

        With the extension ``keeps``, a large answer of success is in a file, the response's extension ``file``, and its
        content is the beginning; or that is all of it.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: If nothing was sent.
            httpx.TransportError: If there was no whole answer.
            ForbiddenHostError: If the host has an address that it must not.
            BodyError: If the body is larger than the request's extension ``most_bytes``, or can't be decompressed.
        """
        limits = request.extensions["timeout"]
        most_bytes = request.extensions.get("most_bytes", bodies.MOST_BYTES)
        answer = await self._session.send(
            request.method,
            URL(str(request.url), encoded=True),
            headers=request.headers.multi_items(),
            body=await request.aread() or None,
            timeout=waiting(
                connect=limits["connect"], read=limits["read"], pool=limits["pool"], most_bytes=most_bytes
            ),
            most_bytes=most_bytes,
            keeps=request.extensions.get("keeps"),
        )
        # What is decoded is not said to be encoded.
        headers = [pair for pair in answer.raw_headers if pair[0].lower() != b"content-encoding"]
        return httpx.Response(
            answer.status,
            headers=headers,
            stream=httpx.ByteStream(answer.body),
            extensions={} if answer.file is None else {"file": answer.file},
        )
