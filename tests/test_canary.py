"""No secret shows anywhere: unique ones are planted, everything is run and made to fail, all that is left is searched.

One word is leaked on purpose, by the same ways that a secret would take: where the search does not find that, it could
not find a secret either.
"""

import asyncio
import base64
import contextlib
import io
import json
import logging
import pkgutil
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, NoReturn
from urllib.parse import quote
from uuid import uuid4

import dagster as dg
import httpx
import psycopg
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

import unified.api.pages
import unified.cli.main
from adapters.stripe.adapter import StripeAdapter
from tests import canary_pages
from tests.canaries import CONTROL, Canaries, canary, forms
from tests.conftest import add_generic_webhook, migrated_database
from tests.echo import Echo, echo_server
from tests.unified.api.conftest import signed, stripe_event
from tests.unified.api.pages import seeds
from tests.vault_front import VaultFront
from unified.api.app import Application
from unified.api.ingress.endpoint import WebhookIngress
from unified.api.ingress.group_commit import GroupCommit
from unified.api.management.app import management_api, open_services
from unified.api.mcp.endpoint import mcp
from unified.api.metrics import Metrics
from unified.api.pages.app import pages
from unified.api.pages.session import INSTALLATION, set_up_link
from unified.api.settings import ManagementSettings, Settings
from unified.cli.commands.access.sign_in import sign_in_link
from unified.kit.declarations import CredentialKind
from unified.kit.secrets import Secret
from unified.logs import JsonLines
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import AccountSpec, StripeSandbox
from unified.sandbox.vault import binary
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.inbox import strays
from unified.store.inbox.endpoints import Endpoints
from unified.store.inbox.events import append
from unified.store.inbox.lookup import EndpointLookup
from unified.store.migrate import ensure_database
from unified.store.records.merge import batches
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.providers import load_provider
from unified.store.server.urls import beside
from unified.store.workspaces import tokens, workspaces
from unified.store.workspaces.permissions import PERMISSIONS, SCOPES
from unified_assets import sources
from unified_assets.definitions import build_definitions
from unified_assets.partitions import connections_of

# What a provider, a proxy or a library may do with a credential that it was given: show it again.
STATUSES = (401, 403, 429, 500, 302, 200)

pytestmark = pytest.mark.long(80)

ADDRESS = "https://api.test"
"""Where the HTTP server is reached."""

_SESSION = re.compile(rf"(?<={canary_pages.SESSION_COOKIE}=)[^;]+")

