"""Lines of JSON: what each says, and that ids stay with the work that they are of."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from unified import logs
from unified.api.access_log import AccessLog
from unified_assets.interrupts import interruptible

log = logging.getLogger("tests.logs")


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_what_it_is_about(written: io.StringIO) -> None:
    with logs.about(run="r1"), logs.about(connection="acme/main", stream=None):
        log.warning("%d of\nthem", 2, extra={"fields": {"read": 3}})
    log.info("after")
    first, after = lines(written)
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "WARNING",
        "logger": "tests.logs",
        "message": "2 of\nthem",
        "run": "r1",
        "connection": "acme/main",
        "read": 3,
    }
    assert {"run", "connection"}.isdisjoint(after)


def test_an_error_comes_in_one_line(written: io.StringIO) -> None:
    log.error("it failed", exc_info=ValueError("gone\nwrong"))
    (line,) = lines(written)
    assert (line["message"], line["error"]) == ("it failed", "ValueError")
    assert line["traceback"] == "ValueError: gone\nwrong"


async def test_tasks_side_by_side_keep_their_own(written: io.StringIO) -> None:
    async def work(name: str) -> None:
        logs.note(connection=name)
        await asyncio.sleep(0)
        log.info("done by %s", name)

    with logs.about(run="r1"):
        await asyncio.gather(work("a"), work("b"))
    log.info("outside")
    *done, outside = lines(written)
    assert {(line["message"], line["connection"], line["run"]) for line in done} == {
        ("done by a", "a", "r1"),
        ("done by b", "b", "r1"),
    }
    assert "connection" not in outside


async def test_requests_that_are_written_together_keep_their_own(written: io.StringIO) -> None:
    access = AccessLog()

    async def answer(workspace: str) -> None:
        logs.note(workspace=workspace)
        access.line("GET", "/api/x", 200, 0.0012)

    await asyncio.gather(asyncio.create_task(answer("a")), asyncio.create_task(answer("b")))
    access.add("POST", "stripe", "a-secret-path", 401, 0.5)
    await asyncio.sleep(0)
    found = lines(written)
    assert [line.get("workspace") for line in found] == ["a", "b", None]
    assert found[0]["message"] == "GET /api/x 200 1.2 ms"
    assert (found[0]["endpoint"], found[0]["status"], found[0]["milliseconds"]) == ("/api/x", 200, 1.2)
    assert "a-secret-path" not in written.getvalue()


def test_what_a_run_logs_names_it(written: io.StringIO) -> None:
    @dg.op
    async def work() -> None:
        with interruptible("r1"):
            log.info("at it")

    @dg.job
    def job() -> None:
        work()

    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(instance=instance)
    assert [line["run"] for line in lines(written) if line["message"] == "at it"] == ["r1"]


def test_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.FORMAT_VARIABLE, "xml")
    with pytest.raises(logs.LogFormatError, match="takes text or json, not 'xml'"):
        logs.configure()
