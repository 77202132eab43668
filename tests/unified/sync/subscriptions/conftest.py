"""A subscriber's server on loopback, and what subscribes it to a source's records."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import Source
from tests.unified.sync.subscriptions.receiver import Order, Receiver, Subscribe
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.subscriptions.subscriptions import Subscriptions


@pytest.fixture
async def stripe(source_of: MakeSource) -> Source:
    """A smaller account: each record is signed, sent and verified, and none of these tests is about many."""
    return await source_of("stripe", customers=30, invoices=5)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()

    async def handle(request: web.Request) -> web.Response:
        return await (made.handler or made.handle)(request)

    app = web.Application()
    app.router.add_post("/hooks", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks?team=1"
    yield made
    await runner.cleanup()


@pytest.fixture
def subscribe(stripe: Source, receiver: Receiver) -> Subscribe:
    async def add(which: str = "customers", **options: Any) -> Order:
        credentials = CredentialStore(stripe.db, LocalKeyProvider([stripe.master_key]))
        made, secret = await Subscriptions(stripe.db, credentials).add(
            stripe.connection.workspace_id, "crm", which, receiver.url, allow_private=True, **options
        )
        receiver.secret = secret.reveal()
        return Order(stripe, receiver, credentials, made.id)

    return add
