"""Requests that change something: when they are sent again, and what is known where no answer came."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.unified.kit.http.test_client import ANYTHING, answer, client
from unified.kit.errors import RequestRefusedError, UnavailableError, UndecidedError

if TYPE_CHECKING:
    from tests.unified.kit.conftest import ScriptedProvider
    from unified.kit.http.client import Effect

CUT, DOWN, DONE = answer(cut=True), answer(502, b""), answer()
LIMITED = answer(429, b"", headers={"retry-after": "0"})


async def change(provider: "ScriptedProvider", script: list[Any], effect: "Effect", **settings: Any) -> int:
    """Send one change; how many requests arrived."""
    provider.script = script
    http = client(provider.url, **settings)
    try:
        await http.request("POST", "/", ANYTHING, json={}, effect=effect)
    finally:
        await http.aclose()
    return len(provider.requests)


@pytest.mark.parametrize("trouble", [CUT, DOWN, answer(body=b"<html>")])
async def test_a_change_that_may_not_be_repeated_is_sent_once(
    provider: "ScriptedProvider", waits: list[float], trouble: Any
) -> None:
    with pytest.raises(UndecidedError, match="whether it was carried out is open"):
        await change(provider, [trouble, DONE], "once")
    assert len(provider.requests) == 1


async def test_what_certainly_did_nothing_is_sent_again(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    assert await change(provider, [LIMITED, LIMITED, DONE], "once") == 3


async def test_nothing_is_open_about_a_change_that_never_left(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    provider.url = "http://127.0.0.1:9"  # where nobody listens
    with pytest.raises(UnavailableError) as raised:
        await change(provider, [], "once")
    assert not isinstance(raised.value, UndecidedError)


async def test_a_repeatable_change_is_sent_until_it_is_answered(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    assert await change(provider, [CUT, DOWN, DONE], "repeatable") == 3


@pytest.mark.parametrize(
    "last", [LIMITED, answer(401, b""), answer(503, b"", headers={"retry-after": "9999"})]
)
async def test_an_attempt_without_an_answer_leaves_open_what_later_ones_do_not_tell(
    provider: "ScriptedProvider", waits: list[float], last: Any
) -> None:
    with pytest.raises(UndecidedError):
        await change(provider, [CUT, last], "repeatable", retry_count=1)


async def test_a_refusal_decides_about_the_attempts_before_it(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    with pytest.raises(RequestRefusedError):
        await change(provider, [CUT, answer(400, b"")], "repeatable")


async def test_an_answer_without_a_body_is_none(provider: Any) -> None:
    provider.script = [answer(204, b"", headers={})]
    http = client(provider.url)
    assert await http.request("DELETE", "/", msgspec.json.Decoder(int | None), effect="repeatable") is None
    await http.aclose()
