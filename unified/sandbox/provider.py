"""What every stand-in does with a request: count it, delay it, break it on demand, limit it, answer it.

Not here: what a provider answers (`unified.sandbox.stripe`, `unified.sandbox.hubspot`).
"""

from __future__ import annotations

import asyncio
import base64
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from unified.sandbox.clock import DAY, Clock
from unified.sandbox.faults import HTML_PAGE, Fault, Faults, break_record
from unified.sandbox.stats import Stats
from unified.sandbox.webhooks import WebhookForm, Webhooks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import DataclassInstance
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

AccountT = TypeVar("AccountT")
SizesT = TypeVar("SizesT", bound="DataclassInstance")

REMEMBERED_PAGES = 32
"""Bodies kept for the `repeat` fault, one for each key and path."""


@dataclass
class Reply:
    """An answer: JSON bytes, or a page of HTML."""

    content: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True)
class Call(Generic[AccountT]):
    """A request that passed authentication and limits."""

    account: AccountT
    request: Request
    body: bytes


class ApiError(Exception):
    """The provider refuses a request: status, body in the provider's own words, headers."""

    def __init__(
        self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{status}")
        self.reply = Reply(msgspec.json.encode(body), status, dict(headers or {}))


Answer = Callable[[Call[AccountT]], Reply]


class Provider(ABC, Generic[AccountT]):
    """Base of the stand-ins: an ASGI app, its accounts, its faults, its statistics.

    Args:
        keys: the API keys that are known, each with an account of its own; the first is the default one.
        now: Unix seconds at which the clock stands still; None follows real time.

    Attributes:
        clock: the sandbox's time.
        until: Unix seconds of the newest generated record: `now`, or last midnight (UTC).
        faults: trouble that is armed.
        stats: what was served.
        latency_ms: delay of every response.
        webhooks: endpoints that changes are delivered to.
    """

    name: ClassVar[str]
    """The first part of the path below which it is served."""
    mutations: ClassVar[frozenset[str]]
    """Methods of an account that `/_sandbox` may call."""
    limits_type: ClassVar[type[Any]]
    webhook_form: ClassVar[WebhookForm]

    def __init__(self, keys: Sequence[str], *, now: float | None = None) -> None:
        self.clock = Clock(now)
        self.until = int(self.clock.time()) if now is not None else int(self.clock.time()) // DAY * DAY
        self.faults = Faults()
        self.stats = Stats()
        self.webhooks = Webhooks(self.webhook_form, self.clock)
        self.latency_ms = 0.0
        self.lock = threading.RLock()
        """Held while a request is answered and while data is changed from another thread."""
        self._keys = tuple(keys)
        self._accounts: dict[str, AccountT] = {}
        self._revoked: set[str] = set()
        self._last_page: dict[tuple[str | None, str], bytes] = {}

    @abstractmethod
    def open_account(self, key: str) -> AccountT:
        """Make the account of a known key, when it is first asked for."""

    @abstractmethod
    def routes(self) -> list[Route]:
        """The API's routes, made with `endpoint`."""

    @abstractmethod
    def admit(self, key: str, endpoint: str) -> dict[str, str]:
        """Count a request against the limits; the headers to send. Raises ApiError where it is over them."""

    @abstractmethod
    def set_limits(self, limits: Any) -> None:
        """Replace the provider's rate limits (an instance of `limits_type`); None switches them off."""

    @abstractmethod
    def unknown_key_error(self, key: str | None) -> ApiError:
        """How the provider refuses a key that it does not know; None where a request has none."""

    @abstractmethod
    def revoked_error(self, key: str | None) -> ApiError:
        """How the provider refuses a revoked key."""

    @abstractmethod
    def status_error(self, status: int, code: str | None) -> ApiError:
        """How the provider words an error of this status."""

    @abstractmethod
    def unknown_path_error(self, method: str, path: str) -> ApiError:
        """How the provider words a URL that it does not have."""

    @abstractmethod
    def common_headers(self, request: Request) -> dict[str, str]:
        """Headers that every response carries."""

    def account(self, key: str | None = None) -> AccountT:
        """The account of an API key; None is the first one. Raises KeyError for a key that is not known."""
        key = self._keys[0] if key is None else key
        if key not in self._keys:
            raise KeyError(key)
        if key not in self._accounts:
            self._accounts[key] = self.open_account(key)
        return self._accounts[key]

    def key_of(self, credential: str) -> str | None:
        """The API key whose account a credential opens, or None: here a credential is a key."""
        return credential if credential in self._keys else None

    def authenticate(self, credential: str | None) -> AccountT:
        """The account of a request. Raises ApiError for missing, unknown and revoked credentials."""
        if credential in self._revoked:
            raise self.revoked_error(credential)
        key = None if credential is None else self.key_of(credential)
        if key is None:
            raise self.unknown_key_error(credential)
        return self.account(key)

    def oauth_report(self) -> Any:
        """Calls of the token endpoint by grant type, and how grants stand. Raises ValueError without OAuth."""
        raise ValueError("this provider has no OAuth")

    def revoke(self, key: str) -> None:
        """From now on the key is refused."""
        self._revoked.add(key)

    def restore(self, key: str) -> None:
        """Take a revocation back."""
        self._revoked.discard(key)

    def mutate(self, name: str, key: str | None = None, /, *args: Any, **fields: Any) -> Any:
        """Change data safely while the server runs: `mutate("update_customer", None, "cus_…", name="New")`.

        Args:
            name: a method of the account that changes data.
            key: the account's API key; None is the first account.
            args: the method's arguments, such as the record's id.
            fields: its keyword arguments.

        Raises:
            ValueError: where there is no such change.
        """
        if name not in self.mutations:
            raise ValueError(f"no change named {name!r}; there are {', '.join(sorted(self.mutations))}")
        with self.lock:
            return getattr(self.account(key), name)(*args, **fields)

    def app(self) -> Starlette:
        """The ASGI application, to be mounted."""
        return Starlette(
            routes=[
                *self.routes(),
                self.endpoint("/{rest:path}", self._unknown, "GET", "POST", "PATCH", "PUT", "DELETE"),
            ]
        )

    def endpoint(self, path: str, answer: Answer[AccountT], *methods: str) -> Route:
        """A route whose requests go through counting, faults and limits before `answer` sees them."""

        def authenticated(request: Request, body: bytes) -> Reply:
            key = api_key(request)
            account = self.authenticate(key)
            headers = self.admit(key or "", f"{request.method} {path}")
            try:
                reply = answer(Call(account, request, body))
            except ApiError as error:
                error.reply.headers = {**headers, **error.reply.headers}
                raise
            reply.headers.update(headers)
            return reply

        return self.public(path, authenticated, *methods)

    def public(self, path: str, answer: Callable[[Request, bytes], Reply], *methods: str) -> Route:
        """A route that asks for no API key: only counting and faults come before `answer`."""

        async def serve(request: Request) -> Response:
            label = f"{request.method} {path}"
            self.stats.begin(label)
            reply, fault = Reply(b"", 500), None
            try:
                reply, fault = await self._reply(answer, request)
            finally:
                self.stats.end(label, reply.status, len(reply.content))
            shift = fault.seconds if fault and fault.kind == "clock" else 0.0
            headers = {
                "date": formatdate(self.clock.time() + shift, usegmt=True),
                **self.common_headers(request),
                **reply.headers,
            }
            kind = _CutResponse if fault and fault.kind == "cut" else Response
            return kind(self.laid_out(reply.content), reply.status, headers, reply.media_type)

        return Route(path, serve, methods=list(methods or ("GET",)))

    async def _reply(
        self, answer: Callable[[Request, bytes], Reply], request: Request
    ) -> tuple[Reply, Fault | None]:
        key = api_key(request)
        path = api_path(request)
        fault = self.faults.take(path, key)
        body = await request.body()
        if delay := self.latency_ms / 1000 + (fault.seconds if fault and fault.kind == "slow" else 0):
            await asyncio.sleep(delay)
        try:
            if fault:
                self._refuse(fault, key)
            if fault and fault.kind == "html":
                return Reply(HTML_PAGE, fault.status, media_type="text/html"), fault
            with self.lock:
                reply = answer(request, body)
        except ApiError as error:
            return error.reply, fault
        page = (key, path)
        if fault and fault.kind == "repeat":
            reply.content = self._last_page.get(page, reply.content)
        elif fault and fault.kind == "malformed":
            reply.content = reply.content[: len(reply.content) // 2]
        elif fault and fault.kind == "bad_record":
            reply.content = break_record(reply.content, fault)
        else:
            self._last_page[page] = reply.content
            if len(self._last_page) > REMEMBERED_PAGES:
                del self._last_page[next(iter(self._last_page))]
        return reply, fault

    def laid_out(self, content: bytes) -> bytes:
        """A body as the provider lays it out; compact by default."""
        return content

    def _refuse(self, fault: Fault, key: str | None) -> None:
        if fault.kind == "revoked":
            raise self.revoked_error(key)
        if fault.kind == "status":
            error = self.status_error(fault.status, fault.code)
            if fault.retry_after is not None:
                error.reply.headers["retry-after"] = fault.retry_after
            raise error

    def _unknown(self, call: Call[AccountT]) -> Reply:
        raise self.unknown_path_error(call.request.method, f"/{call.request.path_params['rest']}")


def filled(sizes: SizesT, otherwise: SizesT) -> SizesT:
    """An account's sizes, those of the sandbox where they are None."""
    return replace(otherwise, **{name: size for name, size in asdict(sizes).items() if size is not None})


def api_path(request: Request) -> str:
    """The path below the provider's mount, as the provider itself would see it."""
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


def api_key(request: Request) -> str | None:
    """The key of a request: bearer token, or user name of basic authentication."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value:
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[0] or None
        except ValueError:
            return None
    return None


class _CutResponse(Response):
    """Announces the whole body, sends half of it and returns: the server then closes the connection."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
