"""One connection under test: how to sync it, how to change its source, and what its tables must hold."""

import asyncio
import json
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql

from adapters.hubspot.mapping import CONTACT_PROPERTIES, INVOICE_PROPERTIES
from tests.streams import key_of
from unified.kit.factory import AdapterFactory
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.sandbox.data import CURRENCY_BY_CODE
from unified.sandbox.faults import Fault
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records import cursors, history, rejects
from unified.store.records.cursors import StoredCursor
from unified.store.records.history import SyncRun
from unified.store.records.rejects import StoredReject
from unified.store.records.tables import StreamKey
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.secrets.opening import StoredConnections
from unified.sync.connection import sync_connection, sync_stream
from unified.sync.errors import PullError
from unified.sync.pull import PullResult

# Planted in the credential store, and to be found nowhere else.
KEYS = {"stripe": "sk_test_fake_planted_Qx7vLr2mZp", "hubspot": "pat-fake-planted-Wd9tKs4hBn"}
Content = dict[str, dict[str, Any]]
"""Raw records by id."""


@dataclass
class Source(ABC):
    """One connection, its stand-in, and what to ask of both."""

    db: Database
    connection: Connection
    sandbox: Any
    master_key: str

    @property
    def connector(self) -> str:
        return self.connection.connector

    @property
    def secret(self) -> str:
        return KEYS[self.connector]

    @property
    def data(self) -> Any:
        """The stand-in's account."""
        return self.sandbox.account(self.secret)

    @property
    def registry(self) -> Registry:
        return Registry(self.db)

    @property
    def factory(self) -> AdapterFactory:
        credentials = CredentialStore(self.db, LocalKeyProvider([self.master_key]))
        return AdapterFactory(StoredConnections(self.registry, credentials, actor="test"))

    # Doing

    async def sync(self, stream: str = "customers", **options: Any) -> PullResult:
        return await sync_stream(self.db, self.factory, self.connection, stream, **options)

    async def sync_all(self, **options: Any) -> dict[str, PullResult]:
        results = await sync_connection(self.db, self.factory, self.connection, **options)
        return {result.stream: result for result in results}

    async def configure(self, **settings: Any) -> None:
        """Change settings of the connection."""
        self.connection = await self.registry.update_connection(
            self.connection.workspace_id,
            self.connection.id,
            settings={**self.connection.settings, **settings},
        )

    async def use_key(self, key: str) -> None:
        adapter = get_adapter(self.connector)
        await CredentialStore(self.db, LocalKeyProvider([self.master_key])).put(
            self.connection.workspace_id,
            self.connection.id,
            adapter.credential_kind,
            {adapter.credential_fields[0].name: Secret(key)},
        )

    def fault(self, kind: Any, path: str = "", **how: Any) -> None:
        self.sandbox.faults.add(Fault(kind, path, **how))

    def change(self, name: str, /, *args: Any, **fields: Any) -> Any:
        """Change data at the source, a second after whatever was before."""
        self.sandbox.clock.advance(seconds=1)
        return self.sandbox.mutate(name, self.secret, *args, **fields)

    @abstractmethod
    def rename(self, customer_id: str, name: str) -> None:
        """Change a customer's name at the source."""

    @property
    def requests(self) -> int:
        """Requests that the stand-in got since its last reset."""
        return int(self.sandbox.stats.requests.total())

    def requests_of(self, ending: str) -> int:
        """Those whose path ends so."""
        return sum(count for path, count in self.sandbox.stats.requests.items() if path.endswith(ending))

    # Looking

    def key(self, stream: str) -> StreamKey:
        return key_of(self.connection, stream)

    async def query(self, query: str, stream: str = "customers") -> list[tuple[Any, ...]]:
        """Rows of a query on a stream's own ``{leaf}``, with the connection as ``%(connection)s``."""
        key = self.key(stream)
        async with self.db.workspace(key.workspace_id) as transaction:
            # Marked, because only what the product asks has to have an index to go by.
            statement = sql.SQL("/* a test asks */ " + query).format(leaf=key.leaf)
            return await (await transaction.execute(statement, key.parameters())).fetchall()

    async def stored(self, stream: str = "customers") -> Content:
        """The raw records of all live rows; fails where one is there twice."""
        rows = await self.query(
            "SELECT source_id, raw_data::text FROM {leaf}"
            " WHERE connection_id = %(connection)s AND deleted_at IS NULL",
            stream,
        )
        found = {source_id: json.loads(raw) for source_id, raw in rows}
        assert len(found) == len(rows)
        return found

    async def tombstones(self, stream: str = "customers") -> set[str]:
        rows = await self.query(
            "SELECT source_id FROM {leaf} WHERE connection_id = %(connection)s AND deleted_at IS NOT NULL",
            stream,
        )
        return {row[0] for row in rows}

    async def totals(self) -> dict[str, dict[str, Decimal]]:
        """Sums of live invoices by currency."""
        rows = await self.query(
            "SELECT currency, sum(total), sum(amount_paid) FROM {leaf}"
            " WHERE connection_id = %(connection)s AND deleted_at IS NULL GROUP BY currency",
            "invoices",
        )
        return {currency: {"total": total, "paid": paid} for currency, total, paid in rows}

    async def cursor(self, stream: str = "customers") -> StoredCursor | None:
        return await cursors.load(self.db, self.key(stream))

    async def history(self, stream: str = "customers") -> list[SyncRun]:
        """A stream's syncs, newest first."""
        async with self.db.workspace(self.connection.workspace_id) as transaction:
            return await history.recent(transaction, self.connection.id, stream=stream)

    async def rejects(self, stream: str = "customers") -> list[StoredReject]:
        async with self.db.workspace(self.connection.workspace_id) as transaction:
            return await rejects.read(transaction, self.key(stream))

    async def state(self) -> Connection:
        return await self.registry.get_connection(self.connection.workspace_id, self.connection.id)

    # The oracle

    @abstractmethod
    def expected(self, stream: str = "customers") -> Content:
        """What the source holds, record by record."""

    @abstractmethod
    def expected_totals(self) -> dict[str, dict[str, Decimal]]:
        """What :meth:`totals` must say, from the source's own sums."""

    async def assert_agrees(self, *streams: str) -> None:
        """Fail where a stream's live rows are not what the source holds."""
        for stream in streams or ("customers",):
            stored, expected = await self.stored(stream), self.expected(stream)
            assert stored.keys() == expected.keys()
            for source_id, raw in stored.items():
                assert self.comparable(stream, raw) == self.comparable(stream, expected[source_id])
        if "invoices" in streams:
            assert await self.totals() == self.expected_totals()

    def comparable(self, stream: str, raw: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """The part of a raw record that the oracle knows and the adapter reads."""
        return raw

    async def assert_fails(self, stream: str = "customers", **options: Any) -> PullError:
        """A sync that must fail: with a message for people, kept where it should be, without the secret."""
        with pytest.raises(PullError) as caught:
            await self.sync(stream, **options)
        message = str(caught.value)
        assert message.startswith(f"acme/main: {stream}: ")
        state = await self.state()
        assert (state.sync_status, state.error_message) == ("error", message)
        last = (await self.history(stream))[0]
        assert (last.error_message, last.is_complete) == (message, False)
        assert last.finished_at is not None
        for text in (message, repr(caught.value), "".join(traceback.format_exception(caught.value))):
            assert self.secret not in text
        return caught.value


class StripeSource(Source):
    """A Stripe account."""

    def rename(self, customer_id: str, name: str) -> None:
        self.change("update_customer", customer_id, name=name)

    def expected(self, stream: str = "customers") -> Content:
        records = getattr(self.data, f"all_{stream}")()
        # Through JSON, as everything that an adapter brings.
        return {record["id"]: msgspec.json.decode(msgspec.json.encode(record)) for record in records}

    def expected_totals(self) -> dict[str, dict[str, Decimal]]:
        def amount(minor: int, code: str) -> Decimal:
            return Decimal(minor).scaleb(-CURRENCY_BY_CODE[code].decimals)

        return {
            code.upper(): {"total": amount(sums["total"], code), "paid": amount(sums["amount_paid"], code)}
            for code, sums in self.data.source_totals().items()
        }


class HubSpotSource(Source):
    """A HubSpot portal."""

    def rename(self, customer_id: str, name: str) -> None:
        self.change("update_contact", customer_id, lastname=name)

    def expected(self, stream: str = "customers") -> Content:
        kind = {"customers": "contacts", "invoices": "invoices"}[stream]
        return {record["id"]: record for record in self.data.all(kind)}

    def comparable(self, stream: str, raw: dict[str, Any]) -> dict[str, Any]:
        read = {"customers": CONTACT_PROPERTIES, "invoices": INVOICE_PROPERTIES}[stream]
        properties = {name: raw["properties"][name] for name in read}
        return {name: raw[name] for name in raw if name != "associations"} | {"properties": properties}

    def expected_totals(self) -> dict[str, dict[str, Decimal]]:
        return {
            code: {"total": Decimal(sums["hs_amount_billed"]), "paid": Decimal(sums["hs_amount_paid"])}
            for code, sums in self.data.source_totals().items()
        }


@contextmanager
def cursors_locked(source: Source) -> Iterator[Callable[[], bool]]:
    """Hold every commit at its last statement; what it yields tells whether one waits."""
    with (
        closing(psycopg.connect(source.db.url)) as lock,
        closing(psycopg.connect(source.db.url, autocommit=True)) as monitor,
    ):
        lock.execute("SELECT 1 FROM cursors FOR UPDATE")

        def somebody_waits() -> bool:
            waiting = (
                "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return monitor.execute(waiting).rowcount > 0

        yield somebody_waits


async def until(is_so: Callable[[], bool], has_ended: Callable[[], bool]) -> None:
    """Wait for what another process or task leads to; fail where that has ended without it."""
    while not is_so():
        assert not has_ended(), "it ended by itself"
        await asyncio.sleep(0.02)
