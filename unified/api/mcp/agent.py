"""An agent: somebody's program, which asks the management API in this process, as its owner may.

Each call goes through all that a request from outside does: who asks, whether they may, how often, what is audited.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import msgspec
from starlette.types import ASGIApp

from unified.api.management import headers
from unified.api.management.access.callers import Caller
from unified.api.management.services import Services
from unified.store.lists import pages

IN_SCOPE = "unified.agent"
"""Where the scope of an HTTP request has the agent that sent it."""

Query = Iterable[tuple[str, str]]

_LARGEST = 300


class RefusedError(Exception):
    """A tool can't do what it was asked for. The message is for the agent: one line, what is wrong, what to do."""


class _Problem(msgspec.Struct):
    """A refusal of the API (RFC 9457)."""

    detail: str
    errors: list[dict[str, str]] = []


class Api:
    """The management API in this process."""

    def __init__(self, app: ASGIApp) -> None:
        """Call ``app``."""
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://mcp", trust_env=False)

    async def call(
        self, method: str, path: str, query: Query, sent: Mapping[str, str], body: Any = None
    ) -> bytes:
        """What a call is answered.

        Raises:
            RefusedError: If it is refused, with the API's own words.
        """
        answer = await self._http.request(method, path, params=list(query), headers=sent, json=body)
        if answer.status_code < _LARGEST:
            return answer.content
        problem = msgspec.json.decode(answer.content, type=_Problem)
        faults = "; ".join(f"{fault['pointer']}: {fault['detail']}" for fault in problem.errors)
        raise RefusedError(f"{problem.detail.rstrip('.')}: {faults}" if faults else problem.detail)


@dataclass(frozen=True, slots=True)
class Agent:
    """Who calls tools.

    Attributes:
        caller: In whose name.
        services: What the API works with.
        api: The API.
        authorization: What the caller proved who they are with; empty where nothing has to be proved.
    """

    caller: Caller
    services: Services
    api: Api
    authorization: str = ""

    async def get(self, path: str, query: Query = ()) -> bytes:
        """The body of a GET; raises RefusedError where it is refused."""
        return await self.api.call("GET", path, query, self._headers())

    async def post(self, path: str, body: Any = None, *, query: Query = (), key: str | None = None) -> bytes:
        """The body that a POST is answered with.

        Args:
            path: Of the API.
            body: JSON values.
            query: Of the path.
            key: Idempotency key: the same one again changes nothing, and gives the first answer.

        Raises:
            RefusedError: If it is refused.
        """
        once = {} if key is None else {headers.IDEMPOTENCY_KEY: key}
        return await self.api.call("POST", path, query, {**self._headers(), **once}, body)

    async def connection_id(self, name: str) -> UUID:
        """The connection of that name or id; raises ConnectionNotFoundError where the workspace has none."""
        async with self.services.db.workspace(self.caller.workspace_id) as conn:
            (found,) = await pages.connection_ids(conn, [name])
        return found

    def _headers(self) -> dict[str, str]:
        return {"authorization": self.authorization, headers.WORKSPACE: self.caller.workspace}