# The stage --------------------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """Everything that runs, and what it has said so far."""

    url: str
    secrets: Canaries
    sandbox: SandboxServer
    echo: str
    instance: dg.DagsterInstance
    defs: dg.Definitions
    console: io.StringIO
    answers: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)

    async def add(
        self,
        db: Database,
        name: str,
        base_url: str,
        secrets: dict[str, str],
        *,
        connector: str = "stripe",
        kind: str = CredentialKind.API_KEY,
    ) -> Connection:
        registry = Registry(db)
        workspace = await workspaces.find(db, "acme")
        settings = {"base_url": base_url, "retry_count": 0, "allow_private_hosts": True}
        connection = await registry.add_connection(workspace.id, connector, name, settings)
        store = CredentialStore(db, load_provider())
        await store.put(
            workspace.id, connection.id, kind, {key: Secret(each) for key, each in secrets.items()}
        )
        self.instance.add_dynamic_partitions(str(connections_of(connector).name), [f"acme/{name}"])
        return connection

    def sync(self, name: str, connector: str = "stripe") -> bool:
        """Pull a connection's customers in a run of Dagster; whether it succeeded."""
        job = self.defs.resolve_job_def(f"{connector}_sync")
        done = job.execute_in_process(
            instance=self.instance,
            partition_key=f"acme/{name}",
            op_selection=[f"{connector}__customers"],
            raise_on_error=False,
        )
        return done.success

    def drain(self) -> None:
        job = self.defs.resolve_job_def("stripe_drain")
        config = {"ops": {"drain_stripe_inbox": {"config": {"linger_seconds": 0}}}}
        assert job.execute_in_process(run_config=config, instance=self.instance, raise_on_error=False).success

    def command(self, *arguments: str, stdin: str = "", code: int = 1) -> None:
        """Run `unified` in this process, which is as main() as a process of its own, and quicker."""
        handlers = {
            number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["unified", *arguments])
                patch.setattr(sys, "stdin", io.StringIO(stdin))
                with (
                    contextlib.redirect_stdout(self.console),
                    contextlib.redirect_stderr(self.console),
                    pytest.raises(SystemExit) as ended,
                ):
                    unified.cli.main.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        assert ended.value.code == code, self.console.getvalue()[-2_000:]

    @contextlib.asynccontextmanager
    async def api(self, db: Database, kept: list[str]) -> AsyncIterator[httpx.AsyncClient]:
        """The HTTP server's application; each answer is kept, and in the end what it has counted."""
        hosts = frozenset(url.removeprefix("http://") for url in (self.echo, self.sandbox.url))
        settings = Settings(
            public_url="https://hooks.example.com", management=ManagementSettings(open_hosts=hosts)
        )
        metrics, provider = Metrics(db), load_provider()
        inbox = GroupCommit(partial(append, db), waiting=10)
        lost = GroupCommit(partial(strays.append, db), waiting=10)
        ingress = WebhookIngress(
            EndpointLookup(db, CredentialStore(db, provider)), inbox, lost, settings, metrics.delivery
        )
        services = open_services(db, provider, settings)
        management = management_api(services, metrics)
        app = Application(
            ingress, management, pages(services, metrics, ingress), mcp(services, metrics, management)
        )

        async def keep(response: httpx.Response) -> None:
            await response.aread()
            # The one place where a session belongs.
            headers = _SESSION.sub("", "\n".join(map(": ".join, response.headers.multi_items())))
            kept.extend((headers, response.text))

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url=ADDRESS,
            event_hooks={"response": [keep]},
        ) as client:
            yield client
        kept.append((await metrics.text()).decode())


# The play ---------------------------------------------------------------------------------------------------------


async def _plant(stage: Stage) -> None:
    secrets = stage.secrets
    async with Database.open(stage.url) as db:
        workspace = await workspaces.create(db, "acme", f"Acme {CONTROL}")
        await stage.add(db, "good", f"{stage.sandbox.url}/stripe", {"api_key": secrets.stripe_key})
        echo = await stage.add(db, "echo", stage.echo, {"api_key": secrets.refused_key})
        unsendable = await stage.add(db, "unsendable", stage.echo, {"api_key": secrets.unsendable_key})
        pair = {"access_token": secrets.access_token, "refresh_token": secrets.refresh_token}
        kind = CredentialKind.OAUTH_TOKEN
        await stage.add(db, "portal", stage.echo, pair, connector="hubspot", kind=kind)
        basic = {"username": "ada", "password": secrets.password}
        await stage.add(db, "basic", stage.echo, basic, kind=CredentialKind.BASIC_AUTH)
        token = {"token": secrets.bearer_token}
        await stage.add(db, "bearer", stage.echo, token, kind=CredentialKind.BEARER_TOKEN)
        endpoints = Endpoints(db, CredentialStore(db, load_provider()))
        for connection in (echo, unsendable):
            await endpoints.rotate(await endpoints.create(connection), Secret(secrets.webhook_secret))
        _, shown = await tokens.create(
            db, workspace.id, "canary", sorted(SCOPES & PERMISSIONS["owner"]), actor="tests"
        )
        secrets.api_token = shown.reveal()


