"""Manifests in every form that the reference of components counts, made by hand. None is a system's."""

from typing import Any

import msgspec

from unified.kit.importing.airbyte.manifest import Manifest, read_manifest
from unified.kit.importing.airbyte.needs.components import NEEDS
from unified.kit.importing.airbyte.needs.examination import ExaminedStream, examine

BASIS, PARENTS, LISTS, FIELDS, OAUTH, SESSIONS, WAITS, BODIES, DYNAMIC = NEEDS


def stream(name: str = "contacts", **more: Any) -> dict[str, Any]:
    """A stream of the simplest form; ``more`` are further keys of its retriever, or of the stream."""
    requester = {
        "type": "HttpRequester",
        "url_base": "https://api.example.test",
        "path": "/contacts",
        "authenticator": {
            "type": "ApiKeyAuthenticator",
            "api_token": "{{ config['key'] }}",
            "header": "X-Key",
        },
        **more.pop("requester", {}),
    }
    selector = {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": ["data"]}}
    retriever = {
        "type": "SimpleRetriever",
        "requester": requester,
        "record_selector": {**selector, **more.pop("selector", {})},
        **more.pop("retriever", {}),
    }
    return {"type": "DeclarativeStream", "name": name, "retriever": retriever, **more}


def manifest_of(*streams: dict[str, Any], **more: Any) -> Manifest:
    return read_manifest(msgspec.json.encode({"streams": list(streams), **more}), "m.json")


def examined(*streams: dict[str, Any], **more: Any) -> list[ExaminedStream]:
    return examine(manifest_of(*streams, **more))


def pages(strategy: dict[str, Any], into: dict[str, Any]) -> dict[str, Any]:
    paginator = {"type": "DefaultPaginator", "pagination_strategy": strategy, "page_token_option": into}
    return stream(retriever={"paginator": paginator})


def signed(**authenticator: Any) -> dict[str, Any]:
    return stream(requester={"authenticator": authenticator})


def failing(**handler: Any) -> dict[str, Any]:
    return stream(requester={"error_handler": {"type": "DefaultErrorHandler", **handler}})


QUERY = {"type": "RequestOption", "inject_into": "request_parameter", "field_name": "page"}
PARENT = {
    "type": "ParentStreamConfig",
    "stream": stream("parents"),
    "parent_key": "id",
    "partition_field": "p",
}
SUBSTREAM = {"type": "SubstreamPartitionRouter", "parent_stream_configs": [PARENT]}
LIST = {"type": "ListPartitionRouter", "values": ["a", "b"], "cursor_field": "kind"}
TIMES = {
    "type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%s", "step": "P30D",
    "cursor_granularity": "PT1S", "lookback_window": "P1D",
    "start_datetime": {"type": "MinMaxDatetime", "datetime": "{{ config['start_date'] }}"},
    "end_datetime": "{{ now_utc().strftime('%Y-%m-%d') }}",
}  # fmt: skip


def job(**more: Any) -> dict[str, Any]:
    """A stream whose records a job makes; ``more`` are further keys of its retriever."""
    made = stream()
    requester = {**made["retriever"]["requester"], "path": "/exports"}

    def at(path: str, **said: Any) -> dict[str, Any]:
        return {**requester, "path": path, **said}

    one = "/exports/{{ creation_response['data']['id'] }}"
    retriever = {
        "type": "AsyncRetriever",
        "creation_requester": at("/exports", http_method="POST", request_parameters={"of": "contacts"}),
        "polling_requester": at(one),
        "status_extractor": {"type": "DpathExtractor", "field_path": ["data", "state"]},
        "status_mapping": {
            "type": "AsyncJobStatusMap",
            "running": ["queued"], "completed": ["done"], "failed": ["broken"], "timeout": ["late"],
        },
        "download_requester": at(f"{one}/{{{{ polling_response.data.file }}}}"),
        "download_extractor": {"type": "DpathExtractor", "field_path": ["rows"]},
        "delete_requester": at(one, http_method="DELETE"),
        "polling_job_timeout": 30,
        "record_selector": made["retriever"]["record_selector"],
        **more,
    }  # fmt: skip
    return {**made, "retriever": retriever}


FILES = {
    "download_requester": {"type": "HttpRequester", "url": "{{ download_target }}"},
    "download_target_extractor": {"type": "DpathExtractor", "field_path": ["files", "*", "url"]},
    "download_extractor": {"type": "ResponseToFileExtractor"},
}

FORMS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "key in the query",
        BASIS,
        signed(type="ApiKeyAuthenticator", api_token="{{ config.k }}", inject_into=QUERY),
    ),
    ("bearer", BASIS, signed(type="BearerAuthenticator", api_token="{{ config['t'] }}")),
    ("basic", BASIS, signed(type="BasicHttpAuthenticator", username="{{ config['u'] }}", password="")),
    ("none", BASIS, signed(type="NoAuth")),
    ("page", BASIS, pages({"type": "PageIncrement", "page_size": 50}, QUERY)),
    ("offset", BASIS, pages({"type": "OffsetIncrement", "page_size": 50}, QUERY)),
    ("cursor", BASIS, pages({"type": "CursorPagination", "cursor_value": "{{ response.next }}"}, QUERY)),
    (
        "link",
        BASIS,
        pages({"type": "CursorPagination", "cursor_value": "{{ headers['link'] }}"}, {"type": "RequestPath"}),
    ),
    (
        "last record",
        BASIS,
        pages({"type": "CursorPagination", "cursor_value": "{{ last_record['id'] }}"}, QUERY),
    ),
    ("times", BASIS, stream(incremental_sync=TIMES)),
    (
        "errors",
        BASIS,
        failing(response_filters=[{"type": "HttpResponseFilter", "action": "IGNORE", "http_codes": [404]}]),
    ),
    ("wildcard", BASIS, stream(selector={"extractor": {"type": "DpathExtractor", "field_path": ["a", "*"]}})),
    ("parent", PARENTS, stream(retriever={"partition_router": SUBSTREAM})),
    ("list", LISTS, stream(retriever={"partition_router": LIST})),
    ("product", LISTS, stream(retriever={"partition_router": [SUBSTREAM, LIST]})),
    (
        "added",
        FIELDS,
        stream(
            transformations=[
                {"type": "AddFields", "fields": [{"path": ["x"], "value": "{{ record['id'] }}"}]}
            ]
        ),
    ),
    ("removed", FIELDS, stream(transformations=[{"type": "RemoveFields", "field_pointers": [["x"]]}])),
    ("filter", FIELDS, stream(selector={"record_filter": {"condition": "{{ record.a > 1 }}"}})),
    (
        "OAuth",
        OAUTH,
        signed(type="OAuthAuthenticator", client_id="{{ config['id'] }}", grant_type="client_credentials"),
    ),
    ("choice", SESSIONS, signed(type="SelectiveAuthenticator", authenticators={"a": {"type": "NoAuth"}})),
    ("session", SESSIONS, signed(type="SessionTokenAuthenticator", session_token_path=["t"])),
    ("wait", WAITS, failing(backoff_strategies=[{"type": "WaitTimeFromHeader", "header": "Retry-After"}])),
    ("body", BODIES, stream(requester={"http_method": "POST", "request_body_json": {"type": "Contact"}})),
    ("JWT", BODIES, signed(type="JwtAuthenticator", secret_key="{{ config['s'] }}")),
    ("CSV", BODIES, stream(retriever={"decoder": {"type": "CsvDecoder"}})),
    ("token in the body", BODIES, pages({"type": "PageIncrement"}, {**QUERY, "inject_into": "body_json"})),
    ("job", DYNAMIC, job()),
    (
        "groups",
        DYNAMIC,
        stream(retriever={"partition_router": {"type": "GroupingPartitionRouter", "group_size": 10}}),
    ),
]
