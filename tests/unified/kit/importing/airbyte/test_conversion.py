"""A manifest becomes a document that the engine reads; what can't is refused stream by stream, with the reason."""

from typing import Any

import pytest

from tests.properties import given
from tests.unified.kit.importing.airbyte.forms import (
    FILES,
    FORMS,
    LIST,
    PARENT,
    QUERY,
    SUBSTREAM,
    TIMES,
    failing,
    job,
    manifest_of,
    pages,
    signed,
    stream,
)
from tests.unified.kit.importing.airbyte.test_manifest import VALUES
from unified.kit.document.model import read
from unified.kit.document.source import DocumentError
from unified.kit.importing.airbyte.conversion import Conversion, convert
from unified.kit.importing.writing import as_yaml

KEYED: dict[str, Any] = {"primary_key": "id"}


def converted(*streams: dict[str, Any], **more: Any) -> Conversion:
    found = convert(manifest_of(*streams, **more), "desk", "Desk")
    if found.document is not None:
        assert read(as_yaml(found.document, found.remarks).encode(), "desk.yaml").id == "desk"
    return found


def only(form: dict[str, Any]) -> dict[str, Any]:
    """The document's one stream, or the whole document's."""
    found = converted({**form, **KEYED})
    assert found.document is not None, found.streams[0].reason
    return dict(found.document)


