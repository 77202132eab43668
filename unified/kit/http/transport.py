"""How requests leave: over aiohttp, to checked addresses only.

aiohttp reads a page in a quarter of the CPU time that httpx's own transport takes for it, which is what bounds a
first load (``docs/decisions.md``). The rest of the project sees httpx, its requests, answers and errors.
"""

import asyncio
import socket
import ssl
from functools import cache

import aiohttp
import httpx
from yarl import URL

from unified.kit.errors import ForbiddenHostError
from unified.kit.http import addresses, bodies

_MAX_CONNECTIONS = 64
# Some providers' security policies alone exceed aiohttp's 8 KB for a header.
_MAX_HEADER = 2**16
# What a whole answer may take, in times of what is waited for any part of it: one that comes in drops keeps to the
# latter for ever.
_MOST_READS = 10


class GuardedTransport(httpx.AsyncBaseTransport):
    """Connects only to addresses that were checked: a name is resolved once, and what passed is used.

    So neither a private address in a base URL nor a name server that changes its answer leads inside.
    """

    def __init__(self, label: str, *, allow_private: bool) -> None:
        """Open nothing yet.

        Args:
            label: Names the connection in errors.
            allow_private: Whether addresses that are not public are fine. Machines' metadata never is.
        """
        self._label = label
        self._allow_private = allow_private
        self._addresses: dict[tuple[str, int], list[str]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, once, and read its whole answer, decompressed.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: If nothing was sent.
            httpx.TransportError: If there was no whole answer.
            ForbiddenHostError: If the host has an address that it must not.
            BodyError: If the body is larger than the request's extension ``most_bytes``, or can't be decompressed.
        """
        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        found = self._addresses.get((host, port)) or await self._resolve(host, port)
        self._addresses[host, port] = found
        for address in found:
            try:
                return await self._send(request, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing was sent yet. Without any address left, the name is resolved anew for the next
                # attempt.
                if address == found[-1]:
                    self._addresses.pop((host, port), None)
                    raise
        msg = f"the name {host} has no address"
        raise httpx.ConnectError(msg)

    async def _send(self, request: httpx.Request, address: str) -> httpx.Response:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
                max_line_size=_MAX_HEADER,
                max_field_size=_MAX_HEADER,
                middlewares=(_once,),
            )
        is_https = request.url.scheme == "https"
        limits = request.extensions["timeout"]
        most = request.extensions.get("most_bytes", bodies.MOST_BYTES)
        try:
            async with self._session.request(
                request.method,
                URL(str(request.url.copy_with(host=address)), encoded=True),
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                ssl=_tls() if is_https else True,
                server_hostname=request.url.host if is_https else None,
                timeout=aiohttp.ClientTimeout(
                    total=limits["read"] and _MOST_READS * limits["read"],
                    connect=limits["pool"],
                    sock_connect=limits["connect"],
                    sock_read=limits["read"],
                ),
            ) as answer:
                if (answer.content_length or 0) > most:
                    raise bodies.too_large(most)
                encoding = answer.headers.get("content-encoding", "")
                body = await bodies.read(answer.content.iter_any(), encoding, most)
        except (aiohttp.ClientError, _Unanswered, TimeoutError) as error:
            raise _as_httpx(error, request) from error
        # What is decoded is not said to be encoded.
        headers = (
            [pair for pair in answer.raw_headers if pair[0].lower() != b"content-encoding"]
            if encoding
            else None
        )
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers if headers is None else headers,
            stream=httpx.ByteStream(body),
        )

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            msg = f"the name {host} can't be resolved"
            raise httpx.ConnectError(msg) from error
        unique = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        is_refused = addresses.is_metadata if self._allow_private else addresses.is_hidden
        refused = [address for address in unique if is_refused(address)]
        if refused:
            msg = f"{self._label}: {host} leads to {refused[0]}, which is not public; " + (
                "machines' metadata is served there, and no provider's API"
                if addresses.is_metadata(refused[0])
                else "if that is meant, set allow_private_hosts"
            )
            raise ForbiddenHostError(msg)
        return unique


class _Unanswered(Exception):  # noqa: N818 - a signal to this module, never seen outside
    """The server closed the connection instead of answering."""


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once. aiohttp repeats by itself what it takes for idempotent (RFC 9110 section 9.2.2).

    That is GET, PUT and DELETE on a kept-alive connection that breaks (aiohttp 3.14.5, ``ClientSession._request``).
    Whether a request may be repeated only its sender knows, who also counts.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Unanswered(str(error)) from error


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients: making it reads every certificate authority."""
    return httpx.create_ssl_context()


def _as_httpx(error: Exception, request: httpx.Request) -> httpx.TransportError:
    """The same failure as httpx names it. What decides is whether the request may have been sent."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            kind: type[httpx.TransportError] = httpx.ConnectTimeout
        case aiohttp.ClientConnectorError():
            kind = httpx.ConnectError
        case TimeoutError():
            kind = httpx.ReadTimeout
        case _Unanswered() | aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            kind = httpx.ReadError
        case _:
            kind = httpx.RemoteProtocolError
    return kind(str(error), request=request)
