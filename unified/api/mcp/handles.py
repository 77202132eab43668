"""Handles: what shows that an agent has seen a preview before it asks for the run.

A handle is sealed under the workspace's data key, so every process of an installation can open it and nobody can make
one. It is good for ten minutes, for the same caller, and for the route as it was: one that was changed since is
previewed anew. Nothing is stored.
"""

import json
from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken

from unified.api.mcp.agent import Agent, RefusedError
from unified.store.routes.rows import Route
from unified.store.secrets import data_keys

_SECONDS = 600
_AGAIN = "call unified_preview_route, show a person what it says, and pass its handle on within ten minutes"


async def seal(agent: Agent, route: Route) -> str:
    """A handle for a route that was just previewed."""
    workspace_id = agent.caller.workspace_id
    async with agent.services.db.workspace(workspace_id) as conn:
        data_key = await data_keys.current(conn, agent.services.provider, workspace_id)
    said = json.dumps([agent.caller.actor, str(route.id), route.version])
    return data_key.cipher(_purpose(workspace_id)).encrypt(said.encode()).decode()


async def check(agent: Agent, route: Route, handle: str) -> None:
    """See that a handle is of a preview of this route as it is, shown to this caller.

    Raises:
        RefusedError: If it is not.
    """
    workspace_id = agent.caller.workspace_id
    async with agent.services.db.workspace(workspace_id) as conn:
        data_key = await data_keys.stored(conn, agent.services.provider)
    said = None if data_key is None else _opened(data_key.cipher(_purpose(workspace_id)), handle)
    if said is None:
        raise RefusedError(f"The handle is not one of a preview, or is too old: {_AGAIN}.")
    if said[:2] != [agent.caller.actor, str(route.id)]:
        raise RefusedError(f"The handle is of another route's preview or another caller's: {_AGAIN}.")
    if said[2] != route.version:
        raise RefusedError(f"The route was changed since its preview: {_AGAIN}.")


def _opened(cipher: Fernet, handle: str) -> list[Any] | None:
    try:
        said: list[Any] = json.loads(cipher.decrypt(handle.encode(), ttl=_SECONDS))
    except InvalidToken:
        return None
    return said


def _purpose(workspace_id: UUID) -> str:
    return f"unified mcp|handle|{workspace_id}"
