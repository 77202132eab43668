"""How bytes leave: over aiohttp, to checked addresses only.

A name is resolved once, and the address that passed is used: so neither a private address in a URL nor a name server
that changes its answer leads inside. Failures are httpx's, as everywhere. What is sent is `transport`'s, for providers,
and `posting`'s, for receivers of ours.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from typing import IO, NamedTuple

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


class Received(NamedTuple):
    """An answer.

    Attributes:
        status: The HTTP status.
        headers: Its headers; names are found in any case.
        raw_headers: The same as they came.
        body: All of it, decompressed; its beginning where there is a file.
        file: All of it, where it was large and might be.
    """

    status: int
    headers: Mapping[str, str]
    raw_headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    file: IO[bytes] | None = None


class GuardedSession:
    """Keeps connections, to addresses that were checked."""

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

    async def send(
        self,
        method: str,
        url: URL,
        *,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - of its parts, which aiohttp keeps
        most_bytes: int,
        keeps: bodies.Kept | None = None,
    ) -> Received:
        """Send a request, once, and read its whole answer, decompressed.

        Args:
            method: GET, POST, ….
            url: Where to.
            headers: All of them, ``host`` too.
            body: What is sent.
            timeout: See :func:`waiting`.
            most_bytes: What the answer may hold, decompressed.
            keeps: What is kept of a large answer of success, where that is not all of it in memory.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: If nothing was sent.
            httpx.TransportError: If there was no whole answer.
            ForbiddenHostError: If the host has an address that it must not.
            BodyError: If the body is larger, or can't be decompressed.
        """
        host, port = url.raw_host or "", url.port or 0
        found = self._addresses.get((host, port)) or await self._resolve(host, port)
        self._addresses[host, port] = found
        for address in found:
            try:
                return await self._exchange(
                    method, url, address, headers, body, timeout, most_bytes, keeps=keeps
                )
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing was sent yet. Without any address left, the name is resolved anew for the next
                # attempt.
                if address == found[-1]:
                    self._addresses.pop((host, port), None)
                    raise
        msg = f"the name {host} has no address"
        raise httpx.ConnectError(msg)

    async def _exchange(
        self,
        method: str,
        url: URL,
        address: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as above
        most_bytes: int,
        *,
        keeps: bodies.Kept | None,
    ) -> Received:
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
        is_https = url.scheme == "https"
        try:
            async with self._session.request(
                method,
                url.with_host(address),
                headers=headers,
                data=body,
                allow_redirects=False,
                ssl=_tls() if is_https else True,
                server_hostname=url.raw_host if is_https else None,
                timeout=timeout,
            ) as answer:
                keeps = keeps if httpx.codes.is_success(answer.status) else None
                if (answer.content_length or 0) > most_bytes and keeps != "beginning":
                    raise bodies.too_large(most_bytes)
                encoding = answer.headers.get("content-encoding", "")
                pieces, file = answer.content.iter_any(), None
                if keeps == "beginning":
                    content = await bodies.beginning(pieces, encoding)
                elif keeps == "file":
                    content, file = await bodies.kept(pieces, encoding, most_bytes)
                else:
                    content = await bodies.read(pieces, encoding, most_bytes)
        except (aiohttp.ClientError, _Unanswered, TimeoutError) as error:
            raise _as_httpx(error) from error
        return Received(answer.status, answer.headers, answer.raw_headers, content, file)

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


def waiting(
    *, connect: float | None, read: float | None, pool: float | None = None, most_bytes: int = 0
) -> aiohttp.ClientTimeout:
    """How long a request waits, in seconds: for a connection of its own, for any part of its answer, for a free one.

    All of an answer may take longer where it may have more bytes than answers usually may.
    """
    times = max(1.0, most_bytes / bodies.MOST_BYTES)
    return aiohttp.ClientTimeout(
        total=read and _MOST_READS * read * times, connect=pool, sock_connect=connect, sock_read=read
    )


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


def _as_httpx(error: Exception) -> httpx.TransportError:
    """The same failure as httpx names it. What decides is whether the request may have been sent."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            kind: type[httpx.TransportError] = httpx.ConnectTimeout
        case aiohttp.ClientConnectorError() if error.errno == errno.ECONNREFUSED:
            return httpx.ConnectError(
                f"{error.host}:{error.port} refused the connection: nothing listens there"
            )
        case aiohttp.ClientConnectorError():
            kind = httpx.ConnectError
        case TimeoutError():
            kind = httpx.ReadTimeout
        case _Unanswered() | aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            kind = httpx.ReadError
        case _:
            kind = httpx.RemoteProtocolError
    return kind(str(error))
