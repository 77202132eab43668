"""Where the records of an answer are, and what an answer is, over real HTTP; and what goes wrong with either."""

from __future__ import annotations

import gzip
import io
import json
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.unified.kit.document.api import Api, opened, pulled, serving
from tests.unified.kit.document.test_model import desk
from tests.unified.kit.document.test_reading import stream
from unified.conformance.bench import Copy
from unified.kit.document.asking import decoders
from unified.kit.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unified.kit.streams import Page


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


async def read(api: Api, body: bytes, kind: str = "application/json", **said: Any) -> tuple[Copy, list[Page]]:
    """What a stream's one answer is read to."""
    api.answers["/things"] = (200, {"content-type": kind}, body)
    copy = Copy("things")
    pages = await pulled(opened(api, desk(streams={"things": stream("/things", **said)})), copy)
    return copy, pages


NESTED = (
    b'{"data": {"x": {"items": [{"id": 1, "sum": 19.90}]}, "y": {"items": [{"id": 2, "kind": "b"}]}, "z": {}},'
    b' "odd": [{"id": 4, "kind": "a"}, {"id": 5, "kind": "b"}], "only": {"id": 6}}'
)


@pytest.mark.parametrize(
    ("records", "ids"),
    [
        ("data.*.items", {"1", "2"}),
        ("$.data.*.items[*]", {"1", "2"}),
        ("data.x.items", {"1"}),
        ("odd[?@.kind == 'a']", {"4"}),
        ("$..items", {"1", "2"}),
        ("data.z.*", set()),
        ("only", {"6"}),
    ],
)
async def test_records_are_found_by_a_path_with_their_digits(api: Api, records: str, ids: set[str]) -> None:
    copy, pages = await read(api, NESTED, records=records)
    assert set(copy.records) == ids
    if "1" in ids:
        assert bytes(pages[0].records[0].body) == b'{"id":1,"sum":19.90}'


async def test_an_object_may_be_the_only_record(api: Api) -> None:
    copy, _ = await read(api, b' {"id": 1}', records=[], may_be_one=True)
    assert set(copy.records) == {"1"}
    copy, _ = await read(api, b'[{"id": 1}, {"id": 2}]', records=[], may_be_one=True)
    assert set(copy.records) == {"1", "2"}


LINES = b'{"id": 1, "sum": 1.50}\r\n\n{"id": 2}\n{"id": 3\nnull\n{"id": 4}'


@pytest.mark.parametrize("is_packed", [False, True])
async def test_each_line_is_a_record_and_an_odd_one_a_reject(api: Api, *, is_packed: bool) -> None:
    body = gzip.compress(LINES) if is_packed else LINES
    copy, _ = await read(api, body, "x/y", records=[], decoder={"kind": "jsonl", "gzip": True})
    assert set(copy.records) == {"1", "2", "4"}
    assert copy.rejects == 2


ROWS = '\ufeffid;title;sum\r\n1;"a; ""b""\nc";0.10\r\n2;ü\r\n\r\n3;x;y;z\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_the_first_line_of_csv_names_its_fields(api: Api, encoding: str) -> None:
    text = ROWS if encoding == "utf-8" else ROWS[1:]
    decoder = {"kind": "csv", "delimiter": ";", "encoding": encoding}
    copy, _ = await read(api, text.encode(encoding), "text/csv", records=[], decoder=decoder)
    assert copy.records == {
        "1": {"id": "1", "title": 'a; "b"\nc', "sum": "0.10"},
        "2": {"id": "2", "title": "ü"},
    }
    assert copy.rejects == 1  # of its last value nothing says what it is


async def test_a_line_of_csv_that_is_odd_costs_no_other(api: Api) -> None:
    body = b'id,sum,,sum\n1,"a"b\n2,x,,y\n3,' + b"z" * 200_000 + b'\n4,"q"r'
    copy, _ = await read(api, body, "text/csv", records=[], decoder={"kind": "csv"})
    assert copy.records == {
        "2": {"id": "2", "sum": "x", "": "", "sum_2": "y"},
        "3": {"id": "3", "sum": "z" * 200_000},
    }
    assert copy.rejects == 2


