"""The demo's webhooks: endpoints that the stand-ins deliver to, and a change that comes that way."""

import asyncio
import secrets as randomness
import time
from collections.abc import Sequence
from uuid import UUID

from unified.cli.demo.steps import DEMO_PREFIX, DemoConnection, Finding
from unified.cli.processes.sandbox import Sandbox
from unified.cli.session import ACTOR
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.inbox import backlog, dead_letters
from unified.store.inbox.endpoints import Endpoints
from unified.store.secrets.credentials.errors import CredentialNotFoundError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.providers import load_provider

_NEW_PHONE = "+1 555 010 0200"
_LOOK_SECONDS = 0.02


async def add_webhooks(db: Database, demos: Sequence[DemoConnection]) -> None:
    """Give each connection a webhook endpoint with a signing secret."""
    endpoints = Endpoints(db, CredentialStore(db, load_provider()), actor=ACTOR)
    for demo in demos:
        secret = Secret(f"whsec_fake_{randomness.token_urlsafe(24)}")
        await endpoints.rotate(await endpoints.create(demo.connection), secret)


async def deliver_webhooks(db: Database, sandbox: Sandbox, public_url: str) -> None:
    """Have the stand-ins deliver to every endpoint of the demo's connections.

    Args:
        db: Where the endpoints are.
        sandbox: The stand-ins.
        public_url: Where the webhook server is reached.
    """
    credentials = CredentialStore(db, load_provider())
    endpoints = Endpoints(db, credentials, actor=ACTOR)

    async def reveal(workspace_id: UUID, connection_id: UUID, endpoint_id: UUID | None = None) -> Secret:
        found = await credentials.reveal(
            workspace_id, connection_id, endpoint_id=endpoint_id, actor=ACTOR, purpose="demo"
        )
        return next(iter(found.values()))

    for connection in await Registry(db).all_connections():
        if not connection.workspace.startswith(DEMO_PREFIX):
            continue
        for endpoint in await endpoints.list(connection):
            place = connection.workspace_id, connection.id
            try:
                key, secret = await reveal(*place), await reveal(*place, endpoint.id)
            except CredentialNotFoundError:
                continue  # added by hand, and without a secret it takes nothing
            url = f"{public_url}/webhooks/{connection.connector}/{endpoint.path}"
            sandbox.deliver(connection.connector, key.reveal(), url, secret.reveal())


async def change_and_wait(
    db: Database, sandbox: Sandbox, demo: DemoConnection, patience: float
) -> tuple[str, float]:
    """Change a customer at the source, and wait until the event is in the inbox, or for ``patience`` seconds.

    Returns:
        The customer's source id, and when it was changed, by the monotonic clock.
    """
    connection = demo.connection
    async with db.workspace(connection.workspace_id) as conn:
        rows = await conn.execute(
            """
            SELECT source_id FROM unified_customers
            WHERE connection_id = %s AND deleted_at IS NULL ORDER BY created_at, source_id LIMIT 1
            """,
            (connection.id,),
        )
        (changed,) = await rows.fetchone() or ("",)
    clock = await db.clock()
    changed_at = time.monotonic()
    demo.change(sandbox, changed, **demo.system.phone(_NEW_PHONE))
    while time.monotonic() < changed_at + patience:
        waiting = await backlog.waiting(db, connection.connector, clock())
        if any(one.connection.id == connection.id for one in waiting):
            break
        await asyncio.sleep(_LOOK_SECONDS)
    return changed, changed_at


async def find_delivered(db: Database, demo: DemoConnection, changed: str) -> list[Finding]:
    """See that the change came by webhook, and that nothing of it was left on the way."""
    connection = demo.connection
    async with db.workspace(connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT phone FROM unified_customers WHERE connection_id = %s AND source_id = %s",
            (connection.id, changed),
        )
        (phone,) = await rows.fetchone() or (None,)
        events = await conn.execute(
            "SELECT count(*) FROM unified_events WHERE connection_id = %s AND resource_id = %s",
            (connection.id, changed),
        )
        (count,) = await events.fetchone() or (0,)
    waiting = await backlog.waiting(db, connection.connector, (await db.clock())())
    left = sum(one.events for one in waiting if one.connection.id == connection.id)
    letters = sum((await dead_letters.counts(db, connection)).values())
    return [
        Finding(connection.key, f"phone of {changed} by webhook", _NEW_PHONE, phone),
        Finding(connection.key, f"an event about {changed}", expected=True, found=count > 0),
        Finding(connection.key, "webhooks left in the inbox", 0, left),
        Finding(connection.key, "webhooks that became dead letters", 0, letters),
    ]
