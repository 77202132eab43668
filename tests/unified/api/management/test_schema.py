"""The whole API as its OpenAPI document has it: requests made up from that document, right and wrong ones, against a
real server. None of them is answered by a 5xx, and each answer is as documented.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
import requests
import schemathesis
from cryptography.fernet import Fernet
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.schemas import BaseSchema

from tests.conftest import migrated_database
from tests.properties import HealthCheck, settings
from unified.api.server import listen, webhook_server
from unified.api.settings import JwtSettings, ManagementSettings, Settings
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.inbox.endpoints import Endpoints
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.workspaces import workspaces

pytest_plugins = ["schemathesis.pytest.plugin"]

pytestmark = pytest.mark.long(100)  # one test, with each operation as a part of it

load_all_checks()
CHECKED = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)

# The owner of the workspace, and an admin of the deployment: whatever is asked for, nobody is merely not permitted.
ANN, WORKSPACE = "ann", "acme"
SECRET = "a-secret-of-the-tests-and-of-nobody-else"
JWTS = JwtSettings("https://issuer.test", "unified", secret=Secret(SECRET))

# What no path documents is one answer of the framework's; a round over all paths and methods would show it 300 times.
# Bodies with rules are of one language, whose every keyword, right and wrong, is tried where rules are set: four
# operations took as long as all the others. These three are tried with examples and made-up bodies alone.
_RULED = "/api/connectors/configs/{connection_id}/mappings"
_CONFIG = schemathesis.Config.from_dict(
    {
        "phases": {"coverage": {"unexpected-methods": ["put"]}},
        "operations": [
            {"include-path": f"{_RULED}/{what}", "phases": {"coverage": {"enabled": False}}}
            for what in ("decide", "try", "diff")
        ],
    }
)
_LISTS = ("/api/invoices", "/api/customers", "/api/events", "/api/records", "/api/identities")
# test_openapi.py holds it equal to what the code describes, which takes seconds to say so.
_DOCUMENT = Path(__file__).parents[4] / "docs" / "openapi.json"
# By a fixture, since requests are made up where their test is collected, which each process would do for seconds.
schema = schemathesis.pytest.from_fixture("documented")


@pytest.fixture
def documented(request: pytest.FixtureRequest) -> BaseSchema:
    request.node._nodeid = request.node.nodeid  # schemathesis 4 reads what pytest 9.2 gave another name
    document = json.loads(_DOCUMENT.read_text())
    _leave_out_the_workspace(document["paths"])
    _try_each_filter_once(document["paths"])
    _try_each_step_once(document["components"]["schemas"])
    return schemathesis.openapi.from_dict(document, config=_CONFIG)


def _leave_out_the_workspace(paths: dict[str, Any]) -> None:
    """What would be made up for this header is never sent: each request has the one of the test."""
    for operations in paths.values():
        for operation in operations.values():
            operation["parameters"] = [
                one for one in operation.get("parameters", ()) if one["name"] != "X-Workspace"
            ]


def _try_each_filter_once(paths: dict[str, Any]) -> None:
    """Have a filter that several lists take in one form tried at one of them: the lists are made of one declaration."""
    tried: set[str] = set()
    for path in _LISTS:
        operation = paths[path]["get"]
        forms = {json.dumps(one, sort_keys=True): one for one in operation["parameters"]}
        operation["parameters"] = [one for form, one in forms.items() if form not in tried]
        tried |= forms.keys()


def _try_each_step_once(schemas: dict[str, Any]) -> None:
    """Have all steps of a rule tried where a mapping has steps, and one kind where steps and lines have some.

    They are one language, which stands in itself: all of it tried at each depth took 4,000 of 10,600 requests.
    """
    one = {"type": "array", "items": {"anyOf": [{"$ref": "#/components/schemas/Number"}, {"type": "string"}]}}
    for within in ("Each-Input", "Rule-Input"):
        schemas[within]["properties"]["steps"] = one
    del schemas["Rule-Input"]["properties"]["lines"]


@dataclass
class Served:
    """A running server, and what is in its database."""

    url: str
    ids: dict[str, str]
    headers: dict[str, str]


@pytest.fixture(scope="module")
def served(server_url: str, template: str, sandbox_url: str) -> Iterator[Served]:
    """The server in a thread: schemathesis sends its requests one by one, and waits."""
    found: list[Served] = []
    started, ended = threading.Event(), threading.Event()

    async def serve(url: str) -> None:
        provider = LocalKeyProvider([Fernet.generate_key().decode()])
        async with Database.open(url) as db:
            with listen("127.0.0.1", 0) as listener:
                management = ManagementSettings(JWTS, frozenset({ANN}), rate=100_000, burst=100_000)
                server = webhook_server(db, provider, Settings(management=management))
                address = f"http://127.0.0.1:{listener.getsockname()[1]}"
                found.append(await _furnished(db, provider, address, sandbox_url))
                running = asyncio.create_task(server.serve(sockets=[listener]))
                started.set()
                await asyncio.to_thread(ended.wait)
                server.should_exit = True
                await running

    with migrated_database(server_url, template) as url:
        thread = threading.Thread(target=lambda: asyncio.run(serve(url)))
        thread.start()
        while not started.wait(1):
            assert thread.is_alive(), "the server did not start"
        yield found[0]
        ended.set()
        thread.join()


async def _furnished(db: Database, provider: LocalKeyProvider, address: str, sandbox_url: str) -> Served:
    registry = Registry(db)
    workspace = await workspaces.create(db, WORKSPACE, owner=ANN)
    place = {"base_url": f"{sandbox_url}/stripe", "allow_private_hosts": True, "retry_count": 0}
    connection = await registry.add_connection(workspace.id, "stripe", "main", place)
    endpoint = await Endpoints(db, CredentialStore(db, provider)).create(connection)
    ids = {"connection_id": str(connection.id), "connection": "main", "webhook_id": str(endpoint.id)}
    headers = {"authorization": f"Bearer {_jwt()}", "x-workspace": WORKSPACE}
    return Served(address, {**ids, "name": "stripe", "workspace": WORKSPACE}, headers)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection for thousands of requests."""
    with requests.Session() as kept:
        kept.trust_env = False  # it would look for a proxy each time
        yield kept


@schema.parametrize()
@settings(
    max_examples=3, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
def test_every_answer_is_as_documented(case: Case, served: Served, session: requests.Session) -> None:
    # What is removed or rejected would be there for no other request.
    if case.method != "DELETE" and not case.path.endswith("/reject"):
        case.path_parameters.update(
            {
                name: served.ids[name]
                for name, value in case.path_parameters.items()
                if _stands_for(name, value, served)
            }
        )
    # Whether a request gets as far as its path hangs on these, which nobody finds by trying.
    if "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    case.call_and_validate(base_url=served.url, session=session, headers=served.headers, checks=CHECKED)


def _stands_for(name: str, value: object, served: Served) -> bool:
    """Whether what was made up for a path is well-formed, and something of that name is there."""
    try:
        return name in served.ids and (not name.endswith("_id") or bool(UUID(str(value))))
    except ValueError:
        return False


def _jwt() -> str:
    now = datetime.now(UTC)
    claims = {
        "iss": JWTS.issuer,
        "aud": JWTS.audience,
        "sub": ANN,
        "iat": now,
        "exp": now + timedelta(hours=1),
    }
    return jwt.encode(claims, SECRET, "HS256")