XML = b"""<?xml version="1.0"?>
<a:feed xmlns:a="urn:a"><total>2</total><next>p2</next>
  <item id="1"><sum>19.90</sum><tag>x</tag><tag>y</tag></item>
  <item id="2"><name kind="full">Ann &amp; Bob</name><empty/></item>
</a:feed>"""


async def test_xml_is_read_as_json_with_attributes_and_lists(api: Api) -> None:
    mapping = {"id": {"paths": ["$['@id']"]}, "rules": [{"target": "name", "source": "name['#text']"}]}
    said = {"decoder": {"kind": "xml"}, "records": ["a:feed", "item"], "mapping": mapping}
    copy, pages = await read(api, XML, "application/xml", **said)
    assert set(copy.records) == {"1", "2"}
    assert bytes(pages[0].records[0].body) == b'{"@id":"1","sum":"19.90","tag":["x","y"]}'
    assert json.loads(pages[0].records[1].body)["name"] == {"@kind": "full", "#text": "Ann & Bob"}
    only = b"<list><item id='7'/></list>"
    copy, _ = await read(api, only, "text/xml", **said | {"records": ["list", "item"], "may_be_one": True})
    assert set(copy.records) == {"7"}
    copy, _ = await read(
        api, b"<list/>", "x/y", **said | {"records": ["list", "x"], "may_lack_records": True}
    )
    assert not copy.records


