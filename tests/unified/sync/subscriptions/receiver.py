"""A subscriber's server, and the subscription that delivers to it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.unified.sync.source import Source
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.subscriptions import progress
from unified.store.subscriptions.rows import Subscription, read
from unified.sync.subscriptions.deliver import Deliveries, deliver


@dataclass
class Receiver:
    """Somebody's server: notes what it verifies, and answers as it is told."""

    url: str = ""
    secret: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    other_library: Any = None
    handler: Callable[[web.Request], Awaitable[web.Response]] | None = None
    answers: Callable[[dict[str, Any]], web.Response] = lambda _: web.Response(status=204)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            Webhook(self.secret).verify(body, dict(request.headers))
            if self.other_library is not None:
                self.other_library(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        event = json.loads(body)
        answer = self.answers(event)
        if answer.status < 300:
            self.taken.append(event)
            self.ids.append(request.headers["webhook-id"])
        return answer

    def source_ids(self) -> list[str]:
        return [event["data"]["source_id"] for event in self.taken]


@dataclass
class Order:
    """A subscription of a source's customers, and who delivers."""

    source: Source
    receiver: Receiver
    credentials: CredentialStore
    id: Any

    async def deliver(self) -> Deliveries | None:
        results = await deliver(self.source.db, self.credentials)
        return next((one for one in results if one.workspace_id == self.workspace), None)

    @property
    def workspace(self) -> Any:
        return self.source.connection.workspace_id

    async def now(self) -> Subscription:
        async with self.source.db.workspace(self.workspace) as conn:
            return await read(conn, self.id)

    async def stored(self) -> list[str]:
        """Customers that are stored, tombstones too."""
        rows = await self.source.query("SELECT source_id FROM {leaf} WHERE connection_id = %(connection)s")
        return sorted(source_id for (source_id,) in rows)

    async def undelivered(self) -> list[progress.Undelivered]:
        async with self.source.db.workspace(self.workspace) as conn:
            return await progress.undelivered(conn, await self.now())

    async def hurry(self) -> None:
        """What waits is due."""
        async with self.source.db.workspace(self.workspace) as conn:
            await conn.execute("UPDATE webhook_subscriptions SET retry_at = now()")
            await conn.execute("UPDATE undelivered_records SET retry_at = now()")

    async def rename(self, name: str, *numbers: int) -> list[str]:
        """Change customers at the source, and sync."""
        customers = [list(self.source.expected())[number] for number in numbers]
        for customer in customers:
            self.source.rename(customer, name)
        await self.source.sync_all()
        return customers


Subscribe = Callable[..., Any]
