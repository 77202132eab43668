"""How much of an allowed rate a push uses, with latency on each answer.

    uv run python benchmarks/push.py stripe [--changes 10000] [--rate 25] [--latency-ms 100]
    uv run python benchmarks/push.py hubspot

Updates that many customers of a stand-in, which runs in a process of its own, through the adapter. Prints achieved
requests per second as a share of the allowed ones, how many were refused, and whether every change was applied.
HubSpot's rate is in requests too: it takes a hundred changes in each.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any
from uuid import UUID

import httpx

from adapters.base import ConnectionRef
from adapters.factory import build_adapter
from adapters.secrets import Secret
from adapters.writing import Write
from sandbox.hubspot import HubSpotLimits, HubSpotSandbox
from sandbox.server import SandboxServer
from sandbox.stripe import StripeLimits, StripeSandbox

HUBSPOT_WINDOW = 10  # seconds in which HubSpot counts requests
BODIES: dict[str, dict[str, Any]] = {
    "stripe": {"phone": "+49 30 1"},
    "hubspot": {"properties": {"phone": "+49 30 1"}},
}
SECRETS = {"stripe": {"api_key": "sk_test_fake_acme"}, "hubspot": {"access_token": "pat-fake-acme"}}


def main() -> None:
    """Push once to one system."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("system", choices=("stripe", "hubspot"))
    arguments.add_argument("--changes", type=int, default=10_000)
    arguments.add_argument("--rate", type=float, help="requests a second; 25 for Stripe, 10 for HubSpot")
    arguments.add_argument("--latency-ms", type=float, default=100)
    options = arguments.parse_args()
    rate = options.rate or (25 if options.system == "stripe" else 10)
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    plan = (options.system, options.changes, rate, options.latency_ms)
    stand_in = context.Process(target=serve, args=(*plan, theirs), daemon=True)
    stand_in.start()
    url, ids = ours.recv()
    began = time.monotonic()
    outcomes = asyncio.run(push(options.system, url, ids, rate))
    seconds = time.monotonic() - began
    stats = httpx.get(f"{url}/_sandbox/{options.system}/stats").json()
    ours.send("stop")
    stand_in.join()
    share = stats["total"] / seconds / rate
    print(f"{stats['total']} requests in {seconds:.1f} s: {share:.0%} of the allowed rate")
    print(f"refused with 429: {sum(stats['limited'].values())}; changes: {dict(outcomes)} of {len(ids)}")


def serve(system: str, changes: int, rate: float, latency_ms: float, pipe: Connection) -> None:
    """The stand-in's process: says where it is and what it holds, and runs until it is told to stop."""
    # Some are deleted or archived from the beginning.
    enough = changes * 21 // 20
    stripe = StripeSandbox(
        enough if system == "stripe" else 1, 0, limits=StripeLimits(rate, rate, rate, burst=max(1, rate / 5))
    )
    limits = HubSpotLimits(ten_seconds=round(rate * HUBSPOT_WINDOW))
    hubspot = HubSpotSandbox(enough if system == "hubspot" else 1, 0, 0, limits=limits)
    stripe.latency_ms = hubspot.latency_ms = latency_ms
    records = stripe.account().all_customers() if system == "stripe" else hubspot.account().all("contacts")
    with SandboxServer(stripe, hubspot) as server:
        pipe.send((server.url, [record["id"] for record in records][:changes]))
        pipe.recv()


async def push(system: str, url: str, ids: list[str], rate: float) -> Counter[str]:
    """Write everything; outcomes by how often they came."""
    settings: dict[str, Any] = {"base_url": f"{url}/{system}", "allow_private_hosts": True}
    if system == "stripe":
        # An account with an agreement of its own; HubSpot tells what it grants.
        settings["requests_per_second"] = rate
    adapter = build_adapter(
        system,
        settings,
        {name: Secret(value) for name, value in SECRETS[system].items()},
        ConnectionRef(UUID(int=1), UUID(int=2), f"bench/{system}"),
    )
    writes = [Write("update", one, BODIES[system], f"bench-{one}") for one in ids]
    async with adapter:
        return Counter([written.outcome async for written in adapter.write("customers", writes)])


if __name__ == "__main__":
    main()
