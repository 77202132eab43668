"""What a file says of a connection's webhooks, beside those that are there.

An endpoint has no name of its own: it is known by how its deliveries are signed. Of two that are signed alike the older
one is the first in the file.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from unified.kit.document.source import Place
from unified.kit.registry import get_verifier
from unified.kit.secrets import Secret
from unified.store.connections.rows import Connection
from unified.store.inbox.endpoints import Endpoint, Endpoints, usual_verifier
from unified.sync.declared.document import DeclaredConnection, DeclaredWebhook
from unified.sync.declared.steps import Ground, Step


async def webhook_steps(
    ground: Ground, name: str, wanted: DeclaredConnection, now: Connection | None
) -> list[Step]:
    """What makes a connection's webhooks as the file says, and those that it does not name.

    Args:
        ground: Where.
        name: The connection's.
        wanted: What the file says.
        now: The connection, if it is there already.

    Raises:
        AdapterError, StoreError, SyncError: If they can't be made so.
    """
    there = await _endpoints(ground).list(now) if now else []
    steps: list[Step] = []
    for number, webhook in enumerate(wanted.webhooks):
        path = ("connections", name, "webhooks", number)
        verifier = webhook.verifier or usual_verifier(wanted.connector)
        get_verifier(verifier, webhook.options)
        secret = await ground.references.find(webhook.secret) if webhook.secret else None
        same = next((one for one in there if _is_of(one, verifier, webhook.options)), None)
        if same is None:
            steps.append(_new(ground, name, verifier, webhook, secret, path))
            continue
        there.remove(same)
        changes = [one async for one in _changes(ground, name, webhook, same, secret, path)]
        steps += changes or [Step(kind="webhook", name=name, action="same", detail=[verifier], path=path)]
    return [*steps, *(_extra(ground, name, one) for one in there)]


def _is_of(endpoint: Endpoint, verifier: str, options: Mapping[str, str]) -> bool:
    return (endpoint.verifier, dict(endpoint.options)) == (verifier, dict(options))


def _new(
    ground: Ground, name: str, verifier: str, wanted: DeclaredWebhook, secret: Secret | None, path: Place
) -> Step:
    async def add() -> Sequence[str]:
        connection = await ground.connection(name)
        endpoint, made = await _endpoints(ground).add(
            connection,
            secret,
            verifier=verifier,
            options=wanted.options,
            event_types=wanted.events,
            is_active=wanted.active,
        )
        url = f"{ground.public_url}/webhooks/{connection.connector}/{endpoint.path}"
        said = [f"enter this URL at the provider; it is a secret: {url}"]
        if made:
            said.append(f"enter this secret there as well; it is not shown again: {made.reveal()}")
        elif secret is None:
            said.append(
                f"`unified webhooks rotate {connection.key}` takes the secret that the provider shows"
            )
        return said

    detail = [verifier, *([", ".join(wanted.events)] if wanted.events else [])]
    return Step(kind="webhook", name=name, action="add", detail=detail, path=path, carry_out=add)


async def _changes(
    ground: Ground, name: str, wanted: DeclaredWebhook, now: Endpoint, secret: Secret | None, path: Place
) -> AsyncIterator[Step]:
    endpoints = _endpoints(ground)

    def step(what: str, do: Callable[[], Awaitable[Sequence[str]]]) -> Step:
        return Step(
            kind="webhook", name=name, action="change", detail=[now.verifier, what], path=path, carry_out=do
        )

    async def keep_events() -> Sequence[str]:
        await endpoints.set_event_types(now, wanted.events)
        return ()

    async def activate() -> Sequence[str]:
        await endpoints.set_active(now, is_active=wanted.active)
        return ()

    async def rotate() -> Sequence[str]:
        assert secret is not None  # noqa: S101 - or there would be no such step
        await endpoints.rotate(now, secret)
        return ["the former secret stays good for a day"]

    if list(now.event_types) != wanted.events:
        before, after = (", ".join(types) or "all" for types in (now.event_types, wanted.events))
        yield step(f"events {before} -> {after}", keep_events)
    if now.is_active != wanted.active:
        yield step("resume it" if wanted.active else "pause it", activate)
    if secret is not None:
        stored = await endpoints.secret(now, purpose="compare")
        if stored is None or stored.reveal() != secret.reveal():
            yield step("its secret is another one", rotate)


def _extra(ground: Ground, name: str, endpoint: Endpoint) -> Step:
    async def remove() -> Sequence[str]:
        await _endpoints(ground).remove(endpoint)
        return ()

    return Step(kind="webhook", name=name, action="extra", detail=[endpoint.verifier], carry_out=remove)


def _endpoints(ground: Ground) -> Endpoints:
    return Endpoints(ground.db, ground.credentials, actor=ground.actor)
