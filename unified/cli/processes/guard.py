"""What stands before Dagster's UI: it has no log-in, and would do what any page in its user's browser asks of it.

Pure ASGI, so that websockets, over which the UI subscribes to runs, go the same way. A request is let through if it is
for one of the UI's own addresses (a page elsewhere that has its name lead here, by DNS rebinding, keeps its own name),
and if no page of another origin sends it: https://owasp.org/www-community/attacks/csrf and
https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site. Where the UI listens beyond this machine a
token is asked for as well.
"""

import hmac
from collections.abc import Collection, Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "::1", "localhost")
HOSTS_VARIABLE = "UNIFIED_UI_HOSTS"
TOKEN_VARIABLE = "UNIFIED_UI_TOKEN"  # noqa: S105 - its name
TOKEN_PARAMETER = "token"  # noqa: S105 - its name

_REFUSED = 4403
_COOKIE = "unified_ui"
_ELSEWHERE = ("cross-site", "same-site")
# What asks Dagster to do something, for which a link on another page is not a reason.
_NO_PAGE = ("/graphql",)


class Guard:
    """Dagster's UI behind checks of who asks."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] = (), token: str | None = None) -> None:
        """Guard an application.

        Args:
            app: What answers the requests that are let through.
            hosts: Names that it is reached by besides this machine's own, without ports.
            token: To be shown with each request; None where nobody but this machine's users reaches it.
        """
        self._app = app
        self._hosts = {*LOOPBACK, *(host.lower() for host in hosts)}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif reason := self._foreign(scope):
            await _refuse(scope, send, reason)
        elif self._token is None or self._is_known(scope, self._token):
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and self._shows(scope, self._token):
            await _admit(scope, send, self._token)
        else:
            await _refuse(scope, send, "open the link that the command printed, which holds a token")

    def _foreign(self, scope: Scope) -> str | None:
        """What is wrong with where a request comes from or goes to; None if nothing."""
        host = _header(scope, b"host")
        if self._token is None and _name(host) not in self._hosts:
            return (
                "it is not for an address of this UI; open it at 127.0.0.1, or name the host that it is reached by "
                f"in {HOSTS_VARIABLE}"
            )
        origin = _header(scope, b"origin")
        # A page has its scheme from the proxy that ends TLS, so host and port are what is compared.
        if origin and (not host or origin.partition("://")[2] != host):
            return "a page of another origin sent it"
        if _header(scope, b"sec-fetch-site") in _ELSEWHERE and not _is_followed_link(scope):
            return "a page of another origin sent it"
        return None

    def _is_known(self, scope: Scope, token: str) -> bool:
        kind, _, shown = _header(scope, b"authorization", lower=False).partition(" ")
        if kind.lower() == "bearer" and _equal(shown.strip(), token):
            return True
        try:
            cookies = SimpleCookie(_header(scope, b"cookie", lower=False))
        except CookieError:
            return False
        return _cookie(scope) in cookies and _equal(cookies[_cookie(scope)].value, token)

    def _shows(self, scope: Scope, token: str) -> bool:
        """Whether the link with the token was opened."""
        shown = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get(TOKEN_PARAMETER, "")
        return scope["method"] == "GET" and _equal(shown, token)


def _is_followed_link(scope: Scope) -> bool:
    """Whether a person went to a page of the UI, from wherever: that does nothing, and no page sees the answer."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and _header(scope, b"sec-fetch-mode") == "navigate"
        and _header(scope, b"sec-fetch-dest") == "document"
        and not scope["path"].startswith(_NO_PAGE)
    )


async def _admit(scope: Scope, send: Send, token: str) -> None:
    """Keep the token in a cookie, and lead to the same page without it."""
    rest = [(name, value) for name, value in _query(scope) if name != TOKEN_PARAMETER]
    location = "/" + quote(scope["path"].lstrip("/\\")) + (f"?{urlencode(rest)}" if rest else "")
    cookie = f"{_cookie(scope)}={token}; Path=/; HttpOnly; SameSite=Lax"
    headers = [(b"location", location.encode()), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
    await send(
        {"type": "http.response.start", "status": 303, "headers": [*headers, (b"cache-control", b"no-store")]}
    )
    await send({"type": "http.response.body", "body": b""})


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    message = f"Dagster's UI did not take this request: {reason}.\n"
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _REFUSED, "reason": message[:120]})
        return
    body = message.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, name: bytes, *, lower: bool = True) -> str:
    """A header's value; one that came several times is joined, and is then not a host's name."""
    found: Iterable[bytes] = (value for key, value in scope["headers"] if key.lower() == name)
    text = b", ".join(found).decode("latin-1").strip()
    return text.lower() if lower else text


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _name(host: str) -> str | None:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _cookie(scope: Scope) -> str:
    """Cookies do not know ports: two installations on one machine would put out each other's."""
    server = scope.get("server")
    return f"{_COOKIE}_{server[1]}" if server else _COOKIE


def _equal(shown: str, token: str) -> bool:
    return hmac.compare_digest(shown.encode(), token.encode())
