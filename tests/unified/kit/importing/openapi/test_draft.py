"""A draft says of each path what became of it; guesses are named, and one that would lose records is no stream."""

from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.kit.document.model import read
from unified.kit.document.source import DocumentError
from unified.kit.importing.openapi.draft import Draft, draft
from unified.kit.importing.openapi.spec import read_spec
from unified.kit.importing.writing import as_yaml

CONTACT_ITSELF = {"$ref": "#/components/schemas/Contact"}
CONTACT = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "email": {"type": ["string", "null"]},
        "full_name": {"type": "string"},
        "modified": {"type": "string", "format": "date-time"},
        "parent": CONTACT_ITSELF,
    },
}
KEY = {"type": "apiKey", "in": "header", "name": "X-Key", "description": "From <b>settings</b>."}


def query(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": "string", **schema}}


def lists(*parameters: dict[str, Any], answer: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A path whose GET lists contacts; ``answer`` are further properties beside ``data``."""
    records = {"type": "array", "items": {"$ref": "#/components/schemas/Contact"}}
    schema = {"type": "object", "properties": {"data": records, **(answer or {})}}
    said = {"content": {"application/json": {"schema": schema}}, **more}
    return {"get": {"parameters": list(parameters), "responses": {"200": {"description": "", **said}}}}


def spec(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Desk", "version": "1"},
        "servers": [{"url": "https://api.example.test/v1"}],
        "paths": paths,
        "components": {"schemas": {"Contact": CONTACT}, "securitySchemes": {"key": KEY}},
        **more,
    }


def drafted(paths: dict[str, Any], **more: Any) -> Draft:
    found = draft(read_spec(msgspec.json.encode(spec(paths, **more)), "api.json"), "desk")
    if found.document is not None:
        assert read(as_yaml(found.document, found.remarks).encode(), "desk.yaml").id == "desk"
    return found


def contacts(path: dict[str, Any]) -> dict[str, Any]:
    found = drafted({"/contacts": path})
    assert found.document is not None, found.paths[0].reason
    made: dict[str, Any] = found.document["streams"]["contacts"]
    return made


NEXT = {"type": "string"}
OFFSETS = (query("offset", type="integer"), query("limit", type="integer", maximum=50))


@pytest.mark.parametrize(
    ("path", "paging"),
    [
        (lists(), None),
        (
            lists(query("starting_after"), answer={"has_more": {"type": "boolean"}}),
            {"kind": "after_id", "parameter": "starting_after", "more": ["has_more"]},
        ),
        (
            lists(query("page_token"), answer={"next_page_token": NEXT}),
            {"kind": "token", "parameter": "page_token", "token": ["next_page_token"]},
        ),
        (
            lists(query("cursor"), answer={"meta": {"type": "object", "properties": {"next_cursor": NEXT}}}),
            {"kind": "token", "parameter": "cursor", "token": ["meta", "next_cursor"]},
        ),
        (
            lists(answer={"links": {"type": "object", "properties": {"next": NEXT}}}),
            {"kind": "next_link", "link": ["links", "next"]},
        ),
        (lists(headers={"Link": {"schema": NEXT}}), {"kind": "link_header"}),
        (lists(*OFFSETS), {"kind": "offset", "parameter": "offset", "size": 50, "size_parameter": "limit"}),
        (
            lists(query("page", type="integer", default=0), query("per_page", type="integer", default=20)),
            {"kind": "page", "parameter": "page", "size": 20, "size_parameter": "per_page", "first": 0},
        ),
    ],
)
def test_pages_are_guessed(path: dict[str, Any], paging: dict[str, Any] | None) -> None:
    assert contacts(path).get("paging") == paging


def test_changes_rules_and_the_single_record_are_found() -> None:
    path = lists(query("updated_since", format="date-time"), *OFFSETS)
    found = drafted({"/contacts": path, "/contacts/{contactId}": {"get": {"responses": {}}}})
    assert found.document is not None
    made = found.document["streams"]["contacts"]
    assert made["entity"] == "customers"
    assert made["changes"] == {"parameter": "updated_since", "format": "iso", "changed_at": ["modified"]}
    assert made["one"] == "/contacts/{id}"
    assert {rule["target"] for rule in made["mapping"]["rules"]} == {"email", "name", "updated_at"}
    assert any("oldest first" in remark for remark in found.paths[0].remarks)
    assert found.paths[1].reason == "it is a single record"


def test_a_list_below_a_record_is_a_partition_of_its_list() -> None:
    found = drafted({"/contacts/{cid}/notes": lists(), "/contacts": lists(), "/teams/{t}/x": lists()})
    assert found.document is not None
    made = found.document["streams"]["notes"]
    assert made["path"] == "/contacts/{{ partition.cid }}/notes"
    assert made["partition"] == {"stream": "contacts", "parent_key": ["id"], "partition_field": "cid"}
    assert found.paths[2].reason == "a part of its path is given by no list"


def test_the_list_is_the_one_that_is_called_like_its_path_and_the_id_like_its_stream() -> None:
    rows = {
        "type": "array",
        "items": {"type": "object", "properties": {"BankTransferID": NEXT, "Amount": NEXT}},
    }
    notes = {"type": "array", "items": {"type": "object", "properties": {"id": NEXT, "Message": NEXT}}}
    schema = {"type": "object", "properties": {"Warnings": notes, "BankTransfers": rows}}
    answer = {"description": "", "content": {"application/json": {"schema": schema}}}
    found = drafted({"/BankTransfers": {"get": {"responses": {"200": answer}}}})
    assert found.document is not None
    made = found.document["streams"]["bank_transfers"]
    assert (made["records"], made["mapping"]["id"]) == (["BankTransfers"], {"paths": ["BankTransferID"]})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (lists(query("page", type="integer")), "nothing says where the last one is"),
        (lists(query("cursor")), "nothing says where the last one is"),
        (lists({**query("account"), "required": True}), "needs the parameter 'account'"),
        (
            {"get": {"responses": {"200": {"content": {"application/json": {"schema": CONTACT}}}}}},
            "no list of objects",
        ),
        (
            {"get": {"responses": {"200": {"$ref": "https://example.test/x.yaml#/a"}}}},
            "leads out of the file",
        ),
        (
            {"get": {"responses": {"200": {"$ref": "#/paths/~1contacts/get/responses/200"}}}},
            "leads back to itself",
        ),
        ({"get": {"responses": {"200": {"$ref": "#/nowhere"}}}}, "leads nowhere"),
    ],
)
def test_what_can_not_be_read_whole_is_no_stream(path: dict[str, Any], reason: str) -> None:
    found = drafted({"/contacts": path, "/people": lists()})
    assert reason in str(found.paths[0].reason)
    assert found.paths[1].stream == "people"


def test_authentication_and_hosts() -> None:
    found = drafted({"/contacts": lists()})
    assert found.document is not None
    assert found.document["auth"]["secret"]["hint"] == "From settings."
    flows = {"authorizationCode": {"tokenUrl": "https://login.example.test/t", "authorizationUrl": "https://login.example.test/a",
                                   "scopes": {"read": ""}}}  # fmt: skip
    schemes = {"key": {"type": "http", "scheme": "bearer"}, "oauth": {"type": "oauth2", "flows": flows},
               "other": {"type": "openIdConnect", "openIdConnectUrl": "https://example.test"}}  # fmt: skip
    servers = [{"url": "https://{sub}.example.test/{version}", "variables": {"version": {"default": "v2"}}}]
    components = {"schemas": {"Contact": CONTACT}, "securitySchemes": schemes}
    both = drafted({"/contacts": lists()}, servers=servers, components=components)
    assert both.document is not None
    assert both.document["auth"]["kind"] == "choice"
    assert both.document["hosts"] == ["*.example.test", "login.example.test"]
    assert both.document["base_url"] == "https://{{ settings.sub }}.example.test/v2"
    assert "no document has the security scheme 'other'" in both.remarks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[]", "an object, not a list"),
        (b'{"swagger": "2.0"}', "convert Swagger 2.0"),
        (b'{"openapi": "3.1.0", "paths": {}}', "has no paths"),
        (b'{"openapi": "3.1.0", "openapi": "3.0.0"}', "comes a second time"),
        (b'{"openapi": ', "not JSON"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "not JSON"),
        (b"openapi: 3.0.0\n" + b"# padding\n" * 500_000, "larger than"),
        (msgspec.json.encode(spec({"/x": {}}, servers=[{"url": "/v1"}])), "not an https:// address"),
        (msgspec.json.encode(spec({"/x": {}}, servers=[{"url": "https://{host}"}])), "names the whole host"),
    ],
)
def test_a_file_that_can_not_be_drafted_is_one_line(text: bytes, said: str) -> None:
    with pytest.raises(DocumentError, match=said) as caught:
        draft(read_spec(text, "api"), "desk")
    assert "\n" not in str(caught.value)


def test_a_schema_that_contains_itself_many_times_ends() -> None:
    branches = {f"p{n}": CONTACT_ITSELF for n in range(30)}
    tree = {"type": "object", "properties": {"id": NEXT, **branches}}
    components = {"schemas": {"Contact": tree}, "securitySchemes": {"key": KEY}}
    assert drafted({"/contacts": lists()}, components=components).paths[0].stream == "contacts"


KEYS = st.sampled_from(
    ("get", "responses", "200", "content", "application/json", "schema", "type", "properties", "items", "allOf",
     "oneOf", "$ref", "parameters", "in", "name", "required", "id", "data", "next", "format", "enum", "headers", "Link")
)  # fmt: skip
TEXTS = st.sampled_from(
    (
        "object",
        "array",
        "string",
        "query",
        "page",
        "limit",
        "#/paths/~1a",
        "#/components/schemas/Contact",
        "x",
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)


@given(VALUES, VALUES, VALUES)
def test_whatever_a_file_says_there_is_a_draft_or_one_line(path: Any, schema: Any, scheme: Any) -> None:
    components = {"schemas": {"Contact": schema}, "securitySchemes": {"key": scheme}}
    try:
        found = drafted({"/a": path, "/b": lists(), "/c/{x}/d": path}, components=components)
    except DocumentError:
        return
    assert all((one.stream is None) == bool(one.reason) for one in found.paths)