def contacts(form: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = only(form)["streams"]["contacts"]
    return made


@pytest.mark.parametrize(("name", "form"), [pytest.param(name, form, id=name) for name, _, form in FORMS])
def test_each_form_is_converted_or_says_why_not(name: str, form: dict[str, Any]) -> None:
    (one, *_) = converted({**form, **KEYED}, {**stream("parents"), **KEYED}).streams
    assert (one.said is None) == bool(one.reason)
    if one.said is None:
        assert len(one.reason or "") < 500
        assert "\n" not in (one.reason or "")


def test_authenticators() -> None:
    assert only(signed(type="BearerAuthenticator", api_token="{{ config['t'] }}"))["auth"]["kind"] == "bearer"
    keyed = only(signed(type="ApiKeyAuthenticator", api_token="{{ config.k }}", inject_into=QUERY))["auth"]
    assert (keyed["kind"], keyed["place"], keyed["name"], keyed["secret"]["name"]) == (
        "key",
        "query",
        "page",
        "k",
    )
    basic = only(signed(type="BasicHttpAuthenticator", username="{{ config['u'] }}", password=""))["auth"]
    assert (basic["kind"], basic["place"]) == ("key", "basic_user")


@pytest.mark.parametrize(
    ("token", "header", "said"),
    [
        ("Token {{ config['k'] }}", "X", {"name": "X", "prefix": "Token "}),
        ("{{ config['k'] }}", "Authorization", {"name": "Authorization", "prefix": ""}),
        ("Bearer {{ config['k'] }}", "Authorization", {"kind": "bearer"}),
        ("{{ config['k'] }}", "X", {"name": "X"}),
    ],
)
def test_a_key_has_the_prefix_of_the_manifest_and_none_of_ours(
    token: str, header: str, said: dict[str, Any]
) -> None:
    made = only(signed(type="ApiKeyAuthenticator", api_token=token, header=header))["auth"]
    assert said.items() <= made.items()
    assert ("prefix" in made) == ("prefix" in said)


LOGIN = {
    "type": "HttpRequester",
    "url_base": "https://api.example.test",
    "path": "/login",
    "http_method": "POST",
    "request_body_json": {"user": "{{ config['user'] }}", "password": "{{ config['pw'] }}", "app": "x"},
}
SESSION = {
    "type": "SessionTokenAuthenticator",
    "login_requester": LOGIN,
    "session_token_path": ["data", "token"],
    "request_authentication": {
        "type": "ApiKey",
        "inject_into": {"type": "RequestOption", "inject_into": "header", "field_name": "X-Session"},
    },
}


def test_a_session_token_is_a_login_whose_settings_are_secrets() -> None:
    made = only(signed(**SESSION))["auth"]
    assert [one["name"] for one in made.pop("secrets")] == ["user", "pw"]
    assert made == {
        "kind": "session",
        "path": "/login",
        "body": {"user": "{{ secrets.user }}", "password": "{{ secrets.pw }}", "app": "x"},
        "token": ["data", "token"],
        "header": "X-Session",
        "prefix": "",
    }


BODY_TOKEN = {"type": "RequestOption", "inject_into": "body_json", "field_path": ["variables", "after"]}
CURSOR = {"type": "CursorPagination", "cursor_value": "{{ response.next }}"}


def posted(**requester: Any) -> dict[str, Any]:
    return stream(requester={"http_method": "POST", **requester})


def test_a_body_takes_pages_windows_and_partitions() -> None:
    form = posted(
        request_body={
            "type": "RequestBodyGraphQL",
            "value": {
                "query": "query { things { id } }",
                "variables": {"size": 5, "of": "{{ config['of'] }}"},
            },
        }
    )
    form["retriever"]["paginator"] = {
        "type": "DefaultPaginator",
        "pagination_strategy": {**CURSOR, "page_size": 50},
        "page_token_option": BODY_TOKEN,
        "page_size_option": {"type": "RequestOption", "inject_into": "body_json", "field_name": "limit"},
    }
    form["retriever"]["partition_router"] = {
        **LIST,
        "request_option": {"type": "RequestOption", "inject_into": "body_json", "field_name": "kind"},
    }
    form["incremental_sync"] = {
        **TIMES,
        "start_time_option": {"inject_into": "body_json", "field_path": ["variables", "since"]},
    }
    said = contacts(form)
    assert (said["method"], said["paging"]["parameter"]) == ("POST", ["variables", "after"])
    assert said["changes"]["parameter"] == ["variables", "since"]
    assert said["body"] == {
        "kind": "json",
        "fields": {
            "query": "query { things { id } }",
            "variables": {"size": 5, "of": "{{ settings.of }}"},
            "kind": "{{ partition.kind }}",
            "limit": 50,
        },
    }


def test_a_body_that_names_the_window_and_the_page_itself() -> None:
    form = posted(
        request_body_data={
            "from": "{{ stream_interval['start_time'] }}",
            "page": "{{ next_page_token['next_page_token'] or '' }}",
            "size": 10,
        }
    )
    form["retriever"]["paginator"] = {"type": "DefaultPaginator", "pagination_strategy": CURSOR}
    form["incremental_sync"] = TIMES
    said = contacts(form)
    assert said["body"] == {"kind": "form", "fields": {"size": "10"}}
    assert said["paging"]["parameter"] == ["page"]
    assert said["changes"]["parameter"] == ["from"]


@pytest.mark.parametrize(
    ("stop", "flag"),
    [
        ("{{ not response.get('more') }}", {"more": ["more"]}),
        ("{{ response.more is none }}", {"more": ["more"]}),
        ("{{ response.more == false }}", {"more": ["more"]}),
        ("{{ response['is_last'] }}", {"end": ["is_last"]}),
        ("{{ response.meta.is_last == true }}", {"end": ["meta", "is_last"]}),
        ("{{ not response.next }}", {}),
    ],
)
def test_what_stops_is_a_flag(stop: str, flag: dict[str, Any]) -> None:
    form = pages({**CURSOR, "stop_condition": stop}, QUERY)
    assert contacts(form)["paging"] == {"kind": "token", "parameter": "page", "token": ["next"], **flag}


@pytest.mark.parametrize(
    ("value", "stop", "said"),
    [
        ("{{ response.page + 1 }}", None, {"value": "{{ response.page + 1 }}"}),
        ("{{ headers['X-Next'] }}", None, {"value": "{{ headers['x-next'] }}"}),
        (
            "{{ last_record['id'] }}",
            "{{ last_page_size < 50 }}",
            {"value": "{{ last_record['id'] }}", "stop": "{{ last_page_size < 50 }}"},
        ),
        (
            "{{ response.next }}",
            "{{ response.page >= config['most'] | int }}",
            {"value": "{{ response.next }}", "stop": "{{ response.page >= settings.most | int }}"},
        ),
    ],
)
def test_a_cursor_that_is_more_than_a_key_is_computed(
    value: str, stop: str | None, said: dict[str, Any]
) -> None:
    strategy = {"type": "CursorPagination", "cursor_value": value, "stop_condition": stop}
    assert contacts(pages(strategy, QUERY))["paging"] == {"kind": "computed", "parameter": "page", **said}
    assert "parameter" not in contacts(pages(strategy, {"type": "RequestPath"}))["paging"]


def test_pages() -> None:
    strategy = {"type": "PageIncrement", "page_size": 50, "start_from_page": 1}
    assert contacts(pages(strategy, QUERY))["paging"] == {
        "kind": "page",
        "parameter": "page",
        "size": 50,
        "first": 1,
    }
    token = {"type": "CursorPagination", "cursor_value": "{{ response.get('meta', {}).get('next') }}"}
    assert contacts(pages(token, QUERY))["paging"] == {
        "kind": "token",
        "parameter": "page",
        "token": ["meta", "next"],
    }
    assert contacts(pages(token, {"type": "RequestPath"}))["paging"]["kind"] == "next_link"
    last = {
        "type": "CursorPagination",
        "cursor_value": "{{ last_record['id'] }}",
        "stop_condition": "{{ not response.more }}",
    }
    assert contacts(pages(last, QUERY))["paging"] == {
        "kind": "after_id",
        "parameter": "page",
        "id": ["id"],
        "more": ["more"],
    }


def test_changes_partitions_filters_and_fields() -> None:
    said = contacts(stream(incremental_sync={**TIMES, "start_time_option": {**QUERY, "field_name": "since"}}))
    assert said["changes"] == {
        "parameter": "since", "format": "epoch", "changed_at": ["at"], "lookback_seconds": 86400,
        "granularity_seconds": 1,
    }  # fmt: skip
    listed = contacts(
        stream(requester={"path": "/{{ stream_slice['kind'] }}/x"}, retriever={"partition_router": LIST})
    )
    assert listed["partition"] == {"values": ["a", "b"], "partition_field": "kind"}
    assert listed["path"] == "/{{ partition.kind }}/x"
    changed = contacts(
        stream(
            selector={"record_filter": {"condition": "{{ record.a > 1 }}"}},
            transformations=[
                {"type": "AddFields", "fields": [{"path": ["x"], "value": "{{ record['id'] }}"}]},
                {"type": "RemoveFields", "field_pointers": [["y"]]},
            ],
        )
    )
    assert changed["filter"] == "{{ record.a > 1 }}"
    assert [one["do"] for one in changed["transformations"]] == ["add", "remove"]


def test_a_cursor_with_an_end_goes_by_steps_from_its_start() -> None:
    options = {
        "start_time_option": {**QUERY, "field_name": "since"},
        "end_time_option": {**QUERY, "field_name": "until"},
    }
    start = {
        "type": "MinMaxDatetime",
        "datetime": "{{ config['start_date'] }}",
        "datetime_format": "%d.%m.%Y",
    }
    said = contacts(stream(incremental_sync={**TIMES, **options, "start_datetime": start}))["changes"]
    assert (said["step_seconds"], said["end_parameter"]) == (30 * 86_400, "until")
    assert said["start"] == "{{ format_datetime(settings.start_date, 'iso', '%d.%m.%Y') }}"


def test_a_start_that_is_not_carried_over_is_a_remark() -> None:
    options = {f"{name}_time_option": {**QUERY, "field_name": name} for name in ("start", "end")}
    start = {"type": "MinMaxDatetime", "datetime": "2020-01-01", "min_datetime": "{{ now_utc() }}"}
    cursor = {**TIMES, **options, "start_datetime": start}
    (one,) = converted({**stream(incremental_sync=cursor), **KEYED}).streams
    assert one.said is not None
    assert one.said["changes"].keys() >= {"parameter", "end_parameter", "step_seconds"}
    assert "start" not in one.said["changes"]
    assert any("asks for all of the list" in remark for remark in one.remarks)


def test_a_product_of_routers_and_new_parents() -> None:
    start = {"start_time_option": {**QUERY, "field_name": "since"}}
    child = stream(
        "children",
        incremental_sync={**TIMES, **start},
        retriever={"partition_router": [SUBSTREAM, LIST]},
    )
    found = converted({**child, **KEYED}, {**stream("parents"), **KEYED}).document
    assert found is not None
    said = found["streams"]["children"]
    assert [one["partition_field"] for one in said["partition"]] == ["p", "kind"]
    assert said["changes"]["per_partition"] is True


def test_several_parents_of_a_router_and_several_routers_of_parents() -> None:
    several = {**SUBSTREAM, "parent_stream_configs": [PARENT, {**PARENT, "stream": stream("others")}]}
    both = {**SUBSTREAM, "parent_stream_configs": [{**PARENT, "partition_field": "q"}]}
    streams = {
        "any": stream("any", retriever={"partition_router": several}),
        "each": stream("each", retriever={"partition_router": [SUBSTREAM, both]}),
        "parents": stream("parents"),
        "others": stream("others"),
    }
    found = converted(*({**one, **KEYED} for one in streams.values())).document
    assert found is not None
    parents = found["streams"]["any"]["partition"]["any_of"]
    assert [(one["stream"], one["partition_field"]) for one in parents] == [("parents", "p"), ("others", "p")]
    assert [one["partition_field"] for one in found["streams"]["each"]["partition"]] == ["p", "q"]
    streams.pop("others")
    left = converted(*({**one, **KEYED} for one in streams.values()))
    assert "its parent others is not among" in str(left.streams[0].reason)


def test_what_time_it_is_may_be_asked_in_requests() -> None:
    form = stream(requester={"request_parameters": {"day": "{{ day_delta(-1, '%Y-%m-%d') }}"}})
    assert contacts(form)["parameters"] == {"day": "{{ day_delta(-1, '%Y-%m-%d') }}"}


@pytest.mark.parametrize(
    ("decoder", "said"),
    [
        ({"type": "CsvDecoder", "delimiter": "\\t"}, {"kind": "csv", "delimiter": "\t", "encoding": "utf-8"}),
        ({"type": "GzipDecoder", "decoder": {"type": "JsonlDecoder"}}, {"kind": "jsonl", "gzip": True}),
        (
            {
                "type": "CompositeRawDecoder",
                "parser": {"type": "GzipParser", "inner_parser": {"type": "CsvParser", "encoding": "latin1"}},
            },
            {"kind": "csv", "gzip": True, "delimiter": ",", "encoding": "latin-1"},
        ),
        ({"type": "JsonDecoder"}, None),
        ({"type": "XmlDecoder"}, {"kind": "xml"}),
        (
            {"type": "ZipfileDecoder", "decoder": {"type": "CsvDecoder"}},
            {"kind": "csv", "zip": True, "delimiter": ",", "encoding": "utf-8"},
        ),
        ({"type": "GzipDecoder"}, {"kind": "json", "gzip": True}),
    ],
)
def test_decoders(decoder: dict[str, Any], said: dict[str, Any] | None) -> None:
    assert contacts(stream(retriever={"decoder": decoder})).get("decoder") == said


def test_records_at_wildcards_and_alone() -> None:
    nested = {"type": "DpathExtractor", "field_path": ["a b", "*", "it's"]}
    assert contacts(stream(selector={"extractor": nested}))["records"] == "$['a b'][*]['it\\'s']"
    alone = contacts(stream(selector={"extractor": {"type": "DpathExtractor", "field_path": []}}))
    assert alone["may_be_one"] is True


def test_a_job_is_begun_asked_after_and_read_by_what_answers_say() -> None:
    made = contacts(job())
    assert (made["path"], made["parameters"], made["records"]) == (
        "/exports",
        {"of": "contacts"},
        ["rows"],
    )
    assert made["job"] == {
        "outputs": {"id": "{{ response['data']['id'] }}"},
        "status": {
            "path": "/exports/{{ job.id }}",
            "at": ["data", "state"],
            "running": ["queued"],
            "completed": ["done"],
            "failed": ["broken", "late"],
            "outputs": {"file": "{{ response.data.file }}"},
        },
        "download": {"path": "/exports/{{ job.id }}/{{ job.file }}"},
        "delete": {"path": "/exports/{{ job.id }}", "method": "DELETE"},
        "timeout_seconds": 1800,
    }


def test_what_an_answer_has_at_a_place_without_a_name_is_named_after_the_answer() -> None:
    form = job()
    form["retriever"]["polling_requester"] |= {"path": "/exports/{{ creation_response[0] }}"}
    form["retriever"]["download_requester"] |= {"path": "/files/{{ polling_response['7'] }}"}
    made = contacts(form)["job"]
    assert made["outputs"]["creation"] == "{{ response[0] }}"
    assert made["status"]["path"] == "/exports/{{ job.creation }}"
    assert made["status"]["outputs"] == {"polling": "{{ response['7'] }}"}
    assert made["download"] == {"path": "/files/{{ job.polling }}"}


def test_a_job_of_files_names_their_urls_and_a_person_their_hosts() -> None:
    found = converted({**job(**FILES), **KEYED})
    assert found.document is not None
    made = found.document["streams"]["contacts"]
    assert made["job"]["urls"] == "$['files'][*]['url']"
    assert made["decoder"] == {"kind": "csv"}
    assert any("add the hosts" in one for one in found.streams[0].remarks)


@pytest.mark.parametrize(
    ("minutes", "seconds"), [("30", 1800), (5_000, 86_400), ("{{ config['minutes'] }}", None), (0, None)]
)
def test_how_long_a_job_may_take_is_a_number_or_a_remark(minutes: Any, seconds: int | None) -> None:
    found = converted({**job(polling_job_timeout=minutes), **KEYED})
    assert found.document is not None
    assert found.document["streams"]["contacts"]["job"].get("timeout_seconds") == seconds
    is_said = any("how long its job may take" in one for one in found.streams[0].remarks)
    assert is_said == (seconds is None and minutes != 0)


ELSEWHERE = {"type": "HttpRequester", "url_base": "https://other.example.test", "path": "/x"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"url_requester": ELSEWHERE}, "a request of its own"),
        ({"download_target_requester": ELSEWHERE, **FILES}, "a request of its own"),
        ({"polling_requester": ELSEWHERE}, "its polling_requester goes to another host"),
        ({"polling_requester": None}, "has no polling_requester"),
        (
            {
                **FILES,
                "polling_requester": {**ELSEWHERE, "url_base": "https://api.example.test"},
                "delete_requester": None,
            },
            "which job its status",
        ),
        ({"download_requester": {**ELSEWHERE, "authenticator": {"type": "NoAuth"}}}, "another authenticator"),
        ({"status_extractor": {"type": "DpathExtractor", "field_path": ["*"]}}, "its status does not stand"),
        (
            {
                "download_requester": {
                    **ELSEWHERE,
                    "url_base": "https://api.example.test",
                    "path": "/{{ creation_response.id }}/{{ download_target }}",
                }
            },
            "it needs download_target",
        ),
    ],
)
def test_a_job_that_documents_can_not_do_is_a_reason(more: dict[str, Any], reason: str) -> None:
    assert reason in str(converted({**job(**more), **KEYED}).streams[0].reason)