def zipped(*files: bytes, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", kind) as archive:
        archive.mkdir("folder")
        for number, file in enumerate(files):
            archive.writestr(f"../../{number}", file)
    return packed.getvalue()


async def test_the_files_of_a_zip_archive_are_read_in_turn(api: Api) -> None:
    body = zipped(b"id,a\n1,x\n", b"a,id\ny,2\n")
    copy, _ = await read(api, body, "application/zip", records=[], decoder={"kind": "csv", "zip": True})
    assert copy.records == {"1": {"id": "1", "a": "x"}, "2": {"a": "y", "id": "2"}}
    copy, _ = await read(
        api, zipped(b'[{"id": 1}]', b'[{"id": 2}]'), "x/y", records=[], decoder={"zip": True}
    )
    assert set(copy.records) == {"1", "2"}


async def test_a_query_over_a_large_answer_leaves_the_loop_free(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_in: set[int] = set()
    selected = decoders._selected

    def noted(*arguments: Any, **keywords: Any) -> Any:
        taken_in.add(threading.get_ident())
        return selected(*arguments, **keywords)

    monkeypatch.setattr(decoders, "_selected", noted)
    body = json.dumps({"a": [{"b": {"id": number}} for number in range(3_000)], "x": "y" * 100_000}).encode()
    copy, _ = await read(api, body, records="$..b")
    assert len(copy.records) == 3_000
    assert threading.get_ident() not in taken_in


# What takes a while to make is made by its test: each process collects all files.
TROUBLES: dict[str, tuple[bytes | Callable[[], bytes], str, dict[str, Any], str]] = {
    "HTML for lines": (b"<html>", "text/html", {"decoder": {"kind": "jsonl"}}, "it is HTML"),
    "HTML for CSV that is called CSV": (
        b"\n<!DOCTYPE html>", "text/csv", {"decoder": {"kind": "csv"}}, "HTML instead of CSV",
    ),
    "HTML where a header says what follows": (
        b"<html>", "text/html", {"paging": {"kind": "link_header"}}, "it is HTML",
    ),
    "an error for CSV": (b'{"error": "no"}', "text/csv", {"decoder": {"kind": "csv"}}, "JSON instead of CSV"),
    "another encoding": (b"id\n\xff", "text/csv", {"decoder": {"kind": "csv"}}, "another form"),
    "a field that does not end": (b'id\n"' + b"x" * 200_000, "text/csv", {"decoder": {"kind": "csv"}}, "is not CSV"),
    "a bomb": (
        lambda: gzip.compress(b"0" * 20_000_000), "x/y", {"decoder": {"kind": "jsonl", "gzip": True}},
        "grows more than 100",
    ),
    "a quote that does not end": (b'id\n1\n"2\n3\n', "text/csv", {"decoder": {"kind": "csv"}}, "line 4 is not CSV"),
    "half a file": (gzip.compress(b"id\n1\n")[:-9], "x/y", {"decoder": {"kind": "csv", "gzip": True}}, "ends before"),
    "an error where a wildcard would find nothing": (
        b'{"error": "no"}', "x/y", {"records": "data.*.items"}, r"there is nothing at data",
    ),
    "the same of a path with brackets": (b'{"a": 1}', "x/y", {"records": "$['data'][*]"}, "there is nothing at"),
    "HTML for XML": (b"<!doctype html><p>", "x/y", {"decoder": {"kind": "xml"}}, "HTML instead of XML"),
    "a type that grows": (
        b'<!DOCTYPE a [<!ENTITY x "xx">]><a>&x;</a>', "x/y", {"decoder": {"kind": "xml"}}, "has a document type",
    ),
    "XML that ends early": (b"<a><b>", "x/y", {"decoder": {"kind": "xml"}}, "line 1 is not XML"),
    "XML that is too deep": (b"<a>" * 200, "x/y", {"decoder": {"kind": "xml"}}, "more than 100 deep"),
    "no archive": (b"PK?", "x/y", {"decoder": {"zip": True}}, "not a zip archive"),
    "a bomb in an archive": (
        lambda: zipped(b"0" * (65 * 2**20)), "x/y", {"decoder": {"kind": "jsonl", "zip": True}},
        "grows more than 100 times",
    ),
    "more in an archive than the document says": (
        zipped(b"{}\n" * 1_000), "x/y", {"decoder": {"kind": "jsonl", "zip": True, "most_bytes": 2_000}}, "larger than",
    ),
    "more in a file than the document says": (
        gzip.compress(b"{}\n" * 1_000), "x/y", {"decoder": {"kind": "jsonl", "gzip": True, "most_bytes": 2_000}},
        "larger than",
    ),
    "more than the document says": (
        b"{}\n" * 1_000, "x/y", {"decoder": {"kind": "jsonl", "most_bytes": 2_000}}, "larger than",
    ),
    "too large an archive of JSON": (
        lambda: zipped(b"0" * (65 * 2**20), kind=zipfile.ZIP_STORED), "x/y", {"decoder": {"zip": True}},
        "larger than 64 MiB",
    ),
    "another compression": (
        zipped(b"[]", kind=zipfile.ZIP_LZMA), "x/y", {"decoder": {"zip": True}}, "not stored or deflated",
    ),
    "CSV without a line": (b"\n", "text/csv", {"decoder": {"kind": "csv"}}, "no line that names its fields"),
    "nothing at a path": (b'{"a": 1}', "x/y", {"records": "a.b"}, "there is nothing at a.b"),
    "more than a path may find": (
        b"[" + b"1," * 10_001 + b"1]", "x/y", {"records": "$[*]"}, "finds more than 10000",
    ),
    "more levels than there may be": (b"[" * 5_000 + b"]" * 5_000, "x/y", {"records": "$..a"}, "another form"),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_an_answer_that_is_something_else_ends_in_words(api: Api, trouble: str) -> None:
    body, kind, said, words = TROUBLES[trouble]
    shared = {"records": []} if "decoder" in said else {}
    with pytest.raises(ProtocolError, match=words) as caught:
        await read(api, body() if callable(body) else body, kind, **{**shared, **said})
    assert len(str(caught.value)) < 300
