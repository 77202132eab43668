"""Identities of many customers in two sources: a first run, and a run after some of them changed.

    uv run --group dev python benchmarks/identity.py [--customers 1000000] [--changes 1000]

Half of the customers are in Stripe and half in HubSpot, most of them in both: with the same e-mail address, or only
with the same number, or at the same domain, written differently. Everything runs as users run it, the ``unified``
command in a process of its own, on a PostgreSQL server of the benchmark's own. Prints wall time and peak memory.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from rig import postgres

from unified.cli.installation import migrate_database
from unified.kit.registry import get_adapter
from unified.schema import UnifiedAddress, UnifiedCustomer, connection_namespace, unified_id
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.store.records.tables import StreamKey
from unified.store.workspaces import workspaces

WORKSPACE = "bench"
BATCH = 5_000
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_FIRST = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo")
_SYLLABLES = tuple(first + second for first in "bdfgklmnprstvz" for second in "aeiou")


def person(number: int, connector: str, version: int = 0) -> dict[str, object]:
    """One person as one of the two systems has it.

    Of ten persons seven have one address in both systems, one has no address in Stripe but the same number, one is
    known by name at a company's domain, and one is in each system somebody else.
    """
    draw = random.Random(number)  # noqa: S311 - made-up data
    first = draw.choice(_FIRST)
    last = "".join(draw.choices(_SYLLABLES, k=4)).capitalize()
    company = f"co{number // 20}"
    kind = number % 10
    known_apart = kind == 9
    if known_apart and connector == "stripe":
        last = last[::-1].capitalize()
    number_here = number * 2 + (connector == "stripe") if known_apart else number * 2
    email = f"{first}.{last}{number_here}@{company}.example".lower()
    if connector == "stripe" and kind == 7:
        email = None
    elif connector == "stripe" and kind == 8:
        email = f"billing@{company}.example"
    elif connector == "hubspot":
        email = email.upper() if kind == 1 else email
    phone = f"+1{212 + number_here % 7}{2_000_000 + number_here % 7_999_999:07d}"
    return {
        "email": email,
        "name": f"{last}, {first}" if connector == "hubspot" and kind % 2 else f"{first} {last}",
        "phone": phone if kind != 8 else None,
        "company": company,
        "billing_address": UnifiedAddress(
            line1=f"{number_here % 300} {last} Street",
            postal_code=f"{number_here % 90_000:05d}",
            city="Anytown",
            country="US",
        ),
        "description": f"version {version}",
    }


def rows(key: StreamKey, numbers: range | list[int], version: int, observed_at: datetime) -> Iterator[Row]:
    """Records of some persons as a sync would store them."""
    namespace = connection_namespace(key.workspace_id, key.connection_id, key.stream)
    for number in numbers:
        source_id = f"cus_{number:09d}"
        record = UnifiedCustomer(
            source_system=key.connector,
            source_id=source_id,
            unified_id=unified_id(namespace, source_id),
            created_at=_BEGAN,
            updated_at=observed_at,
            observed_at=observed_at,
            synced_at=observed_at,
            **person(number, key.connector, version),
        )
        yield Row.of(record, b'{"id":"%s"}' % source_id.encode(), hash((number, version)))


async def load(url: str, customers: int) -> None:
    """Two connections with half of the customers each."""
    async with Database.open(url) as db:
        registry = Registry(db)
        workspace = await workspaces.create(db, WORKSPACE)
        for connector in ("stripe", "hubspot"):
            connection = await registry.add_connection(workspace.id, connector, connector)
            key = StreamKey.of(connection, get_adapter(connection.connector).stream("customers"))
            for start in range(0, customers // 2, BATCH):
                stored = list(rows(key, range(start, min(start + BATCH, customers // 2)), 0, _BEGAN))
                await batches.commit(db, key, Batch(observed_at=_BEGAN, rows=stored))


async def change(url: str, customers: int, changes: int) -> None:
    """Change some customers of HubSpot."""
    async with Database.open(url) as db:
        connection = await Registry(db).find(f"{WORKSPACE}/hubspot")
        key = StreamKey.of(connection, get_adapter(connection.connector).stream("customers"))
        numbers = random.sample(range(customers // 2), changes)
        later = _BEGAN + timedelta(days=1)
        await batches.commit(db, key, Batch(observed_at=later, rows=list(rows(key, numbers, 1, later))))


def resolve(url: str) -> tuple[float, float, dict[str, object]]:
    """Run ``unified identities resolve``; its seconds, its peak memory in MB, and what it says."""
    began = time.monotonic()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("unified")), "identities", "resolve", WORKSPACE, "--json"],
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, watched.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.02)
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    printed = process.stdout.read()
    if process.returncode:
        sys.exit("unified identities resolve failed")
    return time.monotonic() - began, peak / 1e6, json.loads(printed)


def main() -> None:
    """Load, resolve, change, resolve."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--customers", type=int, default=1_000_000)
    arguments.add_argument("--changes", type=int, default=1_000)
    options = arguments.parse_args()
    with postgres() as server:
        migrate_database(server.url)
        asyncio.run(load(server.url, options.customers))
        first, memory, said = resolve(server.url)
        print(f"first run of {options.customers:,} customers: {first:.1f} s, peak {memory:.0f} MB: {said}")
        asyncio.run(change(server.url, options.customers, options.changes))
        again, memory, said = resolve(server.url)
        print(f"again after {options.changes:,} changes: {again:.2f} s, peak {memory:.0f} MB: {said}")
        print(f"ratio: {first / again:.0f}")


if __name__ == "__main__":
    main()
