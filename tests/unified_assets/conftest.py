"""An installation for Dagster to run on: a database, master keys, both sandboxes, connections; and an instance.

Dagster's runs have event loops of their own, so these tests are synchronous.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import psycopg
import pytest

from sensors import watching
from unified.kit.factory import AdapterFactory
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import generate_key
from unified.store.secrets.opening import StoredConnections
from unified.store.secrets.providers import load_provider
from unified.store.workspaces import workspaces
from unified.store.workspaces.rows import WorkspaceNotFoundError
from unified.sync.connection import sync_connection
from unified_assets import sources
from unified_assets.definitions import build_definitions
from unified_assets.partitions import connections_of

STRIPE_KEY = "sk_test_fake_acme"
HUBSPOT_TOKEN = "pat-fake-acme"
_SECRETS = {"stripe": {"api_key": STRIPE_KEY}, "hubspot": {"access_token": HUBSPOT_TOKEN}}

_Answer = TypeVar("_Answer")


@dataclass
class Installation:
    """A database with connections to the sandboxes, an instance of Dagster, and the definitions."""

    url: str
    sandbox: SandboxServer
    instance: dg.DagsterInstance
    defs: dg.Definitions

    def ask(self, question: Callable[[Database], Awaitable[_Answer]]) -> _Answer:
        async def answer() -> _Answer:
            async with Database.open(self.url) as db:
                return await question(db)

        return asyncio.run(answer())

    def execute(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement as a superuser, whom no policy binds."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def add(self, key: str, connector: str, secret: str | None = None) -> Connection:
        """Add a connection with its credentials, and its partition."""
        workspace, _, name = key.partition("/")

        async def add(db: Database) -> Connection:
            registry, adapter = Registry(db), get_adapter(connector)
            try:
                owner = await workspaces.find(db, workspace)
            except WorkspaceNotFoundError:
                owner = await workspaces.create(db, workspace)
            settings = {
                "base_url": f"{self.sandbox.url}/{connector}",
                "retry_count": 0,
                "allow_private_hosts": True,
            }
            connection = await registry.add_connection(owner.id, connector, name, settings)
            secrets = {field: Secret(secret or value) for field, value in _SECRETS[connector].items()}
            store = CredentialStore(db, load_provider())
            await store.put(owner.id, connection.id, adapter.credential_kind, secrets)
            return connection

        connection = self.ask(add)
        self.instance.add_dynamic_partitions(str(connections_of(connector).name), [key])
        return connection

    def find(self, key: str) -> Connection:
        return self.ask(lambda db: Registry(db).find(key))

    def load(self, *keys: str) -> None:
        """Load connections as their jobs do, without a run: in a third of the time, and Dagster knows nothing of it."""
        connections = [self.find(key) for key in keys]

        async def load(db: Database) -> None:
            credentials = CredentialStore(db, load_provider())
            factory = AdapterFactory(StoredConnections(Registry(db), credentials, actor="tests"))
            for connection in connections:
                await sync_connection(db, factory, connection)

        self.ask(load)

    def sync(self, key: str, **config: Any) -> dg.ExecuteInProcessResult:
        """Run a connection's job."""
        connection = self.find(key)
        adapter = get_adapter(connection.connector)
        job = self.defs.resolve_job_def(f"{adapter.name}_sync")
        streams = [stream.name for stream in adapter.chosen(connection.streams)]
        return job.execute_in_process(
            run_config={"ops": {f"{adapter.name}__{stream}": {"config": config} for stream in streams}},
            asset_selection=[dg.AssetKey([adapter.name, stream]) for stream in streams],
            instance=self.instance,
            partition_key=key,
            raise_on_error=False,
        )

    def materialize(
        self, key: str, *assets: dg.AssetsDefinition | str, **options: Any
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets, or those of the definitions by their names (``stripe/invoices``)."""
        known = {
            each.key.to_user_string(): each
            for each in self.defs.assets or ()
            if isinstance(each, dg.AssetsDefinition)
        }
        chosen = [known[asset] if isinstance(asset, str) else asset for asset in assets]
        return dg.materialize(
            [*chosen, *(asset for asset in known.values() if asset not in chosen)],
            selection=[key for asset in chosen for key in asset.keys],
            partition_key=key,
            instance=self.instance,
            resources=self.defs.resources,
            raise_on_error=False,
            **options,
        )


@cache
def _definitions() -> dg.Definitions:
    """The product's, but for the pauses between retries. No run changes them, and making them takes half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "RETRIES", dg.RetryPolicy(max_retries=3, delay=0))
        return build_definitions()


@pytest.fixture
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("UNIFIED_MASTER_KEYS", generate_key())
    monkeypatch.setattr(watching, "WATCH_SECONDS", 0.0)  # a tick looks once
    stripe = StripeSandbox(customers=60, invoices=120, limits=None)
    hubspot = HubSpotSandbox(contacts=60, companies=10, invoices=30, limits=None)
    with SandboxServer(stripe=stripe, hubspot=hubspot) as sandbox, dg.DagsterInstance.ephemeral() as instance:
        yield Installation(database_url, sandbox, instance, _definitions())


@pytest.fixture(scope="session")
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DAGSTER_HOME with its tables, to be copied: making them takes four times as long."""
    home = tmp_path_factory.mktemp("dagster")
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        assert instance.get_runs() == []
    return home


@pytest.fixture
def stored_instance(dagster_home: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that is stored."""
    home = shutil.copytree(dagster_home, tmp_path / "dagster")
    with dg.instance_for_test(temp_dir=str(home)) as instance:
        yield instance


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Values of a materialization's metadata."""
    (event,) = [
        event
        for event in result.get_asset_materialization_events()
        if event.materialization.asset_key.to_user_string() == asset
    ]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Outcome of each check by ``stream/check``."""
    return {
        f"{each.asset_key.path[-1]}/{each.check_name}": each.passed
        for each in result.get_asset_check_evaluations()
    }


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What Dagster shows for each step that failed, by step."""
    return {
        str(event.step_key): event.step_failure_data.error_display_string
        for event in result.get_step_failure_events()
    }


def everything_logged(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    """All that a run left behind in Dagster: events with their errors and metadata, tags and configuration."""
    entries = [dg.serialize_value(entry) for entry in instance.all_logs(result.run_id)]
    return "\n".join([*entries, repr(instance.get_run_by_id(result.run_id))])
