"""The stand-in's answers held against the specification that Slack published, and what the adapter asks for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import pytest

from tests.adapters.slack.test_conformance import SlackBench
from unified.conformance.bench import Copy
from unified.kit.http.transport import GuardedTransport
from unified.sandbox.slack.records import joined_in

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "slack" / "slack_web_openapi_v2.json"
HEADERS = {"authorization": f"Bearer {SlackBench.credentials['bot_token']}"}

pytestmark = pytest.mark.skipif(
    not PUBLISHED.is_file(), reason="Slack's specification (../shared/data/slack) is not on this machine"
)

# Of 2021: parameters that methods take today, and words that they refuse with today.
_LATER = {"users.list": {"team_id"}, "conversations.list": {"team_id"}}
# The specification leaves out that a list of messages goes on.
_LEFT_OUT = {"/conversations.history": {"response_metadata": {"type": "object"}}}


@cache
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(PUBLISHED.read_text())
    return loaded


def read(schema: Any, name: str | None = None) -> Any:
    """A schema as it is meant: a list of ``items`` without a type are alternatives."""
    if isinstance(schema, list):
        return [read(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    meant = {key: read(value, key) for key, value in schema.items()}
    if name != "properties" and isinstance(meant.get("items"), list) and "type" not in meant:
        meant["anyOf"] = meant.pop("items")
    return meant


@cache
def validator(method: str, status: str) -> Any:
    (operation,) = document()["paths"][f"/{method}"].values()
    schema = read(operation["responses"][status]["schema"])
    schema["properties"] = {**schema["properties"], **_LEFT_OUT.get(f"/{method}", {})}
    if "error" in schema["properties"]:
        schema["properties"]["error"] = {"type": "string"}
    definitions = {name: read(one) for name, one in document()["definitions"].items()}
    return jsonschema.Draft7Validator({**schema, "definitions": definitions})


@pytest.fixture(scope="module")
def bench() -> Iterator[SlackBench]:
    with SlackBench() as running:
        yield running


CALLS: tuple[tuple[str, dict[str, str]], ...] = (
    ("auth.test", {}),
    ("team.info", {}),
    ("users.list", {"limit": "1000"}),
    ("users.info", {"user": "a person"}),
    ("conversations.list", {"limit": "1000", "types": "public_channel,private_channel"}),
    ("conversations.info", {"channel": "a channel"}),
    ("conversations.history", {"channel": "a channel", "limit": "3"}),
    ("chat.postMessage", {"channel": "a channel", "text": "hello"}),
)


@pytest.mark.parametrize(("method", "asked"), CALLS, ids=[method for method, _ in CALLS])
def test_answers_are_as_the_specification_says(bench: SlackBench, method: str, asked: dict[str, str]) -> None:
    account = bench.provider.account()
    channels = account.rows["channels"]
    place = next(one for one in joined_in(channels) if not channels.find(one).fields["is_archived"])  # type: ignore[union-attr]
    named = {"a person": min(bench.ids("users")), "a channel": place}
    form = {name: named.get(value, value) for name, value in asked.items()}
    answer = httpx.post(f"{bench.url}/api/{method}", data=form, headers=HEADERS)
    assert answer.json()["ok"], answer.text
    validator(method, "200").validate(answer.json())


@pytest.mark.parametrize("method", ["users.list", "users.info", "conversations.list", "auth.test"])
def test_refusals_are_as_the_specification_says(bench: SlackBench, method: str) -> None:
    answer = httpx.get(f"{bench.url}/api/{method}", headers={"authorization": "Bearer xoxb-other"})
    assert answer.status_code == 200
    validator(method, "default").validate(answer.json())
    (operation,) = document()["paths"][f"/{method}"].values()
    assert (
        answer.json()["error"] in operation["responses"]["default"]["schema"]["properties"]["error"]["enum"]
    )


async def test_the_adapter_asks_for_what_the_methods_take(
    bench: SlackBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[httpx.URL] = []
    send = GuardedTransport.handle_async_request

    async def seen(self: GuardedTransport, request: httpx.Request) -> httpx.Response:
        sent.append(request.url)
        return await send(self, request)

    monkeypatch.setattr(GuardedTransport, "handle_async_request", seen)
    for stream in ("users", "channels", "messages"):
        copy = Copy(stream)
        await bench.sync(copy)
        await bench.sync(copy)
        if stream != "messages":
            async with bench.open() as adapter:
                async for _ in adapter.fetch(stream, [min(copy.records)]):
                    pass
    asked: dict[str, set[str]] = {}
    for url in sent:
        asked.setdefault(url.path.rpartition("/")[2], set()).update(url.params.keys())
    for method, names in asked.items():
        (operation,) = document()["paths"][f"/{method}"].values()
        assert names <= {one["name"] for one in operation["parameters"]} | _LATER.get(method, set())
    assert "oldest" in asked["conversations.history"]
    assert {"users.info", "conversations.info"} <= asked.keys()
