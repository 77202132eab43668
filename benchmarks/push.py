"""How much of an allowed rate a push uses, with latency on each answer.

    uv run --group dev python benchmarks/push.py stripe [--changes 10000] [--rate 25] [--latency-ms 100]
    uv run --group dev python benchmarks/push.py hubspot [--adapter-only]

A whole run of a route: customers that changed in the other system are read from the tables, planned, written to the
outbox, sent, and settled. They were linked by a first run and synced without any limit, which is not measured. With
`--adapter-only` as many writes go through the target's adapter alone. The stand-ins run in a process of their own, and
so does PostgreSQL. Prints requests per second as a share of the allowed ones, how many were refused, and whether every
change was applied. HubSpot's rate is in requests too: it takes a hundred changes in each.
"""

import argparse
import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection as Pipe
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
from rig import postgres

from unified.cli.installation import migrate_database
from unified.kit.declarations import ConnectionRef
from unified.kit.factory import AdapterFactory, build_adapter
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.kit.writing.changes import Write
from unified.sandbox.hubspot import HubSpotLimits, HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeLimits, StripeSandbox
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.routes.routes import Routes
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider, generate_key
from unified.store.secrets.opening import StoredConnections
from unified.store.workspaces import workspaces
from unified.sync.connection import sync_connection
from unified.sync.routes.run import run_route

if TYPE_CHECKING:
    from unified.store.connections.rows import Connection

HUBSPOT_WINDOW = 10  # seconds in which HubSpot counts requests
RATES = {"stripe": 25.0, "hubspot": 10.0}
SECRETS = {"stripe": {"api_key": "sk_test_fake_acme"}, "hubspot": {"access_token": "pat-fake-acme"}}
BODIES: dict[str, dict[str, Any]] = {
    "stripe": {"phone": "+49 30 1"},
    "hubspot": {"properties": {"phone": "+49 30 1"}},
}
CHANGES = {"stripe": "update_customer", "hubspot": "update_contact"}
UNLIMITED = {"requests_per_second": 100_000.0, "concurrency": 16}


def main() -> None:
    """Push once to one system."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("system", choices=("stripe", "hubspot"))
    arguments.add_argument("--changes", type=int, default=10_000)
    arguments.add_argument("--rate", type=float, help="requests a second; 25 for Stripe, 10 for HubSpot")
    arguments.add_argument("--latency-ms", type=float, default=100)
    arguments.add_argument("--adapter-only", action="store_true")
    options = arguments.parse_args()
    rate = options.rate or RATES[options.system]
    plan = (options.system, options.changes, rate, options.latency_ms, options.adapter_only)
    ours, theirs = multiprocessing.Pipe()
    stand_ins = multiprocessing.get_context("spawn").Process(target=serve, args=(*plan, theirs), daemon=True)
    stand_ins.start()
    try:
        url, ids = ours.recv()
        if options.adapter_only:
            ours.send("limit")
            ours.recv()
            seconds, outcomes = asyncio.run(push(options.system, url, ids, rate))
        else:
            with postgres() as server:
                migrate_database(server.url)
                seconds, outcomes = asyncio.run(route(server.url, url, ours, options, rate))
        stats = httpx.get(f"{url}/_sandbox/{options.system}/stats").json()
    finally:
        ours.send("stop")
        stand_ins.join()
    share = stats["total"] / seconds / rate
    print(f"{stats['total']} requests in {seconds:.1f} s: {share:.0%} of the allowed rate")
    print(
        f"refused with 429: {sum(stats['limited'].values())}; {dict(outcomes)} of {options.changes} changes"
    )


def serve(
    system: str, changes: int, rate: float, latency_ms: float, is_adapter_only: bool, pipe: Pipe
) -> None:
    """The stand-ins' process: says where it is and what the target holds, and does what it is told."""
    # Some are deleted or archived from the beginning; of a route's, some share a mailbox and wait for a person.
    enough = changes * 5 // 4
    source_side, target_side = (1, enough) if is_adapter_only else (enough, 0)
    sizes = {name: target_side if name == system else source_side for name in RATES}
    stripe = StripeSandbox(sizes["stripe"], 0, limits=None)
    hubspot = HubSpotSandbox(sizes["hubspot"], 0, 0, limits=None)
    source = hubspot if system == "stripe" else stripe
    target = stripe if system == "stripe" else hubspot
    held = stripe.account().all_customers() if system == "stripe" else hubspot.account().all("contacts")
    with SandboxServer(stripe, hubspot) as server:
        pipe.send((server.url, [record["id"] for record in held][:changes]))
        while (told := pipe.recv()) != "stop":
            if told == "limit":
                stripe.set_limits(StripeLimits(rate, rate, rate, burst=max(1, rate / 5)))
                hubspot.set_limits(HubSpotLimits(ten_seconds=round(rate * HUBSPOT_WINDOW)))
                target.latency_ms = latency_ms
                target.stats.reset()
            else:
                for record_id in told:
                    change = CHANGES["hubspot" if system == "stripe" else "stripe"]
                    source.mutate(change, None, record_id, phone="+49 30 1")
            pipe.send("done")


