"""`unified connectors try`: a document that a model drafted, asked of its API, and what is shown as evidence of it."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from tests.json_api import JsonApi, serving
from tests.model_server import model_server
from tests.unified.kit.importing.openapi.test_advised import PATHS, advice, answers
from tests.unified.kit.importing.openapi.test_draft import spec
from unified.cli.commands.connectors.connectors import app
from unified.cli.session import CommandError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "desk_fake_key_8f2c"
PEOPLE = [{"id": f"p{n}", "mail_x": f"p{n}@example.com", "nick": f"Person {n}"} for n in range(250)]


class _Desk(JsonApi):
    """The API: people in pages of a hundred, and tickets that this key may not see."""

    asked: ClassVar[list[str]] = []

    def get(self) -> None:
        url = urlsplit(self.path)
        self.asked.append(f"{self.command} {url.path}")
        if self.headers["authorization"] != f"Bearer {KEY}":
            return self.answer(401, {"message": f"unknown: {self.headers['authorization']}"})
        if url.path != "/contacts":
            return self.answer(403, {"message": "not yours"})
        begin = int(parse_qs(url.query).get("weiter", ["0"])[0])
        after = str(begin + 100) if begin + 100 < len(PEOPLE) else None
        return self.answer(200, {"data": PEOPLE[begin : begin + 100], "fortsetzung": after})


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with serving(_Desk) as url:
        yield url


@pytest.fixture(scope="module")
def by_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a model drafts of the API's file."""
    folder = tmp_path_factory.mktemp("draft")
    file, to = folder / "api.json", folder / "desk.yaml"
    described = spec(PATHS, security=[{"token": []}])
    described["components"]["securitySchemes"]["token"] = {"type": "http", "scheme": "bearer"}
    file.write_text(json.dumps(described))
    token = {"paging": "token", "parameter": "weiter", "next": "fortsetzung", "size_parameter": "je"}
    with model_server() as model, pytest.MonkeyPatch.context() as patch:
        model.answers(
            answers(
                advice("/contacts", entity="customers", changes="seit_mutation", **token),
                advice("/tickets"),
                advice("/countries", worth=False),
                pairs=(("mail_x", "email"), ("nick", "name")),
            )
        )
        patch.setenv("UNIFIED_MODEL_URL", model.url)
        patch.setenv("UNIFIED_MODEL_KEY", "sk-ant-fake-planted-Wq4")
        CliRunner().invoke(app, ["draft", str(file), "--model", "--to", str(to)], catch_exceptions=False)
    return to.read_text()


@pytest.fixture
def drafted(by_model: str, tmp_path: Path) -> Path:
    """The same as a file of the test's own."""
    file = tmp_path / "desk.yaml"
    file.write_text(by_model)
    return file


def change(file: Path, **changed: Any) -> dict[str, Any]:
    """Change what a drafted document says of its people; all of it as it is now."""
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    document["streams"]["contacts"] |= changed
    file.write_text(yaml.safe_dump(document))
    return document


def tried(
    file: Path, api: str, *streams: str, secret: str = KEY, as_json: bool = False, retries: int = 0
) -> Any:
    """What the command prints."""
    where = ["--base-url", api, "--allow-private-hosts", "--set", f"retry_count={retries}", "--secret-stdin"]
    arguments = ["try", str(file), *streams, *where, *(["--json"] if as_json else [])]
    done = CliRunner().invoke(app, arguments, input=secret)
    assert KEY not in done.output
    if done.exception is not None:
        assert isinstance(done.exception, CommandError), done.output
        return done.output, str(done.exception)
    return json.loads(done.stdout) if as_json else done.output


def test_what_a_model_drafted_is_asked_of_the_api_and_shown(drafted: Path, api: str) -> None:
    _Desk.asked.clear()
    said = tried(drafted, api, "contacts")
    assert "contacts > unified_customers: 200 records on 2 pages, and there may be more\n" in said
    assert f"GET {api}/contacts?je=100&weiter=100: 200" in said
    assert "p1@example.com" not in said, "values are shown as shapes"
    assert set(_Desk.asked) == {"GET /contacts"}
    found = tried(drafted, api, "contacts", as_json=True)["contacts"]
    rules = {rule["target"]: (rule["source"], rule["filled"], rule["rejected"]) for rule in found["rules"]}
    assert rules["email"] == ("mail_x", 20, 0)
    assert rules["name"] == ("nick", 20, 0)
    assert (found["read"], found["pages"], found["is_end"], found["error"]) == (200, 2, False, None)


def test_a_misread_place_of_the_next_page_shows(drafted: Path, api: str) -> None:
    change(drafted, paging={"kind": "token", "parameter": "weiter", "token": ["weiter"]})
    assert "contacts > unified_customers: 100 records on one page, and no more\n" in tried(
        drafted, api, "contacts"
    )


def test_a_misread_place_of_the_records_and_rules_that_do_not_fit_show(drafted: Path, api: str) -> None:
    mapping = change(drafted)["streams"]["contacts"]["mapping"]
    rules = [*mapping["rules"], {"target": "updated_at", "source": "nick"}]
    change(drafted, mapping={**mapping, "rules": rules})
    (rule,) = [
        one
        for one in tried(drafted, api, "contacts", as_json=True)["contacts"]["rules"]
        if one["target"] == "updated_at"
    ]
    assert (rule["filled"], rule["rejected"]) == (0, 20)
    change(drafted, records=["items"], may_be_empty=True)
    said, _ = tried(drafted, api, "contacts")
    assert "there is no list at items" in said
    assert "lists of objects in the answer: data" in said


def test_a_stream_that_can_not_be_read_costs_no_other_and_ends_in_an_error(drafted: Path, api: str) -> None:
    said, error = tried(drafted, api)
    assert "contacts > unified_customers: 200 records" in said
    assert "not yours" in said
    assert error == "1 of 2 streams could not be read: tickets"
    said, error = tried(drafted, api, secret="desk_fake_other_6a1d")
    assert "desk_fake_other_6a1d" not in said
    assert error == "2 of 2 streams could not be read: contacts, tickets"
    with pytest.raises(UsageError, match="has no stream 'ghosts'; it has contacts, tickets"):
        CliRunner().invoke(app, ["try", str(drafted), "ghosts"], catch_exceptions=False)


def test_a_host_that_refuses_the_connection_is_said_to(drafted: Path) -> None:
    """Before the time is over, which the usual attempts would take."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # it is nobody else's, and does not listen
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said, error = tried(drafted, nowhere, "contacts", retries=4)
    assert said.count("no answer\n") == 2
    assert f"GET /contacts got no answer ({nowhere.removeprefix('http://')} refused the connection: " in said
    assert error == "1 of 1 stream could not be read: contacts"


def test_an_oauth_api_takes_an_access_token(drafted: Path, api: str) -> None:
    document = change(drafted)
    urls = {"token_url": "/token", "authorize_url": "/authorize"}
    document["auth"] = {"kind": "oauth", "scopes": [], **urls}
    drafted.write_text(yaml.safe_dump(document))
    assert "200 records on 2 pages" in tried(drafted, api, "contacts")
    said, error = tried(drafted, api, "contacts", secret="fake_stale_token_77")
    assert "the access token is refused" in said
    assert "fake_stale_token_77" not in said + error