def _run_dagster(stage: Stage) -> None:
    assert stage.sync("good")
    for status in STATUSES:
        Echo.status = status
        assert not stage.sync("echo")
    Echo.status = 401
    for name in ("unsendable", "basic", "bearer"):
        assert not stage.sync(name)
    assert not stage.sync("portal", "hubspot")

    def fail(*_: Any, **__: Any) -> NoReturn:
        print(CONTROL)  # noqa: T201 - for the compute logs
        logging.getLogger("tests.canary").warning(CONTROL)
        raise RuntimeError(CONTROL)

    places = ((StripeAdapter, "pull"), (StripeAdapter, "to_unified"), (batches, "merge"))
    for place, name in places:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(place, name, fail)
            stage.sandbox.stripe.mutate("create_customer", stage.secrets.stripe_key)
            assert not stage.sync("good") or name == "to_unified", "what can't be mapped is kept as a reject"


async def _use_the_api(stage: Stage) -> None:
    secrets = stage.secrets
    configs = "/api/connectors/configs"
    async with Database.open(stage.url) as db, stage.api(db, stage.answers) as client:
        echo = await Registry(db).find("acme/echo")
        mine = {"authorization": f"Bearer {secrets.api_token}"}
        forged = f"{base64.urlsafe_b64encode(secrets.jwt_secret.encode()).decode()}.e30.{secrets.stray_token}"
        for shown in (secrets.stray_token, forged, f"{secrets.api_token}x"):
            refused = await client.get(configs, headers={"authorization": f"Bearer {shown}"})
            assert refused.status_code == 401, refused.text
        stored = {"fields": {"api_key": secrets.sent_key}}
        for method, path, body in (
            ("GET", configs, None),
            ("GET", f"{configs}/{echo.id}", None),
            ("GET", f"{configs}/{echo.id}/credentials", None),
            ("GET", "/api/workspaces", None),
            ("GET", "/api/audit-log", None),
            ("GET", "/docs", None),
            ("GET", "/openapi.json", None),
            ("GET", "/metrics", None),
            ("GET", "/connectors", None),
            ("GET", f"/connectors/{echo.id}", None),
            ("GET", "/webhooks", None),
            ("GET", "/subscriptions", None),
            ("PUT", f"{configs}/{echo.id}/credentials", stored),
            ("PUT", f"{configs}/{echo.id}/credentials?test=true", stored),
            ("PUT", f"{configs}/{echo.id}/credentials", {"fields": {"no_such": secrets.sent_key}}),
            ("PUT", f"{configs}/{echo.id}/credentials", {"fields": secrets.sent_key}),
            ("PUT", f"{configs}/{uuid4()}/credentials", stored),
            ("POST", f"{configs}/{echo.id}/test", None),
            (
                "POST",
                configs,
                {"connector": "stripe", "name": "x", "settings": {"api_key": secrets.sent_key}},
            ),
            ("POST", configs, {"connector": "stripe", "name": "x", "api_key": secrets.sent_key}),
        ):
            await client.request(method, path, json=body, headers=mine)
        await client.put(f"{configs}/{echo.id}/credentials", content=f'{{"{secrets.sent_key}', headers=mine)
        event = stripe_event("evt_canary")
        endpoints = Endpoints(db, CredentialStore(db, load_provider()))
        for endpoint in await endpoints.of_workspace(echo.workspace_id):
            for secret, status in ((secrets.stray_token, 401), (secrets.webhook_secret, 200)):
                path = f"/webhooks/stripe/{endpoint.path}"
                taken = await client.post(path, content=event, headers=signed(event, secret))
                assert taken.status_code == status


async def _use_the_pages(stage: Stage) -> None:
    secrets = stage.secrets
    async with Database.open(stage.url) as db:
        workspace = await workspaces.find(db, "acme")
        link = await sign_in_link(db, load_provider(), workspace, ADDRESS, reach=INSTALLATION)
        set_up = await set_up_link(db, ADDRESS, actor="cli")
        # Before the dot there is the workspace's id.
        secrets.link = link.partition(f"{workspace.id.hex}.")[2]
        good, portal = [await Registry(db).find(f"acme/{name}") for name in ("good", "portal")]
        await seeds.route(db, good, portal)
        await seeds.identity(db, good)
        async with stage.api(db, stage.pages) as client:
            browser = canary_pages.Browser(client)
            await canary_pages.sign_in(browser, secrets)
            session = client.cookies[canary_pages.SESSION_COOKIE]
            secrets.session = session.partition(".")[2]
            await canary_pages.walk(browser, secrets, echo_url=stage.echo, sandbox_url=stage.sandbox.url)
            await canary_pages.leave(browser)
            await canary_pages.sign_in_by_link(browser, secrets, link, set_up)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("UNIFIED_MASTER_KEYS", secrets.wrong_master_key)
            async with stage.api(db, stage.pages) as client:
                client.cookies.set(canary_pages.SESSION_COOKIE, session)
                await canary_pages.Browser(client).open("/connectors", 500)


