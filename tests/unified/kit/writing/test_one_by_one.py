"""Changes sent one by one: what each answer means, and what is not sent again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.unified.kit.conftest import Answer
from unified.kit.declarations import AdapterConfig
from unified.kit.errors import AuthenticationError, NotFoundError, ProviderError, UndecidedError
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.reading.raw import raw_record
from unified.kit.writing.changes import Write, Written
from unified.kit.writing.one_by_one import OneByOne

if TYPE_CHECKING:
    from tests.unified.kit.conftest import ScriptedProvider
    from unified.kit.streams import RawRecord

NOW = datetime(2026, 11, 20, tzinfo=UTC)
CREATE = Write("create", None, {"name": "Ada"}, "k1")
UPDATE = Write("update", "7", {"name": "Ada"}, "k2")
DELETE = Write("delete", "7", {}, "k3")


async def write(
    provider: ScriptedProvider, *writes: Write, **how: Any
) -> tuple[list[Written], ProviderError | None]:
    config = AdapterConfig(base_url=provider.url, allow_private_hosts=True, retry_count=0)
    http = HttpClient(config, label="demo connection acme/demo", limits={"default": RateLimit(1e6)})
    decoder = msgspec.json.Decoder(dict[str, Any] | None)

    async def send(one: Write) -> RawRecord | None:
        answer = await http.request("POST", "/things", decoder, json=one.body, effect="repeatable")
        return None if answer is None else raw_record(answer.get("id"), msgspec.json.encode(answer))

    written = []
    try:
        async for one in OneByOne(send, lambda: NOW, 1, **how).write(writes):
            written.append(one)  # noqa: PERF401 - what came before an error counts
    except ProviderError as error:
        return written, error
    finally:
        await http.aclose()
    return written, None


@pytest.mark.parametrize(
    ("change", "answer", "outcome", "source_id"),
    [
        (CREATE, Answer(body=b'{"id": "9"}'), "applied", "9"),
        (UPDATE, Answer(body=b'{"id": "7"}'), "applied", "7"),
        (DELETE, Answer(204, b""), "applied", "7"),
        (CREATE, Answer(body=b"{}"), "unknown", None),
        (UPDATE, Answer(422), "refused", "7"),
        (UPDATE, Answer(404), "missing", "7"),
        (DELETE, Answer(404), "missing", "7"),
    ],
)
async def test_what_an_answer_means(
    provider: ScriptedProvider, change: Write, answer: Answer, outcome: str, source_id: str | None
) -> None:
    provider.script = [answer]
    written, error = await write(provider, change)
    assert error is None
    assert [(one.outcome, one.source_id) for one in written] == [(outcome, source_id)]


async def test_without_an_answer_it_is_open_and_nothing_more_is_sent(provider: ScriptedProvider) -> None:
    provider.script = [Answer(cut=True)]
    written, error = await write(provider, CREATE, UPDATE)
    assert isinstance(error, UndecidedError)
    assert [(one.write, one.outcome) for one in written] == [(CREATE, "unknown")]
    assert len(provider.requests) == 1


@pytest.mark.parametrize("answer", [Answer(404), Answer(401)])
async def test_an_error_about_the_connection_ends_it(provider: ScriptedProvider, answer: Answer) -> None:
    provider.script = [answer]
    written, error = await write(provider, CREATE, UPDATE)
    assert isinstance(error, NotFoundError | AuthenticationError)
    assert written == []
    written, error = await write(provider, UPDATE, is_missing=lambda error: error.code == "gone")
    assert (written, error is None) == ([], False)


@pytest.mark.parametrize(
    ("kept", "outcome"), [({}, "unknown"), ({"key_kept": timedelta(hours=23)}, "applied")]
)
async def test_a_creation_is_sent_again_only_while_its_key_is_known(
    provider: ScriptedProvider, kept: dict[str, Any], outcome: str
) -> None:
    provider.script = [Answer(body=b'{"id": "9"}')]
    again = Write("create", None, {}, "k1", sent_at=NOW - timedelta(hours=22))
    written, _ = await write(provider, again, **kept)
    assert [one.outcome for one in written] == [outcome]
    old = Write("create", None, {}, "k1", sent_at=NOW - timedelta(hours=24))
    sent = len(provider.requests)
    written, _ = await write(provider, old, **kept)
    assert ([one.outcome for one in written], len(provider.requests)) == (["unknown"], sent)
