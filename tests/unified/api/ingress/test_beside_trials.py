"""While a provider is asked whose account a credential opens, the same process takes deliveries and answers probes."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from tests.unified.sync.access.test_trials import adapter
from unified.sync.access import trials

if TYPE_CHECKING:
    from tests.unified.api.conftest import Ingress


async def test_an_adapter_that_blocks_stops_neither_deliveries_nor_probes(ingress: Ingress) -> None:
    go_on = threading.Event()
    blocked = [
        asyncio.create_task(trials.account_of(adapter(lambda _: go_on.wait()))) for _ in range(3)
    ]  # several tenants at once
    try:
        for number in range(3):
            assert (await ingress.client.get("/healthz")).status_code == 200
            assert (await ingress.deliver(f"evt_{number}")).status_code == 200
        assert not any(one.done() for one in blocked)
    finally:
        go_on.set()
    await asyncio.gather(*blocked)
    assert await ingress.stored() == ["evt_0", "evt_1", "evt_2"]
