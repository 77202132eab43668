"""The demo and `unified dev` as a newcomer meets them, one after the other in the same home."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from tests.conftest import execute
from tests.model_server import Reply, model_server
from tests.unified.cli.conftest import Unified
from tests.waiting import LIMIT_SECONDS
from unified.cli.demo import outward
from unified.cli.demo.report import conclude
from unified.cli.demo.steps import DemoConnection, compare, make_connections, try_isolation
from unified.cli.processes.sandbox import Sandbox
from unified.cli.session import ACTOR, CommandError
from unified.kit.factory import AdapterFactory
from unified.store.connections.registry import Registry
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import MASTER_KEYS_VARIABLE, generate_key
from unified.store.secrets.opening import StoredConnections
from unified.store.secrets.providers import load_provider
from unified.store.server import embedded
from unified.store.server.cluster import Cluster
from unified.sync.connection import sync_connection

if TYPE_CHECKING:
    from pathlib import Path

    from unified.sandbox.server import SandboxServer
    from unified.store.database import Database

pytestmark = pytest.mark.long(150)

POLL_SECONDS = 1.0
"""A run takes longer, and each question costs the UI's process some of the time that the run needs."""

LAUNCH = """
mutation ($run: ExecutionParams!) { launchRun(executionParams: $run) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
} }
"""
ONE_CENT_MORE = """
CREATE FUNCTION one_cent_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.total := NEW.total + 0.01; RETURN NEW; END $$
"""
ON_INSERT = """
CREATE TRIGGER one_cent_more BEFORE INSERT ON unified_invoices_stripe
FOR EACH ROW EXECUTE FUNCTION one_cent_more()
"""


class Dev:
    """A running `unified dev`."""

    def __init__(self, unified: Unified, log: Path) -> None:
        self.log = log
        self.home = unified.home
        with log.open("w") as output:
            self.process = subprocess.Popen(
                unified.command("dev", "--port", "0", "--webhook-port", "0"),
                env=unified.environment(),
                stdout=output,
                stderr=output,
            )
        while not (found := re.search(r"Dagster is at (http://\S+) ", log.read_text())):
            assert self.process.poll() is None, log.read_text()
            time.sleep(0.1)
        self.url = found[1]

    def ask(self, query: str, **variables: Any) -> Any:
        answer = httpx.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=LIMIT_SECONDS
        )
        return answer.json()["data"]

    def refuses(self, headers: dict[str, str]) -> bool:
        asked = httpx.get(f"{self.url}/server_info", headers=headers, timeout=LIMIT_SECONDS)
        return asked.status_code == httpx.codes.FORBIDDEN

    def partitions(self) -> dict[str, str]:
        """By asset, the partition that was materialized last."""
        query = "{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { partition } } }"
        return {
            "/".join(node["assetKey"]["path"]): str(last["partition"])
            for node in self.ask(query)["assetNodes"]
            for last in node["assetMaterializations"]
        }

    def arrives(self, connection: str) -> bool:
        """Change a customer at the stand-in, and wait until a drain run has reported its row."""
        sandbox = Sandbox(json.loads((self.home / "demo.json").read_text())["port"])
        query = '{ runsOrError(filter: {pipelineName: "stripe_drain"}) { ... on Runs { results { runId status } } } }'
        before = {run["runId"] for run in self.ask(query)["runsOrError"]["results"]}
        made = httpx.post(
            f"{sandbox.url}/_sandbox/stripe/mutate",
            json={"do": "create_customer", "key": "sk_test_fake_acme", "fields": {"name": "By webhook"}},
            timeout=LIMIT_SECONDS,
        )
        made.raise_for_status()
        while not (
            new := [run for run in self.ask(query)["runsOrError"]["results"] if run["runId"] not in before]
        ):
            time.sleep(POLL_SECONDS)
        while new[0]["status"] not in ("SUCCESS", "FAILURE", "CANCELED"):
            time.sleep(POLL_SECONDS)
            new = [
                run for run in self.ask(query)["runsOrError"]["results"] if run["runId"] == new[0]["runId"]
            ]
        return bool(new[0]["status"] == "SUCCESS" and self.partitions()["stripe/customers"] == connection)

    def loses_its_database(self) -> None:
        """Kill the server, and wait until Dagster reaches it again: nothing else uses it than what is running."""
        cluster = Cluster((self.home / "postgres").resolve(), "", "")
        killed = cluster.process()
        assert killed is not None
        killed.kill()
        killed.wait()
        query = {"query": "{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }"}
        while True:
            answer = httpx.post(f"{self.url}/graphql", json=query, timeout=LIMIT_SECONDS)
            if answer.is_success and (answer.json()["data"] or {}).get("runsOrError", {}).get("results"):
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)

    def run(self, job: str, connection: str) -> str:
        """Launch a run and wait for its end."""
        selector = {
            "repositoryLocationName": "unified_assets", "repositoryName": "__repository__", "jobName": job,
        }  # fmt: skip
        tags = [{"key": "dagster/partition", "value": connection}]
        run = {
            "selector": selector,
            "mode": "default",
            "executionMetadata": {"tags": tags},
            "runConfigData": {},
        }
        # After a loss of the database, one connection of the UI's pool after the other finds out.
        lost = "server closed the connection"
        while lost in (launched := self.ask(LAUNCH, run=run)["launchRun"]).get("message", ""):
            time.sleep(0.2)
        assert "run" in launched, launched
        query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        while True:
            status = str(self.ask(query, id=launched["run"]["runId"])["runOrError"]["status"])
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            time.sleep(POLL_SECONDS)