def test_a_child_goes_with_its_parent() -> None:
    child = {**stream("children", retriever={"partition_router": SUBSTREAM}), **KEYED}
    both = converted(child, {**stream("parents"), **KEYED})
    assert [one.reason for one in both.streams] == [None, None]
    alone = converted(child, {**stream("contacts"), **KEYED})
    assert "its parent parents is not among the streams" in str(alone.streams[0].reason)
    assert alone.document is not None
    assert list(alone.document["streams"]) == ["contacts"]


def test_settings_are_named_and_a_secret_goes_nowhere_else() -> None:
    spec = {"connection_specification": {"properties": {
        "Sub Domain": {"description": "Of <b>your</b> account."}, "key": {"airbyte_secret": True}}}}  # fmt: skip
    place = {
        "url_base": "https://{{ config['Sub Domain'] }}.example.test/v1",
        "path": "/{{ parameters['p'] }}",
    }
    found = converted({**stream(requester={**place, "$parameters": {"p": "people"}}), **KEYED}, spec=spec)
    assert found.document is not None
    assert found.document["hosts"] == ["*.example.test"]
    assert found.document["base_url"] == "https://{{ settings.sub_domain }}.example.test"
    assert found.document["settings"] == {"sub_domain": {"description": "Of your account."}}
    assert found.document["streams"]["contacts"]["path"] == "/v1/people"
    leaking = converted({**stream(requester={"path": "/x?k={{ config['key'] }}"}), **KEYED})
    assert "secret 'key' stands outside" in str(leaking.streams[0].reason)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (stream(requester={"url_base": "{{ config['url'] }}"}), "must not name the whole"),
        (stream(requester={"url_base": "http://api.example.test"}), "is plain http, not https"),
        (stream(requester={"path": "https://evil.example.test/x"}), "names a host"),
        (stream(requester={"http_method": "PUT"}), "another method"),
        (stream(requester={"request_body_json": {"a": 1}}), "have a body and are sent by GET"),
        (posted(request_body_json="{{ config }}"), "one expression or text"),
        (
            posted(request_body={"type": "RequestBodyPlainText", "value": "x"}),
            "documents send JSON and forms",
        ),
        (posted(request_body_json={"a": ["{{ stream_slice.start_time }}"]}), "in a list of its body"),
        (posted(request_body_json={"a": "{{ config['key'] }}"}), "secret 'key' stands outside"),
        (signed(**SESSION | {"login_requester": {**LOGIN, "http_method": "GET"}}), "not a POST"),
        (
            signed(**SESSION | {"login_requester": {**LOGIN, "url_base": "https://evil.example.test"}}),
            "login is at another host",
        ),
        (
            signed(
                **SESSION | {"login_requester": {**LOGIN, "authenticator": {"type": "BearerAuthenticator"}}}
            ),
            "signed itself",
        ),
        (stream(requester={"request_parameters": {"q": ["a"]}}), "a text was expected"),
        (
            stream(requester={"request_parameters": {"q": "{{ stream_interval.start_time }}!"}}),
            "no stream_interval",
        ),
        (signed(type="BasicHttpAuthenticator", username="api", password="{{ config.p }}"), "its user is not"),
        (pages({"type": "PageIncrement", "page_size": "{{ config['s'] }}"}, QUERY), "no fixed size"),
        (pages({"type": "PageIncrement"}, {}), "nothing says what of a request takes"),
        (pages({"type": "CursorPagination", "cursor_value": "x"}, QUERY), "the same for each page"),
        (
            pages({"type": "CursorPagination", "cursor_value": "{{ range(9) }}"}, QUERY),
            "there is no function",
        ),
        (stream(selector={"extractor": {"field_path": ["a*"]}}), "at an expression"),
        (
            stream(retriever={"decoder": {"type": "JsonItemsDecoder"}}),
            "JsonItemsDecoder: answers are read as",
        ),
        (
            stream(retriever={"decoder": {"type": "CsvDecoder", "encoding": "ebcdic"}}),
            "encoding that is not read",
        ),
        (failing(response_filters=[{"action": "SUCCESS", "http_codes": [404]}]), "taken for a success"),
    ],
)
def test_what_documents_do_not_have_is_a_reason(form: dict[str, Any], reason: str) -> None:
    odd, plain = converted(
        {**form, **KEYED}, {**stream("plain"), **KEYED}, {**stream("other"), **KEYED}
    ).streams[:2]
    assert reason in str(odd.reason)
    assert plain.reason is None


def test_without_an_id_there_is_no_stream() -> None:
    assert "no primary key" in str(converted(stream()).streams[0].reason)


def test_a_stream_of_customers_lands_there_with_rules_and_any_other_in_records() -> None:
    properties = {
        "id": {"type": "integer"},
        "email": {"type": ["null", "string"]},
        "full_name": {"type": "string"},
    }
    loader = {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": properties}}
    found = converted(
        {**stream(schema_loader=loader), **KEYED}, {**stream("tickets", schema_loader=loader), **KEYED}
    )
    assert found.document is not None
    made = found.document["streams"]
    assert (made["contacts"]["entity"], made["tickets"]["entity"]) == ("customers", "records")
    assert {one["target"] for one in made["contacts"]["mapping"]["rules"]} == {"email", "name"}


@given(VALUES, VALUES)
def test_whatever_a_stream_says_it_is_converted_or_refused(one: Any, retriever: Any) -> None:
    try:
        manifest = manifest_of(
            *([one] if isinstance(one, dict) else []), {**stream("x"), "retriever": retriever}
        )
    except DocumentError:
        return
    for made in convert(manifest, "desk", "Desk").streams:
        assert (made.said is None) == bool(made.reason)
