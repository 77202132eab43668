"""What the quickest commands leave alone: a library that is not needed is not imported.

How long they take is measured in benchmarks/startup.py.
"""

import json
import subprocess
import sys

import pytest

from tests.unified.cli.conftest import Unified
from tests.waiting import LIMIT_SECONDS

pytestmark = pytest.mark.long(18)

RUN = """
import sys
from unified.cli.main import main
sys.argv[0] = "unified"
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
ALWAYS_LEFT = {
    "adapters",
    "aiohttp",
    "alembic",
    "authlib",
    "cryptography",
    "dagster",
    "fastapi",
    "httpx",
    "matplotlib",
    "msgspec",
    "pandas",
    "sqlalchemy",
    "stamina",
    "unified.kit.adapter",
    "unified.schema.base",  # the models; pydantic itself is imported by typer
}


LOOKED_FOR_AT_THE_END = """
import atexit, gc, sys
# What is noted first runs last.
atexit.register(lambda: print(len(gc.get_objects()), file=sys.stderr))
from unified.cli.main import main
main()
"""


def imported(unified: Unified, *arguments: str, stdin: str = "", code: int = 0) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        input=stdin,
        env=unified.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == code, done.stderr
    assert done.stdout or code
    return set(done.stderr.split())


def test_the_help_needs_nothing(unified: Unified) -> None:
    modules = imported(unified, "--help")
    assert "unified.cli.main" in modules
    assert (
        modules & (ALWAYS_LEFT | {"asyncio", "importlib.metadata", "psycopg", "rich", "unified.store"})
        == set()
    )


def test_nothing_is_looked_for_among_what_ends_with_the_process() -> None:
    command = [sys.executable, "-c", LOOKED_FOR_AT_THE_END, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_SECONDS)
    assert int(done.stderr) < 100


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_status_needs_the_database_alone(unified: Unified, form: tuple[str, ...]) -> None:
    if not unified.json("connections", "list"):
        options = ("--secret-stdin", "--no-test")
        unified.ok("connections", "add", "stripe", "main", *options, stdin="sk_test_fake_acme")
    modules = imported(unified, "status", *form)
    assert "psycopg" in modules
    assert modules & ALWAYS_LEFT == set()


def test_a_sync_leaves_alone_what_its_connector_does_not_use(unified: Unified) -> None:
    options = ("--secret-stdin", "--no-test", "--base-url", "http://127.0.0.1:9", "--allow-private-hosts")
    unified.ok("connections", "add", "stripe", "unreachable", *options, stdin="sk_test_fake_acme")
    modules = imported(unified, "sync", "unreachable", code=1)
    assert "adapters.stripe.adapter" in modules
    unused = {"authlib", "email_validator", "jinja2", "jwt", "pygments", "unified.kit.document", "yaml"}
    assert modules & unused == set()


def test_an_agents_first_question_needs_what_answers_it(unified: Unified) -> None:
    unified.ok("workspaces", "add", "asked")
    call = {"name": "unified_search_records", "arguments": {"entity": "customers"}}
    versions = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }
    messages = (
        {"id": 0, "method": "initialize", "params": versions},
        {"method": "notifications/initialized"},
        {"id": 1, "method": "tools/call", "params": call},
    )
    stdin = "".join(json.dumps({"jsonrpc": "2.0", **one}) + "\n" for one in messages)
    modules = imported(unified, "mcp", "--workspace", "asked", stdin=stdin)
    assert "unified.api.management.endpoints.records.records" in modules
    unasked = {
        "unified.api.management.endpoints.workspaces.tokens",
        "unified.kit.document.engine",
        "unified.sync.connectors.installing",
        "prometheus_client",
        "pydantic_ai",
        *("adapters", "alembic", "dagster", "matplotlib", "pandas", "sqlalchemy"),
    }
    assert modules & unasked == set()
