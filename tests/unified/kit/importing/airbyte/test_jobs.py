"""An ``AsyncRetriever`` by the facts of the schema of declarative components: each key, and each kind that it may hold.

The schema is published with ``airbyte-cdk`` (7.39.1, ``declarative_component_schema.yaml``) and in the reference:
https://docs.airbyte.com/platform/connector-development/config-based/understanding-the-yaml-file/reference/AsyncRetriever
"""

from typing import Any

import pytest

from tests.unified.kit.importing.airbyte.forms import LIST, job
from tests.unified.kit.importing.airbyte.test_conversion import KEYED, contacts, converted

REQUIRED = (
    "status_mapping",
    "status_extractor",
    "creation_requester",
    "polling_requester",
    "download_requester",
)
ELSEWHERE = {"type": "HttpRequester", "url_base": "https://api.example.test", "path": "/x"}
KEYS = {"type": "DpathExtractor", "field_path": ["a"]}
BOTH = {"type": "CombinedExtractor", "extractors": [KEYS]}
WORDS = {"running": ["r"], "completed": ["c"], "failed": ["f"], "timeout": ["t"], "skipped": ["s"]}
STATUS = {"type": "AsyncJobStatusMap", **WORDS}
GROUPS = {"type": "GroupingPartitionRouter", "group_size": 2, "underlying_partition_router": LIST}


def custom(kind: str) -> dict[str, Any]:
    return {"type": kind, "class_name": "source_desk.components.Own"}


# By key, the kinds that the schema lets it hold; beside each, what says that a document can't, or None.
KINDS: list[tuple[str, dict[str, Any], str | None]] = [
    ("creation_requester", custom("CustomRequester"), "CustomRequester"),
    ("polling_requester", custom("CustomRequester"), "CustomRequester"),
    ("download_requester", custom("CustomRequester"), "CustomRequester"),
    ("abort_requester", {**ELSEWHERE, "http_method": "DELETE"}, None),
    ("abort_requester", custom("CustomRequester"), "CustomRequester"),
    ("delete_requester", custom("CustomRequester"), "CustomRequester"),
    ("download_target_requester", ELSEWHERE, "a request of its own says where its results are"),
    ("status_extractor", KEYS, None),
    ("status_extractor", custom("CustomRecordExtractor"), "CustomRecordExtractor"),
    ("status_extractor", BOTH, "CombinedExtractor"),
    ("download_extractor", KEYS, None),
    ("download_extractor", {"type": "ResponseToFileExtractor"}, None),
    ("download_extractor", custom("CustomRecordExtractor"), "CustomRecordExtractor"),
    ("download_extractor", BOTH, "CombinedExtractor"),
    ("download_paginator", {"type": "NoPagination"}, None),
    (
        "download_paginator",
        {
            "type": "DefaultPaginator",
            "pagination_strategy": {"type": "CursorPagination", "cursor_value": "{{ response.next }}"},
            "page_token_option": {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "p"},
        },
        None,
    ),
    ("partition_router", LIST, None),
    ("partition_router", GROUPS, "GroupingPartitionRouter"),
    ("partition_router", {"type": "UnionPartitionRouter", "partition_routers": [LIST]}, "UnionPartitionRouter"),
    ("partition_router", custom("CustomPartitionRouter"), "CustomPartitionRouter"),
    ("decoder", {"type": "JsonDecoder"}, None),
    *(("decoder", {"type": kind}, f"{kind} reads its answers about a job") for kind in (
        "CsvDecoder", "GzipDecoder", "JsonlDecoder", "IterableDecoder", "XmlDecoder", "ZipfileDecoder",
        "JsonItemsDecoder")),
    ("decoder", custom("CustomDecoder"), "CustomDecoder"),
    *(("download_decoder", {"type": kind}, None) for kind in (
        "JsonDecoder", "JsonlDecoder", "CsvDecoder", "XmlDecoder")),
    *(("download_decoder", {"type": kind, "decoder": {"type": "CsvDecoder"}}, None) for kind in (
        "GzipDecoder", "ZipfileDecoder")),
    *(("download_decoder", {"type": kind}, kind) for kind in ("IterableDecoder", "JsonItemsDecoder")),
    ("download_decoder", custom("CustomDecoder"), "CustomDecoder"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "held", "reason"), KINDS)
def test_each_kind_that_a_key_may_hold_is_converted_or_named(
    key: str, held: dict[str, Any], reason: str | None
) -> None:
    (one, *_) = converted({**job(**{key: held}), **KEYED}).streams
    if reason is None:
        assert one.reason is None
    else:
        assert reason in str(one.reason)


@pytest.mark.parametrize("key", REQUIRED)
def test_without_a_key_that_is_required_it_is_not_converted(key: str) -> None:
    form = job()
    del form["retriever"][key]
    (one,) = converted({**form, **KEYED}).streams
    assert one.said is None
    assert one.reason
    assert "\n" not in one.reason


def test_each_of_the_five_words_of_a_status_has_its_meaning() -> None:
    made = contacts(job(status_mapping=STATUS))["job"]["status"]
    ours = ("running", "completed", "skipped", "failed")
    assert {key: made[key] for key in ours} == {
        "running": ["r"], "completed": ["c"], "skipped": ["s"], "failed": ["f", "t"],
    }  # fmt: skip
    empty = contacts(job(status_mapping={**STATUS, "running": [], "timeout": [], "skipped": None}))["job"][
        "status"
    ]
    assert {key: empty.get(key) for key in ours} == {
        "running": None, "completed": ["c"], "skipped": None, "failed": ["f"],
    }  # fmt: skip


def test_what_is_not_said_is_what_the_schema_says() -> None:
    """A job may take an hour; its results are one JSON list, on one page."""
    form = job()
    for key in ("polling_job_timeout", "download_extractor", "delete_requester"):
        form["retriever"].pop(key)
    made = contacts(form)
    assert not {"records", "decoder", "paging"} & made.keys()
    assert not {"timeout_seconds", "delete", "abort"} & made["job"].keys()


@pytest.mark.parametrize(
    "header",
    ["['headers']['X-Job']", ".headers['X-Job']", ".get('headers').get('X-Job')", '["headers"]["X-Job"]'],
)
def test_a_header_of_an_answer_is_one(header: str) -> None:
    """The engine adds ``headers`` and ``request`` to what an answer's body has."""
    form = job()
    form["retriever"]["polling_requester"] |= {"path": f"/exports/{{{{ creation_response{header} }}}}"}
    form["retriever"]["download_requester"] |= {"path": "/rows"}
    form["retriever"].pop("delete_requester")
    made = contacts(form)["job"]
    (name,) = made["outputs"]
    assert made["outputs"][name].replace('"', "'") in ("{{ headers['x-job'] }}", "{{ headers.get('x-job') }}")
    assert made["status"]["path"] == f"/exports/{{{{ job.{name} }}}}"


def test_the_request_of_an_answer_is_not_had() -> None:
    form = job()
    form["retriever"]["polling_requester"] |= {"path": "/exports/{{ creation_response['request']['url'] }}"}
    (one,) = converted({**form, **KEYED}).streams
    assert "it needs the request to which the answer that begins the job is the answer" in str(one.reason)


def test_a_wait_before_a_failed_job_is_begun_again_is_a_remark() -> None:
    found = converted({**job(failed_retry_wait_time_in_seconds=60), **KEYED})
    assert any("is begun again at once" in one for one in found.streams[0].remarks)