def test_demo_then_dev_then_a_demo_that_finds_a_cent_too_much(tmp_path: Path) -> None:
    unified = Unified(tmp_path / "home")
    shown = unified.ok("demo", "--all", "--records", "40")
    assert re.search(r"All \d{3} findings are as they have to be", shown)
    assert shown.count("to the cent") == 7
    columns = next(cells_of(line) for line in shown.splitlines() if line.startswith("|CURRENCY "))
    assert columns[1:] == ["HUBSPOT", "QUICKBOOKS", "SALESFORCE", "STRIPE", "XERO"]
    pushes = [
        [*cells[:4], *cells[5:]]
        for cells in map(cells_of, shown.splitlines())
        if cells[0] in ("preview", "first run", "only echoes", "nothing new")
        or cells[0].startswith("a change")
    ]
    assert pushes == [  # created, updated, unchanged; writing requests to either side
        ["preview", "3", "2", "-", "0", "0"],
        ["first run", "3", "2", "2", "1", "2"],
        ["a change on each side", "0", "2", "4", "1", "1"],
        ["only echoes", "0", "0", "2", "0", "0"],
        ["preview", "2", "0", "-", "0", "0"],
        ["first run", "2", "0", "0", "0", "1"],
        ["a change in Xero", "0", "1", "0", "0", "1"],
        ["nothing new", "0", "0", "0", "0", "0"],
    ]
    noor = [cells_of(line) for line in shown.splitlines() if "| Noor Haddad " in line]
    assert sorted(cells[0] for cells in noor) == ["quickbooks", "salesforce", "stripe", "xero"]
    ruth = [cells_of(line) for line in shown.splitlines() if "| Ruth Castellanos " in line]
    assert sorted(cells[0] for cells in ruth) == ["hubspot", "stripe", "stripe"]
    # Which of the three the others are linked to is up to their ids.
    reasons = [("-", "-"), ("phone_and_name", "0.97"), ("route", "1.00")]
    assert sorted((cells[4], cells[5]) for cells in ruth) == reasons

    fills_what_hubspot_leaves_out(unified)

    dev = Dev(unified, tmp_path / "dev.log")
    family = psutil.Process(dev.process.pid).children(recursive=True)
    try:
        assert dev.partitions() == {
            **{f"stripe/{stream}": "demo-acme/stripe" for stream in ("customers", "invoices", "events")},
            **{f"hubspot/{stream}": "demo-acme/hubspot" for stream in ("customers", "invoices", "events")},
            **{
                f"{source}/{stream}": f"demo-acme/{source}"
                for source, streams in (
                    ("salesforce", ("accounts", "contacts", "invoices")),
                    ("quickbooks", ("customers", "invoices", "vendors", "credit_memos", "payments")),
                    ("xero", ("contacts", "invoices", "credit_notes", "payments")),
                )
                for stream in streams
            },
            "routes/customers": "demo-acme/route:books",
            "unified/customers": "demo-acme",
        }
        for route, linked in zip(unified.json("routes", "list"), (2, 5), strict=True):
            found = (route["is_active"], route["status"], route["records"])
            assert found == (False, "success", {"linked": linked})
        assert dev.arrives("demo-acme/stripe"), (
            "a change at the stand-in is delivered, drained, and seen in the UI"
        )
        assert dev.refuses({"origin": "https://evil.example"}), "the guard stands before the UI"
        dev.loses_its_database()
        assert dev.run("stripe_sync", "demo-acme/stripe") == "SUCCESS"
        for command in ("dev", "demo"):
            assert f"`unified dev` (process {dev.process.pid}) runs already" in unified.refused(command)
        family += psutil.Process(dev.process.pid).children(recursive=True)
    finally:
        dev.process.send_signal(signal.SIGINT)
        code = dev.process.wait(LIMIT_SECONDS)
    assert code == 130
    assert len({process.pid for process in family}) >= 6  # webhook server, sandbox, UI, daemon, code servers
    assert not [process for process in family if not has_ended(process)]
    assert not (unified.home / "postgres" / "postmaster.pid").exists()

    execute(embedded.start(unified.home), ONE_CENT_MORE, ON_INSERT)
    try:
        done = unified.run("demo", "--records", "20")
    finally:
        embedded.leave(unified.home)
    assert done.returncode == 1
    assert "demo-acme/stripe: money" in done.stderr
    assert "demo-acme/hubspot: money" not in done.stderr