def settings_of(system: str, url: str, rate: float | None) -> dict[str, Any]:
    """A connection's settings; without a rate, as fast as it goes."""
    settings: dict[str, Any] = {"base_url": f"{url}/{system}", "allow_private_hosts": True}
    if rate is None:
        settings |= UNLIMITED
        if system == "hubspot":
            settings |= {"searches_per_second": 1_000.0, "search_lag": 0}
    elif system == "stripe":
        # An account with an agreement of its own; HubSpot tells what it grants.
        settings["requests_per_second"] = rate
    return settings


async def push(system: str, url: str, ids: Sequence[str], rate: float) -> tuple[float, Mapping[str, int]]:
    """Write everything through the adapter; seconds, and outcomes by how often they came."""
    adapter = build_adapter(
        system,
        settings_of(system, url, rate),
        {name: Secret(value) for name, value in SECRETS[system].items()},
        ConnectionRef(UUID(int=1), UUID(int=2), f"bench/{system}"),
    )
    writes = [Write("update", one, BODIES[system], f"bench-{one}") for one in ids]
    began = time.monotonic()
    async with adapter:
        outcomes = Counter[str]([written.outcome async for written in adapter.write("customers", writes)])
    return time.monotonic() - began, outcomes


async def route(
    database_url: str, url: str, pipe: Pipe, options: argparse.Namespace, rate: float
) -> tuple[float, Mapping[str, int]]:
    """Link customers of two systems by a first run, change them at the source, and run the route: seconds, counts."""
    system = options.system
    async with Database.open(database_url) as db:
        registry, credentials = Registry(db), CredentialStore(db, LocalKeyProvider([generate_key()]))
        factory = AdapterFactory(StoredConnections(registry, credentials, actor="bench"))
        workspace = await workspaces.create(db, "bench")
        ends: dict[str, Connection] = {}
        for name in RATES:
            ends[name] = await registry.add_connection(workspace.id, name, name, settings_of(name, url, None))
            kind = get_adapter(name).credential_kind
            secrets = {field: Secret(value) for field, value in SECRETS[name].items()}
            await credentials.put(workspace.id, ends[name].id, kind, secrets, actor="bench")
        (source,) = (end for name, end in ends.items() if name != system)
        made = await Routes(db).add("push", source, ends[system])

        await sync_connection(db, factory, source, streams=["customers"])
        await run_route(db, factory, made)
        async with db.workspace(workspace.id) as conn:
            rows = await conn.execute("SELECT source_id FROM pushed_records LIMIT %s", (options.changes,))
            linked = [row[0] for row in await rows.fetchall()]
        pipe.send(linked)
        await asyncio.to_thread(pipe.recv)
        await sync_connection(db, factory, source, streams=["customers"])

        await registry.update_connection(
            workspace.id, ends[system].id, settings=settings_of(system, url, rate)
        )
        pipe.send("limit")
        await asyncio.to_thread(pipe.recv)
        began = time.monotonic()
        result = await run_route(db, factory, made)
        seconds = time.monotonic() - began
        return seconds, {name: count for name, count in result.counts().items() if count}


if __name__ == "__main__":
    main()
