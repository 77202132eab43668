"""The real OpenBao server behind a front that counts requests, and can fail or repeat what it was sent."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from unified.sandbox.vault import POLICY, VaultSandbox

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.requests import Request

# OpenBao's own limit (max_request_size of a listener).
_MOST_BYTES = 32 * 2**20


class VaultFront:
    """A server of one's own at :attr:`url`; use it as a context manager.

    Attributes:
        url: For ``VAULT_ADDR``.
        vault: The server behind it.
        requests: Method and path of each request so far.
        failures: How many requests to come are answered with 500.
        echo: Has errors repeat the request's own headers and body, as no Vault should.
        kubernetes: Which service account's token may log in for which role; the real method needs a cluster.
    """

    def __init__(self, *, token: str) -> None:
        self.url = ""
        self.vault = VaultSandbox(token=token)
        self.forget()
        routes = [Route("/v1/{path:path}", self._answer, methods=["GET", "POST", "PUT", "LIST", "DELETE"])]
        self._app = Starlette(routes=routes)

    def forget(self) -> None:
        """No requests so far, and all in order."""
        self.requests: list[str] = []
        self.failures = 0
        self.echo = False
        self.kubernetes: dict[str, str] = {}

    def reset(self) -> None:
        """As at the beginning, with a new key."""
        self.forget()
        self.vault.reset()
        self.vault.put_policy()

    def make_approle(self, **options: Any) -> tuple[str, str]:
        """The ids of a role and of its secret; options are the role's."""
        methods = self.vault.ask("GET", "sys/auth")
        if "approle/" not in methods:
            self.vault.ask("POST", "sys/auth/approle", {"type": "approle"})
        role = "auth/approle/role/unified"
        self.vault.ask("POST", role, {"token_policies": ["unified"], **options})
        role_id = self.vault.ask("GET", f"{role}/role-id")["data"]["role_id"]
        return role_id, self.vault.ask("POST", f"{role}/secret-id")["data"]["secret_id"]

    def revoke_logins(self, mount: str = "approle") -> None:
        """End every token that a log-in gave."""
        self.vault.ask("POST", f"sys/leases/revoke-prefix/auth/{mount}/login")

    def permit(self, *, without: str = "") -> None:
        """Let tokens do what docs/keys.md says, but for the path that ends so."""
        self.vault.put_policy(
            {path: rights for path, rights in POLICY.items() if not without or not path.endswith(without)}
        )

    def __enter__(self) -> Self:
        self.vault.__enter__()
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self._app, log_config=None, access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self.vault.__exit__(kind, error, trace)

    async def _answer(self, request: Request) -> Response:
        self.requests.append(f"{request.method} {request.url.path}")
        body = await request.body()
        if self.failures:
            self.failures -= 1
            return self._failed(request, body, JSONResponse({"errors": ["internal error"]}, 500))
        if request.url.path == "/v1/auth/kubernetes/login":
            sent = await request.json()
            if self.kubernetes.get(sent.get("role")) == sent.get("jwt"):
                return JSONResponse(
                    {"auth": {"client_token": self.vault.give_token(), "lease_duration": 1200}, "data": None}
                )
        if len(body) > _MOST_BYTES:
            # As OpenBao does, which hangs up while more is sent: its answer is then lost at times, here as well.
            return self._failed(request, body, JSONResponse({"errors": ["request body too large"]}, 413))
        headers = {
            name: value for name, value in request.headers.items() if name.startswith(("x-", "content-t"))
        }
        async with httpx.AsyncClient(base_url=self.vault.url, timeout=10) as client:
            answer = await client.request(request.method, request.url.path, content=body, headers=headers)
        reply = Response(answer.content, answer.status_code, media_type="application/json")
        return reply if answer.is_success else self._failed(request, body, reply)

    def _failed(self, request: Request, body: bytes, reply: Response) -> Response:
        if not self.echo:
            return reply
        texts = [bytes(reply.body).decode(), *request.headers.values(), body.decode()]
        return JSONResponse({"errors": texts}, reply.status_code)