def fills_what_hubspot_leaves_out(unified: Unified) -> None:
    """The portal's own properties become fields of ours: proposed without a key and by a model, accepted, remapped."""
    at = ("demo-acme/hubspot", "customers")
    proposed = unified.json("mappings", "propose", *at)
    sources = {one["target_field"]: one["source_path"] for one in proposed}
    assert sources == {"tax_number": "properties.vat_number", "currency": "properties.billing_currency"}
    unified.ok("mappings", "accept", *at, "tax_number")
    rest = {"unit": "", "words": [], "sure": 0.9, "reason": "It says so."}
    pairs = [
        {"source": "properties.billing_currency", "target": "currency", **rest},
        {"source": "properties.invented", "target": "description", **rest},
    ]
    with model_server() as model:
        model.answers(Reply(json.dumps({"pairs": pairs})))
        variables = {"UNIFIED_MODEL_URL": model.url, "UNIFIED_MODEL_KEY": "sk-ant-fake-planted-Rt5"}
        said = unified.run("mappings", "propose", *at, "--model", **variables)
    assert "anthropic:claude-sonnet-5-5 has answered" in said.stderr
    assert "Dropped: properties.invented" in said.stderr
    unified.ok("mappings", "accept", *at, "currency")
    unified.ok("remap", at[0])
    counted = "SELECT count(tax_number) > 9 AS tax, count(currency) > 9 AS currency FROM unified_customers"
    (row,) = unified.json("query", "--workspace", "demo-acme", f"{counted} WHERE source_system = 'hubspot'")
    assert row == {"tax": True, "currency": True}


def cells_of(line: str) -> list[str]:
    """The cells of a printed table's row."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def has_ended(process: psutil.Process) -> bool:
    """Gone, or dead and not yet collected by the process that adopts orphans here."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
async def demos(
    database: Database, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> list[DemoConnection]:
    monkeypatch.setenv(MASTER_KEYS_VARIABLE, generate_key())
    made = await make_connections(database, sandbox.url)
    source = StoredConnections(Registry(database), CredentialStore(database, load_provider()), actor=ACTOR)
    for demo in made:
        await sync_connection(database, AdapterFactory(source), demo.connection)
    return made


async def test_every_kind_of_damage_is_found_and_said(
    database: Database, database_url: str, sandbox: SandboxServer, demos: list[DemoConnection]
) -> None:
    control = Sandbox(int(sandbox.url.rpartition(":")[2]))

    async def wrong() -> list[str]:
        findings = [finding for demo in demos for finding in await compare(database, control, demo)]
        findings += await try_isolation(
            database, [demo.connection for demo in demos[:2]], [demo.connection for demo in demos[2:]]
        )
        return [f"{finding.about} {finding.measure}" for finding in findings if not finding.holds]

    assert await wrong() == []
    stripe, hubspot = demos[0].connection.id, demos[3].connection.id
    one = "(SELECT min(source_id) FROM unified_invoices WHERE connection_id = '{}' AND tax IS NOT NULL)"
    execute(
        database_url,
        f"UPDATE unified_invoices SET tax = tax + 0.01 WHERE source_id = {one.format(stripe)}",  # noqa: S608
        f"DELETE FROM unified_customers WHERE connection_id = '{hubspot}'",  # noqa: S608
        f"UPDATE unified_invoices SET line_items = '[]' WHERE source_id = {one.format(hubspot)}",  # noqa: S608
    )
    assert await wrong() == [
        "demo-acme/stripe money",
        "demo-globex/hubspot customers",
        "demo-globex/hubspot invoice_lines",
    ]
    execute(database_url, "ALTER TABLE unified_customers NO FORCE ROW LEVEL SECURITY")
    execute(database_url, "ALTER TABLE unified_customers DISABLE ROW LEVEL SECURITY")
    assert "inside demo-acme customers of demo-globex seen" in await wrong()

    acme = demos[:2]
    outward.add_people(control, acme)
    assert not any(finding.holds for finding in outward.find_people(control, acme)), "no route has run"
    sandbox.stripe.mutate("create_customer", "sk_test_fake_globex")
    findings = await compare(database, control, demos[2])
    off = r"2 of 5 findings are off:\n  demo-globex/stripe: customers: must be \d+, is \d+\n  .*events: must"
    with pytest.raises(CommandError, match=off):
        conclude(findings, seconds=1.0)


def test_its_end_says_how_to_read_what_it_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    conclude([], seconds=1.0)
    said = " ".join(capsys.readouterr().out.split())
    assert "`unified db psql --workspace demo-acme`" in said
    assert "`unified db grant-reader bi --workspace demo-acme` prints the URL" in said
