"""Answers of lines that are larger than memory should hold, over real HTTP: read as they come, and read again."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import Api, opened, pulled, serving
from tests.unified.kit.document.test_decoders import zipped
from tests.unified.kit.document.test_jobs import exported
from tests.unified.kit.document.test_model import desk
from tests.unified.kit.document.test_reading import stream
from unified.conformance.bench import Copy
from unified.kit.http import bodies

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


def things(**said: Any) -> dict[str, Any]:
    return desk(streams={"things": stream("/things", records=[], **said)})


@pytest.mark.parametrize("form", ["plain", "gzip", "zip"])
async def test_memory_stays_flat_however_much_an_answer_holds(api: Api, form: str) -> None:
    filler = os.urandom(20_000).hex().encode()  # more than gzip looks back
    lines = [b'{"id": %d, "x": "%s"}\n' % (number, filler) for number in range(1_800)]
    lines[900] = b'{"id": 900, "x":\n'
    body = b"".join(lines)
    assert len(body) > bodies.MOST_BYTES
    if form == "gzip":
        body = gzip.compress(body, 1)
    elif form == "zip":
        body = zipped(body, kind=0)
    del lines
    api.answers["/things"] = (200, {}, body)
    packed = {} if form == "plain" else {form: True}
    met = rejects = 0
    tracemalloc.start()
    try:
        adapter = opened(api, things(decoder={"kind": "jsonl", **packed}))
        async with adapter, aclosing(adapter.pull("things", None)) as pages:
            async for page in pages:
                met += len(page.records)
                rejects += sum(record.source_id is None for record in page.records)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (met, rejects, page.refresh_done) == (1_800, 1, True)
    assert peak < 32 * MIB


async def test_a_pull_that_stops_in_an_answer_reads_it_again(api: Api) -> None:
    rows = b"".join(b"%d,title\n" % number for number in range(2_500))
    link = {"link": f'<{api.url}/things?page=2>; rel="next"'}
    api.answers |= {
        "/things": (200, link, b"id,title\n" + rows),
        "/things?page=2": (200, {}, b"id,title\nlast,x\n"),
    }
    said = things(decoder={"kind": "csv"}, paging={"kind": "link_header"})
    copy = Copy("things")
    pages = await pulled(opened(api, said), copy, pages=2)
    assert [len(page.records) for page in pages] == [1_000, 1_000]
    assert api.asked == ["/things"]
    pages = await pulled(opened(api, said), copy)
    assert (len(copy.records), pages[-1].refresh_done) == (2_501, True)
    assert api.asked == ["/things", "/things", "/things?page=2"]


@pytest.mark.usefixtures("waits")
async def test_a_job_is_deleted_when_its_last_file_was_read_to_the_end(api: Api) -> None:
    job = {"urls": "files", "delete": {"path": "/jobs/{{ job.id }}"}}
    said = exported(job, records=[], decoder={"kind": "jsonl"})
    rows = b"".join(b'{"id": %d}\n' % number for number in range(1_500))
    api.answers |= {
        "/jobs": {"job": {"id": 7}},
        "/jobs/7": {"state": "done", "files": ["/a", "/b"]},
        "/a": (200, {}, rows),
        "/b": (200, {}, b'{"id": "b"}'),
    }
    copy = Copy("rows")
    await pulled(opened(api, said), copy)
    assert len(copy.records) == 1_501
    assert api.asked == ["/jobs", "/jobs/7", "/a", "/b", "/jobs/7"]


async def test_whether_a_list_may_be_read_is_seen_without_reading_it(api: Api) -> None:
    api.answers["/things"] = (200, {}, b'{"id": 1}\n' * MIB)
    async with opened(api, things(decoder={"kind": "jsonl"})) as adapter:
        adapter.http.bound(MIB)
        await adapter.test()
