"""Streams whose records a job makes first, over real HTTP: awaited, resumed, failed, and read from other hosts."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import KEY, NOW, Api, Turns, opened, pulled, serving
from tests.unified.kit.document.test_model import desk, reading
from tests.unified.kit.document.test_reading import DATE, TOKEN, records, stream
from unified.conformance.bench import Copy
from unified.kit.document.source import DocumentError
from unified.kit.errors import (
    ForbiddenHostError,
    ProtocolError,
    RequestRefusedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("waits")

STATUS = {
    "path": "/jobs/{{ job.id }}",
    "at": ["state"],
    "running": ["queued", "running"],
    "completed": ["done"],
    "skipped": ["empty"],
    "failed": ["broken"],
}
PAGES = {"path": "/jobs/{{ job.id }}/rows", "parameters": {"limit": "2"}}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


def exported(job: dict[str, Any], **said: Any) -> dict[str, Any]:
    """A document with one stream, whose rows a job exports."""
    made = {"outputs": {"id": "{{ response.job.id }}"}, "status": STATUS, **job}
    body = {"fields": {"of": "rows"}}
    return desk(streams={"rows": stream("/jobs", method="POST", body=body, job=made, **said)})


PAGED = exported({"download": PAGES, "delete": {"path": "/jobs/{{ job.id }}"}}, paging=TOKEN)


def two_pages(api: Api, job: str = "7") -> None:
    """A job that is done at the third look, with two pages of results."""
    api.answers |= {
        "/jobs": {"job": {"id": job}},
        f"/jobs/{job}": Turns([{"state": "queued"}, {"state": "running"}, {"state": "done"}]),
        f"/jobs/{job}/rows?limit=2": records(1, 2, following="b"),
        f"/jobs/{job}/rows?limit=2&page=b": records(3),
    }


async def test_a_job_is_awaited_read_page_by_page_and_deleted(api: Api, waits: list[float]) -> None:
    two_pages(api)
    copy = Copy("rows")
    pages = await pulled(opened(api, PAGED), copy)
    assert set(copy.records) == {"1", "2", "3"}
    assert pages[-1].refresh_done
    assert api.asked == [
        "/jobs", *["/jobs/7"] * 3, "/jobs/7/rows?limit=2", "/jobs/7/rows?limit=2&page=b", "/jobs/7",
    ]  # fmt: skip
    assert json.loads(api.bodies[0]) == {"of": "rows"}
    assert waits.count(5) == 2


async def test_a_pull_that_is_killed_after_every_page_goes_on_with_the_same_job(api: Api) -> None:
    two_pages(api)
    copy, met = Copy("rows"), []
    for _ in range(10):
        (page,) = await pulled(opened(api, PAGED), copy, pages=1)
        met += copy.met
        if page.refresh_done:
            break
    assert sorted(met) == ["1", "2", "3"]
    assert api.asked.count("/jobs") == 1


async def test_a_job_that_is_gone_is_begun_anew(api: Api) -> None:
    two_pages(api)
    copy = Copy("rows")
    await pulled(opened(api, PAGED), copy, pages=1)
    two_pages(api, "8")
    api.answers["/jobs/7"] = (404, {}, b"{}")
    pages = await pulled(opened(api, PAGED), copy)
    assert set(copy.records) == {"1", "2", "3"}
    assert pages[-1].refresh_done


async def test_a_job_that_fails_is_begun_once_more_and_then_said(api: Api) -> None:
    two_pages(api, "8")
    api.answers |= {
        "/jobs": Turns([{"job": {"id": 7}}, {"job": {"id": 8}}]),
        "/jobs/7": {"state": "broken"},
    }
    copy = Copy("rows")
    await pulled(opened(api, PAGED), copy)
    assert set(copy.records) == {"1", "2", "3"}
    api.answers["/jobs/8"] = {"state": "broken"}
    with pytest.raises(RequestRefusedError, match=r"its job failed \('broken'\), 2 times"):
        await pulled(opened(api, PAGED), Copy("rows"))


async def test_a_job_that_is_not_done_in_time_is_given_up_and_another_one_begun(
    api: Api, waits: list[float]
) -> None:
    api.answers |= {"/jobs": {"job": {"id": 7}}, "/jobs/7": {"state": "running"}, "/jobs/7/stop": {}}
    said = exported(
        {
            "download": PAGES,
            "timeout_seconds": 60,
            "poll_seconds": 20,
            "abort": {"method": "POST", "path": "/jobs/{{ job.id }}/stop"},
        }
    )
    copy = Copy("rows")
    with pytest.raises(UnavailableError, match="was not done within 60 seconds"):
        await pulled(opened(api, said), copy)
    assert waits.count(20) == 3
    assert api.asked.count("/jobs/7/stop") == 1
    two_pages(api, "8")
    api.answers["/jobs/8/rows?limit=2"] = records(1)
    later = opened(api, said)
    later.clock = lambda: NOW + timedelta(hours=1)
    await pulled(later, copy)
    assert set(copy.records) == {"1"}


async def test_a_job_without_results_is_an_empty_list(api: Api) -> None:
    api.answers |= {"/jobs": {"job": {"id": 7}}, "/jobs/7": {"state": "empty"}}
    pages = await pulled(opened(api, PAGED), copy := Copy("rows"))
    assert (copy.records, pages[-1].refresh_done) == ({}, True)


async def test_changes_are_asked_for_by_the_request_that_begins_a_job(api: Api) -> None:
    api.answers |= {
        "/jobs": (200, DATE, b'{"job": {"id": 7}}'),
        "/jobs/7": (200, DATE, b'{"state": "done"}'),
        "/jobs/7/rows?limit=2": records(1),
    }
    said = exported({"download": PAGES}, changes={"parameter": ["since"], "lag_seconds": 0})
    copy = Copy("rows")
    await pulled(opened(api, said), copy)
    await pulled(opened(api, said), copy)
    assert [json.loads(body).get("since") for body in api.bodies] == [None, "2026-11-28T11:59:00Z"]


FILES = exported({"urls": "files.*.url"}, records=[], decoder={"kind": "csv", "gzip": True})


async def test_files_are_read_one_after_the_other_and_no_credential_goes_elsewhere(api: Api) -> None:
    with serving() as store:
        urls = [f"{store.url}/a?signed=x%2By", "/own/b"]
        api.answers |= {
            "/jobs": {"job": {"id": 7}},
            "/jobs/7": {"state": "done", "files": [{"url": one} for one in urls]},
            "/own/b": (200, {"content-type": "text/csv"}, b"id,title\n3,c\n"),
        }
        store.answers["/a?signed=x%2By"] = (200, {}, gzip.compress(b"id,title\n1,a\n2,b\n"))
        copy = Copy("rows")
        await pulled(opened(api, FILES), copy)
    assert set(copy.records) == {"1", "2", "3"}
    assert store.authorized == [None]
    assert set(api.authorized) == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "url", ["https://attacker.example/x", "http://localhost:1/x", "//attacker.example/x", "ftp://127.0.0.1/x"]
)
async def test_a_file_on_a_host_that_is_not_declared_is_not_asked_for(api: Api, url: str) -> None:
    api.answers |= {"/jobs": {"job": {"id": 7}}, "/jobs/7": {"state": "done", "files": [{"url": url}]}}
    with pytest.raises(ForbiddenHostError, match=r"hosts|must look like") as caught:
        await pulled(opened(api, FILES), Copy("rows"))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"/jobs": {"job": None}}, "the answer that begins a job of /jobs has no id"),
        ({"/jobs/7": {"state": "odd"}}, "is 'odd', which the document does not name"),
        ({"/jobs/7": [1]}, "says nothing at state"),
        ({"/jobs/7": {"state": "done", "files": [{"url": 5}]}}, r"has no list of URLs at files\.\*\.url"),
        ({"/jobs/7": {"state": "done", "files": [{"url": "https://[x"}]}}, "goes on at what is not a URL"),
    ],
)
async def test_an_answer_about_a_job_that_is_odd_ends_in_words(
    api: Api, answers: dict[str, Any], reason: str
) -> None:
    api.answers |= {"/jobs": {"job": {"id": 7}}, "/jobs/7": {"state": "done", "files": []}, **answers}
    with pytest.raises(ProtocolError, match=reason):
        await pulled(opened(api, FILES), Copy("rows"))


JOB = {"outputs": {"id": "{{ response.id }}"}, "status": STATUS, "download": PAGES}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"job": {**JOB, "urls": "x"}}, "either `download` or `urls`"),
        ({"job": {**JOB, "download": None}}, "either `download` or `urls`"),
        ({"job": {**JOB, "download": {"path": "/{{ jobs.id }}"}}}, "there is no 'jobs'"),
        ({"job": {**JOB, "status": {**STATUS, "failed": ["done"]}}}, "means two things"),
        ({"job": {**JOB, "download": None, "urls": "x"}, "paging": TOKEN}, "leave out `paging`"),
        ({"job": JOB, "many": {"parameter": "ids"}}, "leave out `many`"),
        ({"job": JOB, "paging": {**TOKEN, "parameter": ["page"]}}, "is a place in a body"),
        ({"path": "/{{ job.id }}"}, "there is no 'job'"),
    ],
)
def test_a_job_that_can_not_work_is_refused(said: dict[str, Any], reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        reading(stream=said)


async def test_nothing_is_begun_to_see_whether_a_credential_is_right(api: Api) -> None:
    async with opened(api, PAGED) as adapter:
        await adapter.test()
    assert api.asked == []
    assert adapter.clock() == NOW