def _use_the_commands(stage: Stage) -> None:
    secrets = stage.secrets
    to_echo = ("--workspace", "acme", "--base-url", stage.echo, "--allow-private-hosts", "--secret-stdin")
    stage.command("--debug", "connections", "add", "stripe", "typed", *to_echo, stdin=secrets.typed_key)
    stage.command("--debug", "connections", "test", "acme/echo")
    stage.command("sync", "acme/echo")
    stage.command("connections", "list", "--json", code=0)
    stage.command("status", code=0)
    stage.command("doctor", "--providers")
    stage.command("keys", "rotate", code=0)
    stage.command("query", f"TABLE {CONTROL}", "--workspace", "acme")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIFIED_MASTER_KEYS", secrets.wrong_master_key)
        stage.command("--debug", "keys", "status")
        stage.command("--debug", "sync", "acme/good")
        patch.setenv("UNIFIED_MASTER_KEYS", f"{secrets.master_key},x{secrets.wrong_master_key}")
        stage.command("--debug", "keys", "status")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNIFIED_KEY_PROVIDER", "vault,local")
        patch.setenv("VAULT_TOKEN", secrets.vault_token)
        if binary() is not None:
            with VaultFront(token=secrets.vault_token) as front:
                patch.setenv("VAULT_ADDR", front.url)
                front.echo, front.failures = True, 9
                stage.command("--debug", "keys", "status")
                front.failures = 0
                front.vault.ask("DELETE", "sys/mounts/transit")
                stage.command("--debug", "keys", "rotate")
        patch.setenv("VAULT_ADDR", f"http://{secrets.vault_token}@vault.example.com")
        stage.command("--debug", "keys", "status")


def _dump(url: str) -> str:
    """Every row of every table as text, with what bytea columns hold once more as it is.

    By COPY: the pg_dump that comes with the embedded server is older than that server, and refuses it.
    """
    text = io.StringIO()
    with psycopg.connect(url) as conn:
        tables = conn.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(tables) > 10
        for (table,) in tables:
            with conn.cursor().copy(f"COPY (TABLE {table}) TO STDOUT".encode()) as copy:
                text.writelines(bytes(block).decode() for block in copy)
    held = (bytes.fromhex(each).decode("latin-1") for each in re.findall(r"\\x([0-9a-f]+)", text.getvalue()))
    return "\n".join((text.getvalue(), *held))


