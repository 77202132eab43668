"""The drain: events of one connection, from the inbox into the tables.

    uv run --group dev python benchmarks/drain.py [--events 40000] [--rounds 3]

Three kinds of events, each drained from an inbox that was filled before, by `unified.sync.drain` as runs
call it: events that only go to `unified_events`; events of customers and invoices, whose
records are read again and merged; and the same events at a generic webhook, which takes the records from them and maps
them by the rules of `mappings/stripe.json`. The provider's answers are at hand, so that what is measured is ours and
the database's, and no provider's limit.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.fernet import Fernet
from rig import PostgresServer, postgres
from rules import rules_of

from adapters.stripe.adapter import StripeAdapter
from unified.cli.installation import migrate_database
from unified.kit.declarations import Account
from unified.kit.factory import AdapterFactory
from unified.kit.secrets import Secret
from unified.kit.streams import Page, RawRecord
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.sandbox.stripe import AccountSpec, StripeSandbox
from unified.store.connections import field_rules
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.inbox import events as inbox
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.workspaces import workspaces
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.drain import drain

API_KEY = "sk_test_fake_of_the_benchmarks"
OBJECTS = 5_000
# Where a generic webhook finds the same customers and invoices, and by which rules.
CARRIED = {
    stream: {"types": [f"{stream.removesuffix('s')}.*"], "records": "data.object", "id": "id"}
    for stream in ("customers", "invoices")
}
RULES = {stream: rules_of("stripe")[stream].rules for stream in CARRIED}


@dataclass(frozen=True)
class Source:
    """What the provider has: objects by id as JSON, and an event to make others after."""

    customers: dict[str, bytes]
    invoices: dict[str, bytes]
    template: dict[str, Any]

    def events(self, how_many: int, numbers: "itertools.count[int]", *, merged: bool) -> list[ReceivedEvent]:
        """New events: of customers and invoices in turn, or of charges, which no table but the events' has.

        Each states its number in its object, so that a record that is taken from it is another one each time.
        """
        if merged:
            pairs = zip(
                self.customers.values(), self.invoices.values(), strict=False
            )  # some customers are deleted
            bodies = [_with_few_lines(json.loads(body)) for pair in pairs for body in pair]
        else:
            bodies = [{"id": f"ch_{n}", "object": "charge", "description": "x" * 900} for n in range(100)]
        return [
            self._event(next(numbers), subject)
            for subject in itertools.islice(itertools.cycle(bodies), how_many)
        ]

    def _event(self, number: int, subject: dict[str, Any]) -> ReceivedEvent:
        created = 1_790_000_000 + number
        named = {"id": f"evt_{number:010}", "type": f"{subject['object']}.updated", "created": created}
        data = {"object": {**subject, "state": number}}
        body = json.dumps({**self.template, **named, "data": data}).encode()
        return ReceivedEvent(named["id"], named["type"], datetime.fromtimestamp(created, UTC), body)


def _with_few_lines(subject: dict[str, Any]) -> dict[str, Any]:
    if "lines" in subject:
        subject["lines"]["data"] = subject["lines"]["data"][:3]
    return subject


def make_source() -> Source:
    """The stand-in's data."""
    sandbox = StripeSandbox(
        customers=OBJECTS,
        invoices=OBJECTS,
        now=time.time() - 86_400,
        limits=None,
        api_keys={API_KEY: AccountSpec()},
    )
    account = sandbox.account(API_KEY)
    return Source(
        {one["id"]: json.dumps(one).encode() for one in account.all_customers()},
        {one["id"]: json.dumps(one).encode() for one in account.all_invoices()},
        next(iter(account.all_events())),
    )


def answer_from(source: Source) -> None:
    """Let the adapter find its provider's answers at hand, each time in another state."""
    states = itertools.count(1)

    async def fetch(self: StripeAdapter, stream: str, ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        known = source.customers if stream == "customers" else source.invoices
        change = b', "state": %d}' % next(states)
        for some in _hundreds(ids):
            yield Page([RawRecord(one, known[one][:-1] + change) for one in some], self.clock(), None)

    async def account(self: StripeAdapter) -> Account:  # noqa: ARG001 - the method's signature
        return Account("acct_fake_of_the_benchmarks")

    StripeAdapter.fetch = fetch  # type: ignore[method-assign]
    StripeAdapter.account = account  # type: ignore[method-assign]


def _hundreds(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + 100] for start in range(0, len(ids), 100)]


async def measure(server: PostgresServer, events: int, rounds: int) -> None:
    """Fill and drain by turns, and print."""
    source = make_source()
    answer_from(source)
    async with Database.open(server.url) as db:
        registry = Registry(db)
        credentials = CredentialStore(db, LocalKeyProvider([Fernet.generate_key().decode()]))
        workspace = await workspaces.create(db, "bench")
        connection = await registry.add_connection(workspace.id, "stripe", "main", {})
        await credentials.put(workspace.id, connection.id, "api_key", {"api_key": Secret(API_KEY)})
        factory = AdapterFactory(AuthorizedConnections(db, credentials, actor="benchmark"))
        shop = await registry.add_connection(workspace.id, "webhook", "shop", CARRIED)
        for stream, rules in RULES.items():
            await field_rules.put(db, shop, stream, *rules)
        numbers = itertools.count()
        kinds = {
            "into unified_events": (connection, False),
            "with customers and invoices merged": (connection, True),
            f"of a generic webhook, with {' and '.join(str(len(one)) for one in RULES.values())} rules": (
                shop,
                True,
            ),
        }
        rates: dict[str, list[tuple[float, float]]] = {what: [] for what in kinds}
        for what, (of, merged) in [*kinds.items()] * rounds:
            await fill(db, of, source.events(events, numbers, merged=merged))
            rates[what].append(await drained(db, factory, of.connector, events, server))
    for what, measured in rates.items():
        for unit, values in zip(("second", "second of CPU"), zip(*measured, strict=True), strict=True):
            told = ", ".join(f"{rate:,.0f}" for rate in values)
            print(f"{what}: {statistics.median(values):,.0f} events a {unit} (median of {told})")
    _, stripes, generic = rates.values()
    ratios = [ours[1] / theirs[1] for ours, theirs in zip(generic, stripes, strict=True)]
    print(f"generic beside Stripe's, by CPU: {statistics.median(ratios):.2f}; 0.7 is asked for")


async def fill(db: Database, connection: Connection, events: Sequence[ReceivedEvent]) -> None:
    """Let events wait in the inbox."""
    rows = [inbox.Received(connection.workspace_id, connection.id, event) for event in events]
    for start in range(0, len(rows), 500):
        await inbox.append(db, rows[start : start + 500])


async def drained(
    db: Database, factory: AdapterFactory, connector: str, events: int, server: PostgresServer
) -> tuple[float, float]:
    """Drain what waits; events a second, and a second of processor time of all processes."""
    started, before = time.perf_counter(), sum(os.times()[:4]) + server.cpu()
    (result,) = await drain(db, factory, connector)
    seconds, taken = time.perf_counter() - started, sum(os.times()[:4]) + server.cpu() - before
    if (result.events, result.failed, result.error) != (events, 0, None):
        raise SystemExit(f"not all was applied: {result}")
    return events / seconds, events / taken


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--events", type=int, default=40_000)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    with postgres() as server:
        migrate_database(server.url)
        asyncio.run(measure(server, options.events, options.rounds))


if __name__ == "__main__":
    main()
