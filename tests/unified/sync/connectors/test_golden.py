"""Recorded exchanges say what a connector makes of them, and nothing leaves meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.chargebee.adapter import ChargebeeAdapter
from tests.unified.kit.document.test_model import desk
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import read
from unified.sync.connectors.golden import MOST_BYTES, GoldenError, read_golden, rehearse

SITE = "https://acme-test.chargebee.com"
KEY = "test_fake_key"


def exchange(
    customers: list[dict[str, Any]], *, offset: str | None = None, after: str = ""
) -> dict[str, Any]:
    answer = {"list": [{"customer": one} for one in customers]}
    return {
        "url": f"{SITE}/api/v2/customers?limit=100&sort_by%5Basc%5D=created_at{after}",
        "sends": {"authorization": "Basic dGVzdF9mYWtlX2tleTo="},
        "body": answer if offset is None else {**answer, "next_offset": offset},
    }


ANN = {"id": "ann", "email": "ann@example.com", "created_at": 1_700_000_000, "updated_at": 1_700_000_000}
BOB = {"id": "bob", "email": "bob@example.com", "created_at": 1_700_000_100, "updated_at": 1_700_000_100}
RECORDS = {
    one["id"]: {
        "email": one["email"],
        "emails": [one["email"]],
        "created_at": created,
        "updated_at": created,
    }
    for one, created in ((ANN, "2023-11-14T22:13:20Z"), (BOB, "2023-11-14T22:15:00Z"))
}


def recorded(*more: Any, **changed: Any) -> bytes:
    pull = {
        "exchanges": [exchange([ANN], offset="next"), exchange([BOB], after="&offset=next")],
        "records": RECORDS,
        **changed,
    }
    return json.dumps(
        {
            "now": "2026-11-28T12:00:00Z",
            "settings": {"base_url": SITE},
            "secrets": {"api_key": KEY},
            "streams": {"customers": [pull, *more]},
        }
    ).encode()


async def refused(**changed: Any) -> str:
    with pytest.raises(GoldenError) as error:
        await rehearse(ChargebeeAdapter, read_golden(recorded(**changed), "exchanges.json"))
    return str(error.value)


async def test_what_is_made_of_recorded_exchanges_is_what_was_expected() -> None:
    assert await rehearse(ChargebeeAdapter, read_golden(recorded(), "exchanges.json")) == 2


async def test_a_further_pull_goes_on_from_the_cursor() -> None:
    renamed = {**ANN, "email": "an@example.com", "updated_at": 1_700_000_200}
    since = exchange([renamed])
    since["url"] = (
        f"{SITE}/api/v2/customers?limit=100&updated_at%5Bafter%5D=1795780500&sort_by%5Basc%5D=updated_at&include_deleted=true"
    )
    record = {**RECORDS["ann"], "email": "an@example.com", "emails": ["an@example.com"]}
    record["updated_at"] = "2023-11-14T22:16:40Z"
    further = {"exchanges": [since], "records": {"ann": record}}
    assert await rehearse(ChargebeeAdapter, read_golden(recorded(further), "exchanges.json")) == 3


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"records": {**RECORDS, "bob": {**RECORDS["bob"], "email": "x"}}},
            'bob: email is "bob@example.com" instead of "x"',
        ),
        ({"records": {"ann": RECORDS["ann"]}}, "customers: bob is read, and should not be"),
        ({"records": {**RECORDS, "cy": {}}}, "customers: cy is not read"),
        ({"rejects": ["cy"]}, "customers: cy is not set aside"),
        ({"deleted": ["ann"]}, "customers: ann is not deleted"),
        (
            {"exchanges": [exchange([ANN], offset="next")]},
            "offset=next, which is not among the recorded exchanges",
        ),
        (
            {
                "exchanges": [exchange([ANN]), exchange([BOB], after="&offset=next")],
                "records": {"ann": RECORDS["ann"]},
            },
            "it never asks GET https://acme-test.chargebee.com/api/v2/customers?limit=100",
        ),
        (
            {"exchanges": [{**exchange([ANN]), "sends": {"authorization": "Bearer of another"}}]},
            "without the header authorization that was recorded",
        ),
    ],
)
async def test_what_differs_is_said(changed: dict[str, Any], said: str) -> None:
    message = await refused(**changed)
    assert said in message
    assert KEY not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "that can be read"),
        (b"[" * 100_000, "that can be read"),
        (b'{"now": "2026-11-28T12:00:00", "streams": {}}', "now has no time zone"),
        (b'{"now": "2026-11-28T12:00:00Z", "streams": {}, "other": 1}', "unknown field `other`"),
        (b" " * (MOST_BYTES + 1), "larger than 5,000,000 bytes"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(GoldenError, match=said):
        read_golden(text, "exchanges.json")


@pytest.mark.parametrize("kind", ["json", "form"])
@pytest.mark.parametrize("is_same", [True, False])
async def test_what_a_request_sends_is_what_was_recorded(kind: str, *, is_same: bool) -> None:
    stream = {"method": "POST", "records": ["data"], "body": {"kind": kind, "fields": {"q": "a b", "r": ""}}}
    document = read(json.dumps(desk(stream=stream)).encode(), "desk.json")
    sent = {"r": "", "q": "a b" if is_same else "b"}
    asked = {"method": "POST", "url": "https://api.desk.example/teams", kind: sent, "body": {"data": []}}
    golden = {
        "now": "2026-11-28T12:00:00Z",
        "secrets": {"api_key": KEY},
        "streams": {"teams": [{"exchanges": [asked], "records": {}}]},
    }
    rehearsal = rehearse(adapter_class(document), read_golden(json.dumps(golden).encode(), "exchanges.json"))
    if is_same:
        await rehearsal
    else:
        with pytest.raises(GoldenError, match="with another body"):
            await rehearsal
