"""How much of what Xero, QuickBooks and Salesforce allow a first load uses, with 200 ms of latency on each answer.

    uv run --group dev python benchmarks/allowed.py [xero quickbooks salesforce]

Adapters read the stand-ins, which keep to the providers' limits; streams side by side, as a sync reads them. Pages are
short, so that requests bind and not this machine. Nothing is stored.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from unified.conformance.bench import Granted
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import ConnectionRef
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.sandbox.quickbooks import QuickBooksSandbox
from unified.sandbox.salesforce import SalesforceSandbox
from unified.sandbox.server import Server
from unified.sandbox.tables.api import RequestLimit, TableSandbox
from unified.sandbox.xero import XeroSandbox

LATENCY_SECONDS = 0.2


@dataclass(frozen=True)
class Load:
    """A first load of one system.

    Attributes:
        stand_in: Makes the system, with its limit.
        token: Opens its account.
        streams: What is read.
        allowed: Requests a second that the limit comes to. Salesforce has none of that kind: what the adapter keeps to,
            with 25 under way, which is what Salesforce lets be slow at once.
        settings: Of the connection, beside its address.
    """

    stand_in: Callable[[], TableSandbox]
    token: str
    streams: tuple[str, ...]
    allowed: float
    settings: dict[str, Any] = field(default_factory=dict)


LOADS = {
    "xero": Load(
        lambda: XeroSandbox(Contacts=180, Invoices=180, page=4, limit=RequestLimit(60, 60)),
        "xero_fake_acme", ("contacts", "invoices"), 1.0,
    ),
    "quickbooks": Load(
        lambda: QuickBooksSandbox(
            Customer=400, Invoice=400, Vendor=400, CreditMemo=400, Payment=400, page=4,
            limit=RequestLimit(500, 60),
        ),
        "qb_fake_acme", ("customers", "invoices", "vendors", "credit_memos", "payments"), 500 / 60,
        {"realm_id": QuickBooksSandbox.realm("qb_fake_acme")},
    ),
    "salesforce": Load(
        lambda: SalesforceSandbox(Account=1000, Contact=2000, page=2, limit=RequestLimit(100_000, 86_400)),
        "00D-fake-acme", ("accounts", "contacts"), 50.0, {"concurrency": 25},
    ),
}  # fmt: skip


async def load(name: str, one: Load) -> None:
    """Read it all once, and print what that took."""
    provider = one.stand_in()
    provider.latency_ms = 1000 * LATENCY_SECONDS
    with Server(provider) as server:
        kind = get_adapter(name)
        settings = {"base_url": f"{server.url}/{name}", "allow_private_hosts": True, **one.settings}
        ref = ConnectionRef(UUID(int=1), UUID(int=2), f"acme/{name}")
        async with AsyncExitStack() as stack:
            adapters: list[BaseAdapter[Any]] = []
            for _ in one.streams:
                config = kind.config_model.model_validate(settings)
                secrets = {"access_token": Secret(one.token)}
                adapter = kind(config, secrets, ref, tokens=Granted(one.token))
                adapters.append(await stack.enter_async_context(adapter))
                if len(adapters) > 1:
                    adapter.http.join(adapters[0].http)
            began, worked = time.monotonic(), time.process_time()
            read = await asyncio.gather(*map(records, adapters, one.streams))
            seconds, worked = time.monotonic() - began, time.process_time() - worked
            sent = sum(adapter.http.traffic.requests for adapter in adapters)
            refused = sum(adapter.http.traffic.refused for adapter in adapters)
    print(
        f"{name}: {sum(read)} records, {sent} requests in {seconds:.1f} s, of which {worked:.1f} s of CPU with the "
        f"stand-in's: {sent / seconds / one.allowed:.0%} of the allowed rate; refused: {refused}"
    )


async def records(adapter: BaseAdapter[Any], stream: str) -> int:
    """How many records a full load of a stream brings."""
    async with aclosing(adapter.pull(stream, None)) as pages:
        return sum([len(page.records) async for page in pages])


def main() -> None:
    """Measure those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("systems", nargs="*", choices=[*LOADS, []])
    for name in parser.parse_args().systems or LOADS:
        asyncio.run(load(name, LOADS[name]))


if __name__ == "__main__":
    main()
