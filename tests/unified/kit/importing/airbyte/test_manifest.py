"""A manifest is read as data: references and parameters are written out, within bounds, and nothing is run."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.kit.document.source import DocumentError
from unified.kit.importing.airbyte.manifest import Manifest, read_manifest
from unified.kit.importing.airbyte.needs.examination import examine


def read(value: Any) -> Manifest:
    return read_manifest(msgspec.json.encode(value), "m.json")


def test_references_and_parameters_are_written_out() -> None:
    manifest = read_manifest((Path(__file__).parent / "desk.yaml").read_bytes(), "desk.yaml")
    contacts, other, odd = manifest.streams
    requester = contacts["retriever"]["requester"]
    assert (requester["url_base"], requester["path"]) == ("https://api.example.test/v1", "/contacts")
    assert (other["name"], other["retriever"], odd["name"]) == ("other", contacts["retriever"], "odd")


def test_what_a_component_says_goes_before_its_parameters_and_the_nearest_before_those_above() -> None:
    inner = {"type": "B", "a": "own", "$parameters": {"b": "near"}}
    stream = {"type": "A", "$parameters": {"a": "far", "b": "far", "c": "far"}, "inner": inner}
    made = read({"streams": [stream]}).streams[0]
    assert [made["inner"][key] for key in "abc"] == ["own", "near", "far"]


def test_a_key_beside_a_reference_goes_before_what_it_leads_to() -> None:
    definitions = {"a/b": {"type": "A", "x": 1, "y": 1, "$parameters": {"p": 1, "q": 1}}}
    stream = {"$ref": "#/definitions/a/b", "y": 2, "$parameters": {"q": 2}}
    made = read({"definitions": definitions, "streams": [stream]}).streams[0]
    assert [made[key] for key in ("x", "y", "p", "q")] == [1, 2, 1, 2]


def doubling() -> dict[str, Any]:
    definitions = {f"d{n}": [f"#/definitions/d{n + 1}"] * 2 for n in range(40)} | {"d40": "x"}
    return {"definitions": definitions, "streams": [{"x": "#/definitions/d0"}]}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "with the key 'streams'"),
        ({"definitions": {}}, "has neither"),
        ({"streams": {}}, "a list of streams"),
        ({"streams": ["x"]}, r"streams\.0 is not an object"),
        ({"streams": [{"$ref": "#/definitions/x"}]}, "leads nowhere"),
        ({"streams": ["#/streams/0"]}, "leads back to itself"),
        ({"streams": [{"$ref": "https://example.test/m.yaml"}]}, "other files are not read"),
        (doubling(), "more than 200,000 values"),
    ],
)
def test_what_can_not_be_written_out_is_an_error(value: Any, said: str) -> None:
    with pytest.raises(DocumentError, match=said) as caught:
        read(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        b"streams: !!python/object:os.system {}",
        b"a: &a [1]\nstreams: [*a]",
        b"streams: []\nstreams: []",
        b"x" * 5_000_000,
    ],
)
def test_tags_aliases_double_keys_and_large_files_are_refused(text: bytes) -> None:
    with pytest.raises(DocumentError):
        read_manifest(text, "m.yaml")


KEYS = st.sampled_from(
    ("type", "$ref", "$parameters", "name", "retriever", "requester", "authenticator", "path", "transformations",
     "partition_router", "parent_stream_configs", "stream", "class_name", "end_datetime", "request_body_json")
)  # fmt: skip
TEXTS = st.sampled_from(
    ("DeclarativeStream", "SimpleRetriever", "CustomX", "AddFields", "#/streams/0", "#/streams/0/retriever", "#/x",
     "{{ config['a'] }}", "{% if a %}", "{{ ", "{{ record.__class__ }}", "x", "OAuthAuthenticator")
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=2))
def test_whatever_a_manifest_says_it_is_examined_or_refused(streams: list[Any], dynamic: list[Any]) -> None:
    try:
        manifest = read({"streams": streams, "dynamic_streams": dynamic})
    except DocumentError:
        return
    assert len(examine(manifest)) == len(streams) + len(dynamic)
