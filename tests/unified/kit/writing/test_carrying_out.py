"""Changes carried out side by side, and which fields a body holds."""

import asyncio
import gc
from contextlib import aclosing

import pytest

from unified.kit.errors import ConfigurationError, UnavailableError
from unified.kit.writing.changes import Job, Report, Write, Written, carry_out, choose

PARTS: dict[str, dict[str, str | None]] = {"name": {"first": "Ada", "last": None}, "phone": {"phone": None}}


def written(key: str) -> Written:
    return Written(Write("delete", "1", {}, key), "applied")


async def test_no_more_jobs_are_under_way_than_allowed_and_none_is_left_out() -> None:
    running, most = 0, 0

    def job(key: str) -> Job:
        async def run(report: Report) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            report(written(key))

        return run

    keys = [str(number) for number in range(20)]
    reported = [one.write.idempotency_key async for one in carry_out(map(job, keys), at_once=3)]
    assert (sorted(reported), most) == (sorted(keys), 3)


async def test_after_a_failure_what_was_under_way_is_reported_and_nothing_new_begun() -> None:
    begun: list[str] = []
    fail = asyncio.Event()

    def job(key: str) -> Job:
        async def run(report: Report) -> None:
            begun.append(key)
            if key == "1":
                report(written("1 in part"))
                fail.set()
                msg = "the provider is down"
                raise UnavailableError(msg)
            await fail.wait()
            await asyncio.sleep(0)
            report(written(key))

        return run

    reported: list[str] = []

    async def listen() -> None:
        async for one in carry_out(map(job, "0123456"), at_once=3):
            reported.append(one.write.idempotency_key)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(UnavailableError, match="is down"):
        await listen()
    assert begun == ["0", "1", "2"]
    assert sorted(reported) == ["0", "1 in part", "2"]


async def test_of_several_failures_the_first_is_raised_and_none_is_left_to_the_event_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def job(key: str) -> Job:
        async def run(_: Report) -> None:
            for _turn in range(int(key)):
                await asyncio.sleep(0)
            raise UnavailableError(key)

        return run

    with pytest.raises(UnavailableError, match=r"^1$"):
        _ = [one async for one in carry_out(map(job, "123"), at_once=3)]
    gc.collect()
    assert not caplog.records


async def test_whoever_stops_listening_ends_what_is_under_way() -> None:
    ended: list[str] = []

    def job(key: str) -> Job:
        async def run(report: Report) -> None:
            report(written(key))
            try:
                await asyncio.sleep(0 if key == "0" else 3600)
            finally:
                ended.append(key)

        return run

    async with aclosing(carry_out(map(job, "012"), at_once=3)) as reports:
        async for _ in reports:
            break
    assert sorted(ended) == ["0", "1", "2"]


def test_a_body_without_fields_holds_what_is_known() -> None:
    assert choose(PARTS, {"a": "1"}, None) == ({"first": "Ada"}, {"a": "1"})


def test_a_body_of_fields_empties_what_is_not_there() -> None:
    assert choose(PARTS, {"a": "1"}, ("name", "custom_fields.b")) == (
        {"first": "Ada", "last": None},
        {"b": None},
    )
    assert choose(PARTS, {"a": "1"}, ("custom_fields",)) == ({}, {"a": "1"})
    with pytest.raises(ConfigurationError, match="tags is not written; name, phone and custom_fields are"):
        choose(PARTS, {}, ("tags",))
