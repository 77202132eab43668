"""What was imported or drafted is read by the engine over real HTTP: all pages, partitions, and as customers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.unified.kit.document.api import KEY, NOW, Api, Turns, opened, pulled, serving
from tests.unified.kit.importing.airbyte.forms import SUBSTREAM, job, manifest_of, stream
from tests.unified.kit.importing.airbyte.test_conversion import SESSION
from tests.unified.kit.importing.openapi.test_draft import drafted, lists, query
from unified.conformance.bench import Copy
from unified.kit.importing.airbyte.conversion import convert
from unified.kit.importing.airbyte.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

DESK = Path(__file__).parent / "airbyte" / "desk.yaml"


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


async def ids(api: Api, document: dict[str, Any] | None, name: str) -> set[str]:
    assert document is not None
    copy = Copy(name)
    await pulled(opened(api, document), copy)
    return set(copy.records)


async def test_a_manifest_follows_links_and_changes_records(api: Api) -> None:
    document = convert(read_manifest(DESK.read_bytes(), DESK.name), "desk", "Desk").document
    api.answers = {
        "/v1/contacts": {"data": [{"id": 1}, {"id": 2}], "next": f"{api.url}/v1/contacts?at=2"},
        "/v1/contacts?at=2": {"data": [{"id": 3}], "next": None},
    }
    assert await ids(api, document, "contacts") == {"1", "2", "3"}
    copy = Copy("other")
    await pulled(opened(api, document or {}), copy)
    assert copy.records["3"]["x"] == 3


async def test_a_manifest_reads_the_children_of_each_parent(api: Api) -> None:
    where = {"path": "/people/{{ stream_partition.p }}/notes"}
    children = stream("notes", requester=where, retriever={"partition_router": SUBSTREAM}, primary_key="id")
    manifest = manifest_of(children, stream("parents", primary_key="id"))
    document = convert(manifest, "desk", "Desk").document
    assert document is not None
    document["auth"]["secret"]["name"] = "api_key"  # as the tests' connection has it
    api.answers = {
        "/contacts": {"data": [{"id": 7}, {"id": 8}]},
        "/people/7/notes": {"data": [{"id": "a"}]},
        "/people/8/notes": {"data": [{"id": "b"}, {"id": "c"}]},
    }
    assert await ids(api, document, "notes") == {"a", "b", "c"}


async def test_a_manifest_logs_in_and_asks_by_a_body_whose_page_is_computed(api: Api) -> None:
    paged = {
        "type": "DefaultPaginator",
        "pagination_strategy": {
            "type": "CursorPagination",
            "cursor_value": "{{ response.page + 1 }}",
            "stop_condition": "{{ last_page_size < 2 }}",
        },
        "page_token_option": {
            "type": "RequestOption",
            "inject_into": "body_json",
            "field_path": ["at", "page"],
        },
    }
    where = {"http_method": "POST", "request_body_json": {"q": "x"}, "authenticator": SESSION}
    manifest = manifest_of(stream(requester=where, retriever={"paginator": paged}, primary_key="id"))
    document = convert(manifest, "desk", "Desk").document
    api.answers = {
        "/login": {"data": {"token": "t1"}},
        "/contacts": Turns([{"data": [{"id": 1}, {"id": 2}], "page": 1}, {"data": [{"id": 3}], "page": 2}]),
    }
    assert await ids(api, document, "contacts") == {"1", "2", "3"}
    assert [msgspec.json.decode(body) for body in api.bodies] == [
        {"user": KEY, "password": KEY, "app": "x"},
        {"q": "x"},
        {"q": "x", "at": {"page": 2}},
    ]


async def test_a_manifest_awaits_a_job_and_reads_its_rows(api: Api) -> None:
    document = convert(manifest_of({**job(), "primary_key": "id"}), "desk", "Desk").document
    api.answers = {
        "/exports?of=contacts": {"data": {"id": 7}},
        "/exports/7": {"data": {"state": "done", "file": "f 1"}},
        "/exports/7/f%201": {"rows": [{"id": 1}, {"id": 2}]},
    }
    assert await ids(api, document, "contacts") == {"1", "2"}
    assert api.asked[-1] == "/exports/7"


async def test_a_draft_reads_pages_and_maps_customers(api: Api) -> None:
    path = lists(
        query("page_token"),
        query("limit", type="integer", maximum=2),
        answer={"next_page_token": {"type": "string"}},
    )
    document = drafted({"/contacts": path}).document
    ada = {"id": "1", "email": "ada@example.com", "full_name": "Ada", "modified": "2026-11-01T00:00:00Z"}
    api.answers = {
        "/contacts?limit=2": {"data": [ada, {"id": "2"}], "next_page_token": "x"},
        "/contacts?limit=2&page_token=x": {"data": [{"id": "3"}]},
    }
    assert await ids(api, document, "contacts") == {"1", "2", "3"}
    adapter = opened(api, document or {})
    made = adapter.map_record("contacts", msgspec.json.encode(ada), adapter.origin("contacts", NOW, NOW))
    assert {"email": "ada@example.com", "name": "Ada"}.items() <= made.model_dump().items()