@pytest.fixture(scope="module")
def left(
    server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Canaries, dict[str, str]]]:
    """The secrets, and all that is left after everything has run, by where it was found."""
    folder = tmp_path_factory.mktemp("canary")
    said = folder / "log"
    handler = logging.FileHandler(said)
    # Our own client says which addresses it asks, a link for signing in among them; that is not the product's doing.
    handler.addFilter(lambda record: record.name != "httpx" or ADDRESS not in record.getMessage())
    said_as_json = folder / "log.json"
    as_json = logging.FileHandler(said_as_json)
    as_json.setFormatter(JsonLines())
    as_json.addFilter(handler.filter)
    root, level = logging.getLogger(), logging.getLogger().level
    secrets = Canaries()
    stripe = StripeSandbox(
        customers=20, invoices=20, api_keys={secrets.stripe_key: AccountSpec()}, limits=None
    )
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        url = stack.enter_context(migrated_database(server_url, template))
        add_generic_webhook(url)
        storage = beside(server_url, f"test_{uuid4().hex[:12]}")
        ensure_database(storage)
        patch.setenv("DATABASE_URL", url)
        patch.setenv("UNIFIED_MASTER_KEYS", secrets.master_key)
        patch.setattr(sources, "RETRIES", dg.RetryPolicy(max_retries=0))
        dagster_url = f"postgresql+psycopg2://{storage.partition('://')[2]}"
        instance = stack.enter_context(
            dg.instance_for_test(
                {"storage": {"postgres": {"postgres_url": dagster_url}}}, temp_dir=str(folder)
            )
        )
        sandbox = stack.enter_context(SandboxServer(stripe=stripe))
        echo = stack.enter_context(echo_server())
        stage = Stage(url, secrets, sandbox, echo, instance, build_definitions(), io.StringIO())
        root.addHandler(handler)
        root.addHandler(as_json)
        root.setLevel(logging.DEBUG)
        try:
            asyncio.run(_plant(stage))
            _run_dagster(stage)
            asyncio.run(_use_the_api(stage))
            Echo.status = 403  # about this record, says the drain, which makes a dead letter of the event
            stage.drain()
            Echo.status = 401
            asyncio.run(_use_the_pages(stage))
            _use_the_commands(stage)
        finally:
            root.removeHandler(handler)
            root.removeHandler(as_json)
            root.setLevel(level)
            handler.close()
            as_json.close()
        files = [file for file in folder.rglob("*") if file.is_file() and file not in (said, said_as_json)]
        yield (
            secrets,
            {
                "database": _dump(url),
                "Dagster's storage": _dump(storage),
                "Dagster's folder": "\n".join(file.read_text(errors="replace") for file in files),
                "logs": said.read_text(),
                "logs as JSON": said_as_json.read_text(),
                "command line": stage.console.getvalue(),
                "HTTP answers": "\n".join(stage.answers),
                "pages": "\n".join(stage.pages),
            },
        )


PLACES = (
    "database",
    "Dagster's storage",
    "Dagster's folder",
    "logs",
    "logs as JSON",
    "command line",
    "HTTP answers",
    "pages",
)


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_left(place: str, left: tuple[Canaries, dict[str, str]]) -> None:
    secrets, texts = left
    found = [
        f"{name} ({form})"
        for name, secret in vars(secrets).items()
        for form, text in forms(secret).items()
        if text in texts[place]
    ]
    assert found == []


@pytest.mark.parametrize("place", PLACES)
def test_the_search_finds_what_was_leaked(place: str, left: tuple[Canaries, dict[str, str]]) -> None:
    assert CONTROL in left[1][place]


def test_every_page_was_visited(left: tuple[Canaries, dict[str, str]]) -> None:
    modules = (
        import_module(one.name)
        for one in pkgutil.walk_packages(unified.api.pages.__path__, "unified.api.pages.")
    )
    pages = {
        (method, route.path)
        for module in modules
        for route in getattr(module, "routes", APIRouter()).routes
        if isinstance(route, APIRoute)
        for method in (route.methods or set()) - {"HEAD"}  # as GET
    }
    assert len(pages) > 15
    counted = r'_count\{method="(\w+)",route="([^"]+)",status="(?:200|303|409|422)"\}'
    assert pages - set(re.findall(counted, left[1]["pages"])) == set()


@pytest.mark.parametrize(
    "leak",
    [
        "Bearer {}".format,
        lambda secret: quote(secret, safe=""),
        lambda secret: secret.encode().hex(),
        lambda secret: base64.b64encode(f"ada:{secret}".encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(f"user:{secret}!".encode()).decode(),
        lambda secret: json.dumps({"token": secret}),
        lambda secret: secret.partition("/")[0],
    ],
)
def test_each_form_is_recognised(leak: Any) -> None:
    secret = canary("sk_test_fake_")
    assert any(form in leak(secret) for form in forms(secret).values())
