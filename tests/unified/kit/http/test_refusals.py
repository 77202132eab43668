"""How refusals are read: by the body's code, by the status, by headers. The bodies are as providers document them."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from tests.unified.kit.http.test_client import ANYTHING, answer, client
from unified.kit.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitedError,
    RequestRefusedError,
    UnavailableError,
)
from unified.kit.http.answers import Answer
from unified.kit.http.limits import RateLimit
from unified.kit.http.refusals import PRESENT, Meaning, Refusal, Refusals, seconds_in

if TYPE_CHECKING:
    from tests.unified.kit.conftest import ScriptedProvider

SALESFORCE = Refusals(
    codes_at=("0.errorCode",),
    reasons_at=("*.message",),
    codes={
        "REQUEST_LIMIT_EXCEEDED": Meaning(RateLimitedError, retry=True),
        "INVALID_SESSION_ID": Meaning(AuthenticationError),
        "UNABLE_TO_LOCK_ROW": Meaning(UnavailableError, retry=True, wait=1.0),
    },
)
QUICKBOOKS = Refusals(
    codes_at=("Fault.Error.0.code",),
    reasons_at=("Fault.Error.*.Message", "Fault.Error.*.Detail"),
    codes={"610": Meaning(NotFoundError), "3001": Meaning(RateLimitedError, retry=True)},
    fault_at=("Fault", PRESENT),
)
SLACK = Refusals(
    codes_at=("error",),
    reasons_at=("error", "response_metadata.messages.*"),
    codes={
        "invalid_auth": Meaning(AuthenticationError),
        "missing_scope": Meaning(PermissionDeniedError),
        "ratelimited": Meaning(RateLimitedError, retry=True),
        "internal_error": Meaning(UnavailableError, retry=True),
    },
    fault_at=("ok", False),
)


def read(refusals: Refusals, status: int, body: Any, **headers: str) -> Refusal:
    named = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return refusals.read(Answer(status, named, msgspec.json.encode(body)))


def fault(code: str) -> dict[str, Any]:
    return {"Fault": {"Error": [{"Message": "Object Not Found", "Detail": "it is gone", "code": code}]}}


@pytest.mark.parametrize(
    ("refusals", "status", "body", "kind", "retry", "reason"),
    [
        (
            SALESFORCE,
            403,
            [{"message": "over", "errorCode": "REQUEST_LIMIT_EXCEEDED"}],
            RateLimitedError,
            True,
            "over",
        ),
        (
            SALESFORCE,
            403,
            [{"message": "no", "errorCode": "INSUFFICIENT_ACCESS"}],
            PermissionDeniedError,
            False,
            "no",
        ),
        (
            SALESFORCE,
            400,
            [{"message": "row", "errorCode": "UNABLE_TO_LOCK_ROW"}],
            UnavailableError,
            True,
            "row",
        ),
        (
            SALESFORCE,
            401,
            [{"message": "end", "errorCode": "INVALID_SESSION_ID"}],
            AuthenticationError,
            False,
            "end",
        ),
        (QUICKBOOKS, 400, fault("610"), NotFoundError, False, "Object Not Found; it is gone"),
        (QUICKBOOKS, 200, fault("3001"), RateLimitedError, True, "Object Not Found; it is gone"),
        (QUICKBOOKS, 200, fault("2020"), RequestRefusedError, False, "Object Not Found; it is gone"),
        (SLACK, 200, {"ok": False, "error": "invalid_auth"}, AuthenticationError, False, "invalid_auth"),
        (SLACK, 200, {"ok": False, "error": "internal_error"}, UnavailableError, True, "internal_error"),
        (SLACK, 429, {"ok": False, "error": "ratelimited"}, RateLimitedError, True, "ratelimited"),
        (Refusals(), 503, {"what": "ever"}, UnavailableError, True, "Service Unavailable"),
        (Refusals(), 418, None, RequestRefusedError, False, "teapot"),
        (Refusals(codes_at=("a.b",)), 400, {"a": {"b": {"c": 1}}}, RequestRefusedError, False, "Bad Request"),
        (Refusals(codes_at=("0.b", "a.9")), 400, {"a": [1]}, RequestRefusedError, False, "Bad Request"),
    ],
)
def test_a_code_goes_before_a_status(
    refusals: Refusals, status: int, body: Any, kind: type[ProviderError], retry: bool, reason: str
) -> None:
    taken = read(refusals, status, body)
    assert (taken.meaning.kind, taken.meaning.retry) == (kind, retry)
    assert reason in taken.reason


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": ', b'"\xff"', b"[[[[", b"null"])
def test_a_body_of_any_other_form_is_taken_by_its_status(body: bytes) -> None:
    for refusals in (SALESFORCE, QUICKBOOKS, SLACK):
        taken = refusals.read(Answer(502, httpx.Headers(), body))
        assert (taken.meaning.kind, taken.reason, taken.code) == (UnavailableError, "Bad Gateway", None)
        assert not refusals.is_fault(Answer(200, httpx.Headers(), body))


def test_an_answer_of_success_is_one_unless_it_says_otherwise() -> None:
    for refusals, body in [
        (QUICKBOOKS, {"QueryResponse": {}}),
        (QUICKBOOKS, {"Fault": None}),
        (SLACK, {"ok": True, "members": [{"ok": False}]}),
        (Refusals(), {"ok": False, "Fault": {}}),
    ]:
        assert not refusals.is_fault(Answer(200, httpx.Headers(), msgspec.json.encode(body)))


def test_the_code_and_what_support_asks_for_are_shown() -> None:
    refusals = Refusals(codes_at=("code",), reasons_at=("message",), reference_at={"request id": "id"})
    taken = read(refusals, 400, {"message": "no", "code": "bad", "id": 7})
    assert taken.reason == "no (bad, request id 7)"


def test_a_reason_that_is_a_sentence_is_followed_by_one_full_stop() -> None:
    refusals = Refusals(reasons_at=("message",))
    error = read(refusals, 401, {"message": "Who are you?  Say it."}).error("GET /", 401, str)
    assert str(error).startswith("GET / answered 401: Who are you? Say it. The credential is wrong")
    assert str(read(refusals, 400, {"message": "No."}).error("GET /", 400, str)).endswith("answered 400: No.")


def test_what_a_header_says_about_retrying_counts_but_for_limits() -> None:
    refusals = Refusals(retry_header="x-retry")
    assert not read(refusals, 500, {}, x_retry="false").meaning.retry
    assert read(refusals, 400, {}, x_retry="true").meaning.retry
    assert read(refusals, 429, {}, x_retry="false").meaning.retry


def test_the_wait_is_the_headers_or_else_the_codes() -> None:
    locked = [{"message": "row", "errorCode": "UNABLE_TO_LOCK_ROW"}]
    assert read(SALESFORCE, 400, locked).wait == 1.0
    assert read(SALESFORCE, 400, locked, retry_after="3").wait == 3.0
    assert read(SALESFORCE, 400, locked, retry_after="soon").wait == 1.0
    resets = Refusals(wait_headers=("retry-after", "x-reset"))
    assert read(resets, 429, {}, x_reset="7").wait == 7.0


def test_times_to_wait_for_come_in_many_forms() -> None:
    until = datetime.now(UTC) + timedelta(seconds=60)
    for text in (
        format_datetime(until, usegmt=True),
        f"{until:%Y-%m-%dT%H:%M:%SZ}",
        f"{until:%Y-%m-%dT%H:%M:%S+00:00}",
        f"{until.timestamp():.0f}",
    ):
        assert seconds_in(text) == pytest.approx(60, abs=2), text
    assert seconds_in("0.5") == 0.5
    assert seconds_in("-5") == 0.0
    assert [seconds_in(text) for text in ("soon", "nan", "", "Mon, 99 Nov 2026 00:00:00 GMT")] == [None] * 4


async def test_a_fault_in_an_answer_of_success_is_raised(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    provider.script = [answer(body=b'{"ok": false, "error": "invalid_auth"}')]
    http = client(provider.url)
    http._refusals = SLACK
    with pytest.raises(AuthenticationError, match="answered 200: invalid_auth") as caught:
        await http.request("GET", "/users.list", ANYTHING)
    assert (caught.value.status, caught.value.code) == (200, "invalid_auth")
    await http.aclose()


async def test_a_limit_is_backed_off_from_whatever_its_status(
    provider: "ScriptedProvider", waits: list[float]
) -> None:
    class Noted(RateLimit):
        refusals = 0

        def refused(self, sent: float, pause: float | None = None) -> None:
            self.refusals += 1
            super().refused(sent, pause)

    limit = Noted(1e9)
    over = answer(403, b'[{"message": "over", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]')
    provider.script = [over, over, answer()]
    http = client(provider.url, limit=limit)
    http._refusals = SALESFORCE
    assert await http.request("GET", "/", ANYTHING) == {"good": True}
    assert (limit.refusals, http.traffic.refused, http.traffic.retries) == (2, 2, 2)
    await http.aclose()
