"""An API of methods: an id is a parameter, a refusal comes with 200 and a word, and each method has its own limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import Api, opened, pulled, serving
from tests.unified.kit.document.test_model import desk, reading
from tests.unified.kit.document.test_reading import below, records, stream
from unified.conformance.bench import Copy
from unified.kit.document.engine import DocumentAdapter
from unified.kit.document.source import DocumentError
from unified.kit.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitedError,
    RequestRefusedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = {"path": "/info", "parameters": {"thing": "{id}"}, "record": ["thing"]}
CODES = {
    "gone": "NOT_FOUND",
    "bad_key": "AUTHENTICATION",
    "no_right": "PERMISSION",
    "slower": "RATE_LIMITED",
    "busy": "UNAVAILABLE",
    "never": "REFUSED",
}
REFUSALS = {
    "codes_at": ["error"],
    "reasons_at": ["error"],
    "codes": CODES,
    "notes_at": {"needs": "needed"},
    "success": "{{ response.error is none }}",
}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


async def test_single_records_are_asked_for_by_a_parameter_and_found_below_a_key(api: Api) -> None:
    api.answers |= {
        "/info?thing=a%26b": {"thing": {"id": "a&b", "title": "A"}},
        "/info?thing=c": {"error": "gone"},
        "/info?thing=d": {"other": {}},
    }
    said = desk(streams={"things": stream("/list", one=ONE, missing_is_gone=True)}, refusals=REFUSALS)
    copy = Copy("things")
    async with opened(api, said) as adapter:
        for ids in (["a&b", "c"], ["d"]):
            async for page in adapter.fetch("things", ids):
                copy.add(page)
    assert copy.records == {"a&b": {"id": "a&b", "title": "A"}}
    assert (set(copy.gone), copy.rejects) == ({"c"}, 1)


async def test_only_records_that_a_filter_takes_are_partitions(api: Api) -> None:
    api.answers["/rooms"] = {
        "data": [{"id": "a", "in": True}, {"id": "b", "in": False}, {"id": "c"}, {"id": "d", "in": True}]
    }
    api.answers |= {"/talk?room=a": records(1), "/talk?room=d": records(2)}
    said = desk(
        streams={
            "rooms": stream("/rooms"),
            "talk": stream(
                "/talk",
                parameters={"room": "{{ partition.room }}"},
                partition={**below("rooms", "room"), "filter": "{{ record.in }}"},
            ),
        }
    )
    copy = Copy("talk")
    await pulled(opened(api, said), copy)
    assert set(copy.records) == {"1", "2"}
    assert api.asked == ["/rooms", "/talk?room=a", "/talk?room=d"]


async def test_a_parameter_whose_expression_comes_to_nothing_is_left_out(api: Api) -> None:
    api.answers |= {"/rooms?fixed=": records(1), "/rooms?team=t&fixed=": records(2)}
    parameters = {"team": "{{ settings.team }}", "fixed": ""}
    said = desk(
        settings={"team": {"description": "Which.", "default": ""}},
        streams={"rooms": stream("/rooms", parameters=parameters)},
    )
    for settings, found in (({}, "1"), ({"team": "t"}, "2")):
        copy = Copy("rooms")
        await pulled(opened(api, said, **settings), copy)
        assert set(copy.records) == {found}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("gone", NotFoundError), ("bad_key", AuthenticationError), ("no_right", PermissionDeniedError),
        ("slower", RateLimitedError), ("busy", UnavailableError), ("never", RequestRefusedError),
        ("unheard_of", RequestRefusedError),
    ],
)  # fmt: skip
async def test_a_code_says_what_a_refusal_is(api: Api, code: str, kind: type[ProviderError]) -> None:
    api.answers["/rooms"] = {"error": code, "needed": "rooms:read"}
    with pytest.raises(ProviderError) as refused:
        await pulled(opened(api, desk(streams={"rooms": stream("/rooms")}, refusals=REFUSALS)), Copy("rooms"))
    assert type(refused.value) is kind
    assert f"{code} (needs rooms:read)" in str(refused.value)
    assert len(api.asked) == (2 if kind in (RateLimitedError, UnavailableError) else 1)


def test_methods_have_limits_of_their_own_unless_the_connection_has_one() -> None:
    said: dict[str, Any] = {
        "limits": {"list": {"requests_per_minute": 30, "burst": 4}},
        "stream": {"limit": "list"},
    }

    class Desk(DocumentAdapter, document=reading(**said)):
        display_name = "Our desk"

    assert (Desk.name, Desk.display_name) == ("desk", "Our desk")
    for own, names in ((None, ["default", "list"]), (5, ["default"])):
        config = Desk.config_model.model_validate({"requests_per_second": own})
        limits = Desk(config, {}, None).limits()  # type: ignore[arg-type]
        assert [limit.name for limit in limits] == names
    with pytest.raises(DocumentError, match="stream teams: there is no limit 'other'"):
        reading(stream={"one": {"path": "/one/{id}", "limit": "other"}})
