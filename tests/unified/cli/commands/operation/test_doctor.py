"""`unified doctor` in an installation of its own, put wrong in several ways."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import execute
from tests.unified.cli.conftest import Unified
from tests.waiting import LIMIT_SECONDS
from unified.cli.commands.operation.doctor import _celery, _findings
from unified.cli.session import Session, open_session
from unified.kit.secrets import Secret
from unified.sandbox.server import SandboxServer
from unified.store.doctor.findings import Finding
from unified.store.inbox.endpoints import Endpoints
from unified.store.secrets.keys import generate_key
from unified.store.server.urls import database_url
from unified.store.workspaces import workspaces

STORAGE = "DAGSTER_POSTGRES_URL"
BROKER = "UNIFIED_CELERY_BROKER"


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DATABASE_URL",
        STORAGE,
        "UNIFIED_MASTER_KEYS",
        "UNIFIED_KEY_PROVIDER",
        "UNIFIED_PUBLIC_URL",
        BROKER,
    ):
        monkeypatch.delenv(name, raising=False)


def look(*, providers: bool = False) -> list[Finding]:
    async def look() -> list[Finding]:
        return [finding async for finding in _findings(with_providers=providers)]

    return asyncio.run(look())


def wrong(*, providers: bool = False) -> dict[str, str]:
    """What is wrong, by what it is about."""
    return {each.about: each.message for each in look(providers=providers) if each.level == "wrong"}


def test_before_there_is_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNIFIED_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNIFIED_JWT_ISSUER", "https://issuer.example.com")
    found = wrong()
    assert list(found) == ["api", "database"]
    assert "UNIFIED_JWT_JWKS_URL" in found["api"]
    assert found["database"].endswith("`unified dev` makes it")
    assert not (tmp_path / "home").exists(), "it looks and makes nothing"


def test_a_broker_that_can_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that can be: `tests/deploy/test_workers.py`."""
    assert list(_celery()) == []
    monkeypatch.setenv(BROKER, "amqp://guest:fake@127.0.0.1")
    (found,) = _celery()
    assert found.message == "UNIFIED_CELERY_BROKER has to begin with redis:// or rediss://"
    monkeypatch.setenv(BROKER, "rediss://:fake@127.0.0.1:1/0")  # says nothing of the certificate
    (found,) = _celery()
    assert "does not answer" in found.message
    assert "fake" not in found.message
    monkeypatch.setenv(BROKER, "redis://:fake/word@127.0.0.1:1/0")
    (found,) = _celery()
    assert "the Celery broker's URL can't be read" in found.message
    assert "fake" not in found.message
    monkeypatch.setitem(sys.modules, "resources.celery_broker", None)
    (found,) = _celery()
    assert "the extra `celery` is not installed" in found.message


async def _connect(session: Session, base_url: str) -> None:
    workspace = await workspaces.create(session.db, "acme")
    settings = {"base_url": base_url, "allow_private_hosts": True, "retry_count": 0}
    connection = await session.registry.add_connection(workspace.id, "stripe", "main", settings)
    secrets = {"api_key": Secret("sk_test_fake_acme")}
    await session.credentials().put(workspace.id, connection.id, "api_key", secrets)
    await Endpoints(session.db, session.credentials()).create(connection)


def test_an_installation_put_wrong(
    unified: Unified, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIFIED_HOME", str(unified.home))
    # The servers of the tests are allowed to forget; this one is looked at as a user's is.
    execute(database_url(), "ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")

    async def connect() -> None:
        async with open_session() as session:
            await _connect(session, f"{sandbox.url}/stripe")

    asyncio.run(connect())
    found = look(providers=True)
    assert [each for each in found if each.level == "wrong"] == []
    advice = {each.about: each.message for each in found}
    assert "keep a copy elsewhere" in advice["keys"]
    assert advice["webhooks"].startswith(
        "1 endpoint(s) wait for deliveries, and UNIFIED_PUBLIC_URL is not set"
    )
    assert "dagster" in advice

    file = unified.home / "master.keys"
    file.chmod(0o644)
    assert "chmod 600" in wrong()["keys"]
    file.chmod(0o600)
    kept = file.rename(unified.home / "elsewhere")
    assert "is missing, and 1 data key(s) can't be unwrapped" in wrong()["keys"]
    assert not file.exists(), "no new key is made in its place"
    kept.rename(file)

    monkeypatch.setenv(STORAGE, "postgresql://127.0.0.1:1/dagster")
    monkeypatch.setenv("UNIFIED_MASTER_KEYS", stranger := generate_key())
    found = look(providers=True)
    told = {each.about: each.message for each in found if each.level == "wrong"}
    assert "put that key there" in told["keys"]
    assert "put that key there" in told["acme/main"]
    assert "postgresql+psycopg2://" in told["dagster"]
    assert stranger not in str(found)
    monkeypatch.delenv("UNIFIED_MASTER_KEYS")

    done = unified.run("doctor", "--json", UNIFIED_MASTER_KEYS="none")
    assert done.returncode == 1, done.stderr
    assert {each["about"] for each in json.loads(done.stdout) if each["level"] == "wrong"} == {"keys"}
    done = unified.run("doctor")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 wrong, ")


def test_an_unreachable_provider_and_a_clock_that_is_off(
    unified: Unified, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIFIED_HOME", str(unified.home))
    sandbox.stripe.clock.advance(seconds=3600)
    assert "behind stripe's" in wrong(providers=True)["clock"]

    async def lead_nowhere() -> None:
        async with open_session() as session:
            connection = await session.registry.find("acme/main")
            settings = {**connection.settings, "base_url": "http://127.0.0.1:9"}
            await session.registry.update_connection(
                connection.workspace_id, connection.id, settings=settings
            )

    asyncio.run(lead_nowhere())
    assert "got no answer" in wrong(providers=True)["acme/main"]


def test_watching_shows_what_comes_and_what_goes(unified: Unified, database_url: str) -> None:
    environment = unified.environment(DATABASE_URL=database_url, UNIFIED_MASTER_KEYS=generate_key())
    process = subprocess.Popen(
        unified.command("doctor", "--watch", "1", "--json"),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None

    def next_about(table: str) -> str:
        for line in process.stdout or ():
            change = json.loads(line)
            if table in change["message"]:
                return str(change["state"])
        raise AssertionError("it ended")

    execute(database_url, "ALTER TABLE connector_configs NO FORCE ROW LEVEL SECURITY")
    assert next_about("connector_configs") == "wrong"
    execute(database_url, "ALTER TABLE connector_configs FORCE ROW LEVEL SECURITY")
    assert next_about("connector_configs") == "gone"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130
