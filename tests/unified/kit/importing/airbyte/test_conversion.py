"""A manifest becomes a document that the engine reads; what can't is refused stream by stream, with the reason."""

from typing import Any

import pytest

from tests.properties import given
from tests.unified.kit.importing.airbyte.forms import (
    FORMS,
    LIST,
    QUERY,
    SUBSTREAM,
    TIMES,
    failing,
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
    prefixed = converted(
        {**signed(type="ApiKeyAuthenticator", api_token="Token {{ config['k'] }}", header="X"), **KEYED}
    )
    assert "with the prefix 'Token'" in prefixed.streams[0].remarks[0]


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
        (stream(requester={"http_method": "POST"}), "another method"),
        (stream(requester={"request_parameters": {"q": ["a"]}}), "a text was expected"),
        (
            stream(requester={"request_parameters": {"q": "{{ stream_interval.start_time }}!"}}),
            "no stream_interval",
        ),
        (signed(type="BasicHttpAuthenticator", username="api", password="{{ config.p }}"), "its user is not"),
        (pages({"type": "PageIncrement"}, QUERY), "no fixed size"),
        (pages({"type": "CursorPagination", "cursor_value": "{{ response.a + 1 }}"}, QUERY), "neither a key"),
        (stream(selector={"extractor": {"field_path": ["a", "*"]}}), "wildcard"),
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
