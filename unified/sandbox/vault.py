"""A stand-in for the part of HashiCorp Vault's HTTP API that the master keys use: the transit engine and log-ins.

Answers, statuses and error texts are those of https://developer.hashicorp.com/vault/api-docs (secret/transit,
auth/approle, auth/kubernetes, HTTP status codes). Keys are real ones, in memory.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.requests import Request

_NONCE_BYTES = 12
_CIPHERTEXT = re.compile(r"vault:v([0-9]+):(.+)")


class _RefusedError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass
class _Key:
    """A named key: the material of its versions, from the first on."""

    versions: list[bytes] = field(default_factory=lambda: [os.urandom(32)])
    oldest: int = 1

    def encrypt(self, plaintext: bytes) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(self.versions[-1]).encrypt(nonce, plaintext, None)
        return f"vault:v{len(self.versions)}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, ciphertext: str) -> bytes:
        found = _CIPHERTEXT.fullmatch(ciphertext)
        if not found:
            raise _RefusedError(400, "invalid ciphertext: no prefix")
        version = int(found[1])
        if version < self.oldest:
            raise _RefusedError(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            sealed = base64.b64decode(found[2], validate=True)
            nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return AESGCM(self.versions[version - 1]).decrypt(nonce, body, None)
        except (InvalidTag, IndexError, ValueError, binascii.Error):
            raise _RefusedError(400, "cipher: message authentication failed") from None


class VaultSandbox:
    """A running Vault; use it as a context manager.

    Attributes:
        url: Its address, for ``VAULT_ADDR``.
        token: A token that may do everything; valid for ever.
        role_id: Of an AppRole; its tokens can be ended with :meth:`expire_tokens`.
        secret_id: Of that AppRole.
        kubernetes: Which service account's token may log in for which role.
        namespace: Which one its engine is in; requests for another one find nothing.
        is_sealed: Answers 503 to everything while it is set.
        failures: How many requests to come are answered with 500.
        echo: Has errors repeat the request's own headers and body, as no Vault should.
        denied: Path suffixes that the policy does not allow, such as ``/rotate``.
        requests: Method and path of each request so far.
        logins: How many tokens were given.
    """

    def __init__(self, *, token: str) -> None:
        self.token = token
        self.role_id = "role-fake"
        self.secret_id = f"secret-id-fake-{os.urandom(6).hex()}"
        self.url = ""
        self.reset()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._app = Starlette(
            routes=[
                Route("/v1/auth/{method}/login", self._answer(self._login), methods=["POST"]),
                Route("/v1/transit/keys/{key}", self._answer(self._read), methods=["GET"]),
                Route("/v1/transit/keys/{key}/rotate", self._answer(self._rotate), methods=["POST"]),
                Route("/v1/transit/keys/{key}/config", self._answer(self._configure), methods=["POST"]),
                Route("/v1/transit/{action}/{key}", self._answer(self._crypt), methods=["POST"]),
            ]
        )

    def reset(self) -> None:
        """A Vault in good order, with a new key."""
        self.kubernetes: dict[str, str] = {}
        self.namespace = ""
        self.keys = {"unified": _Key()}
        self.is_sealed = False
        self.failures = 0
        self.echo = False
        self.denied: set[str] = set()
        self.requests: list[str] = []
        self.logins = 0
        self._given: set[str] = set()

    def expire_tokens(self) -> None:
        """End every token that a log-in gave."""
        self._given.clear()

    def __enter__(self) -> Self:
        """Start, on a free port."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self._app, log_config=None, access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="vault", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and wait until the port is free."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(timeout=10)

    def _answer(self, act: Any) -> Any:
        async def answer(request: Request) -> Response:
            self.requests.append(f"{request.method} {request.url.path}")
            body = await request.body()
            try:
                self._admit(request)
                data = await act(request)
            except _RefusedError as refused:
                texts = [refused.text]
                if self.echo:
                    texts += [*request.headers.values(), body.decode()]
                return JSONResponse({"errors": texts}, refused.status)
            return JSONResponse(data) if data else Response(status_code=204)

        return answer

    def _admit(self, request: Request) -> None:
        if self.is_sealed:
            raise _RefusedError(503, "Vault is sealed")
        if self.failures:
            self.failures -= 1
            raise _RefusedError(500, "internal error")
        if request.headers.get("x-vault-namespace", "").strip("/") != self.namespace:
            raise _RefusedError(404, "no handler for route")
        if request.headers.get("x-vault-request") != "true":
            raise _RefusedError(412, "missing request header")
        is_login = request.url.path.startswith("/v1/auth/")
        is_known = request.headers.get("x-vault-token") in {self.token, *self._given}
        if not is_login and (
            not is_known or any(request.url.path.endswith(suffix) for suffix in self.denied)
        ):
            raise _RefusedError(403, "permission denied")

    async def _login(self, request: Request) -> dict[str, Any]:
        sent = await request.json()
        is_role = (sent.get("role_id"), sent.get("secret_id")) == (self.role_id, self.secret_id)
        is_pod = sent.get("jwt") is not None and self.kubernetes.get(sent.get("role")) == sent["jwt"]
        if not (is_pod if request.path_params["method"] == "kubernetes" else is_role):
            raise _RefusedError(400, "invalid role or secret ID")
        self.logins += 1
        token = f"hvs.fake-{os.urandom(8).hex()}"
        self._given.add(token)
        return {"auth": {"client_token": token, "lease_duration": 1200, "renewable": True}, "data": None}

    async def _read(self, request: Request) -> dict[str, Any]:
        key = self.keys.get(request.path_params["key"])
        if key is None:
            raise _RefusedError(404, "")
        versions = {str(number): 1_700_000_000 for number in range(key.oldest, len(key.versions) + 1)}
        return {"data": {"type": "aes256-gcm96", "keys": versions, "min_decryption_version": key.oldest}}

    async def _rotate(self, request: Request) -> None:
        self._key(request).versions.append(os.urandom(32))

    async def _configure(self, request: Request) -> None:
        self._key(request).oldest = int((await request.json())["min_decryption_version"])

    async def _crypt(self, request: Request) -> dict[str, Any]:
        key, sent = self._key(request), await request.json()
        match request.path_params["action"]:
            case "encrypt":
                return {"data": {"ciphertext": key.encrypt(base64.b64decode(sent["plaintext"]))}}
            case "decrypt":
                return {"data": {"plaintext": base64.b64encode(key.decrypt(sent["ciphertext"])).decode()}}
            case "rewrap":
                batch = [key.encrypt(key.decrypt(item["ciphertext"])) for item in sent["batch_input"]]
                return {"data": {"batch_results": [{"ciphertext": each} for each in batch]}}
        raise _RefusedError(404, "unsupported path")

    def _key(self, request: Request) -> _Key:
        key = self.keys.get(request.path_params["key"])
        if key is None:
            raise _RefusedError(400, "encryption key not found")
        return key
