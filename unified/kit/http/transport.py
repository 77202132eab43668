"""How requests leave: over aiohttp, to checked addresses only.

aiohttp reads a page in a quarter of the CPU time that httpx's own transport takes for it, which is what bounds a
first load (``docs/decisions.md``). The rest of the project sees httpx, its requests, answers and errors.
"""

import asyncio
import ipaddress
import socket
import ssl
from functools import cache

import aiohttp
import httpx
from yarl import URL

from unified.kit.errors import ForbiddenHostError

_MAX_CONNECTIONS = 64
# Some providers' security policies alone exceed aiohttp's 8 KB for a header.
_MAX_HEADER = 2**16
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


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
        """Send a request and read its whole answer, still encoded as it came.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: If nothing was sent.
            httpx.TransportError: If there was no whole answer.
            ForbiddenHostError: If the host has an address that it must not.
        """
        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        addresses = self._addresses.get((host, port)) or await self._resolve(host, port)
        self._addresses[host, port] = addresses
        for address in addresses:
            try:
                return await self._send(request, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing was sent yet. Without any address left, the name is resolved anew for the next
                # attempt.
                if address == addresses[-1]:
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
            )
        is_https = request.url.scheme == "https"
        limits = request.extensions["timeout"]
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
                    connect=limits["pool"], sock_connect=limits["connect"], sock_read=limits["read"]
                ),
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _as_httpx(error, request) from error
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=httpx.ByteStream(body))

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            msg = f"the name {host} can't be resolved"
            raise httpx.ConnectError(msg) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        is_refused = _is_link_local if self._allow_private else _is_hidden
        refused = [address for address in addresses if is_refused(address)]
        if refused:
            msg = f"{self._label}: {host} leads to {refused[0]}, which is not public; " + (
                "machines' metadata is served there, and no provider's API"
                if _is_link_local(refused[0])
                else "if that is meant, set allow_private_hosts"
            )
            raise ForbiddenHostError(msg)
        return addresses


@cache
def _tls() -> ssl.SSLContext:
    """One for all clients: making it reads every certificate authority."""
    return httpx.create_ssl_context()


def _as_httpx(error: Exception, request: httpx.Request) -> httpx.TransportError:
    """The same failure as httpx names it. What tells is whether the request may have been sent."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            kind: type[httpx.TransportError] = httpx.ConnectTimeout
        case aiohttp.ClientConnectorError():
            kind = httpx.ConnectError
        case TimeoutError():
            kind = httpx.ReadTimeout
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            kind = httpx.ReadError
        case _:
            kind = httpx.RemoteProtocolError
    return kind(str(error), request=request)


def _is_hidden(address: str) -> bool:
    ip = _meant(address)
    return not ip.is_global or ip.is_multicast


def _is_link_local(address: str) -> bool:
    return _meant(address).is_link_local


def _meant(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # IPv6 addresses that stand for an IPv4 address: mapped, 6to4, NAT64.
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        return inner or ip
    return ip
