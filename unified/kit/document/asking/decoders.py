"""Takes the records out of an answer: by keys, by a path with wildcards and filters, or out of lines of JSON or CSV.

XML is read as the JSON that `markup` makes of it, the files of a zip archive one after the other (`archives`).

Numbers keep their digits. What one record is wrong in costs no other: it is kept aside as a reject.
"""

import asyncio
import io
import itertools
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field

from unified.kit.decoding import decode_exactly
from unified.kit.document.asking.archives import files_of, unzipped
from unified.kit.document.asking.markup import as_json
from unified.kit.document.asking.rows import rows_of
from unified.kit.document.parts import Keys, Said
from unified.kit.errors import MappingError
from unified.kit.http import bodies
from unified.kit.http.answers import Answer
from unified.kit.mapping.paths import Read, compile_path
from unified.kit.mapping.refusals import Refused
from unified.kit.reading.paging import Json, Path, items_in, within

Selector = Annotated[str, Field(min_length=1, max_length=500)]
Records = Annotated[
    Selector | Keys,
    Field(
        union_mode="left_to_right",
        description="Keys to the list; none where the answer is the list. Or a path with wildcards and filters, as "
        "`data.*.items` or `data[?@.kind == 'a']`: the lists that it finds are one.",
    ),
]
Extract = Callable[[Answer], Awaitable[tuple[list[msgspec.Raw], Json]]]
"""Takes the records out of an answer, and gives the JSON that says how the list goes on."""

_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_WRITTEN = msgspec.json.Encoder(decimal_format="number")
_NOTHING = msgspec.Raw(b"null")
_GZIP = b"\x1f\x8b"
_HTML = (b"<!doctype html", b"<html")
_LOOKED_AT = 1_000
_LARGE = 100_000
_AT_ONCE = 1_000
_BYTES_AT_ONCE = 4 * 2**20
_BEGINS = re.compile(r"""(?:\$\.?)?(?:([A-Za-z_]\w*)|\['([^'\\]+)'\])""")
"""The key that a path begins with, where it begins with one."""


class Decoder(Said):
    """What an answer is, where it is not one value of JSON."""

    kind: Literal["json", "jsonl", "csv", "xml"] = Field(
        default="json",
        description="`jsonl` is a record a line; of `csv`, the first line names the fields; `xml` is read as JSON, "
        "with `@name` for an attribute and `#text` for text beside others.",
    )
    gzip: bool = Field(default=False, description="Whether the answer is a gzip file, by no header's word.")
    zip: bool = Field(default=False, description="Whether it is a zip archive, whose files are read in turn.")
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(default=",", description="Of CSV.")
    encoding: Literal["utf-8", "utf-16", "latin-1"] = Field(default="utf-8", description="Of CSV.")
    most_bytes: Annotated[int, Field(ge=1_000, le=10**12)] = Field(
        default=10**10,
        description="What an answer of `jsonl` or `csv` may hold, decompressed, where its list has no pages, or "
        "those of a `Link` header. Of any other it is 64 MiB.",
    )


def extraction(
    records: str | Path, decoder: Decoder | None, *, is_optional: bool, may_be_one: bool
) -> Extract | None:
    """How a stream's records are taken out of answers; None where the kit's own way does.

    Args:
        records: Where they are.
        decoder: What an answer is.
        is_optional: Whether a list without records is left out.
        may_be_one: Whether an object in place of the list is its only record.
    """
    said = decoder or Decoder()
    if said == Decoder() and not isinstance(records, str) and not may_be_one:
        return None
    found = _json_records(records, is_optional=is_optional, may_be_one=may_be_one)

    async def extract(answer: Answer) -> tuple[list[msgspec.Raw], Json]:
        body = await _unpacked(answer.body) if said.gzip else answer.body
        json = _NOTHING
        items: list[msgspec.Raw] = []
        for file in await asyncio.to_thread(unzipped, body) if said.zip else [body]:
            if said.kind != "json":
                _is_no_page(answer, file, said)
            if said.kind in ("json", "xml"):
                text = await asyncio.to_thread(as_json, file) if said.kind == "xml" else file
                json = Answer(answer.status, answer.headers, text).decoded(_ANYTHING)
                items += await _found_in(json, found, is_query=isinstance(records, str))
            else:
                items += rows_of([file], said.kind, said.delimiter, said.encoding)
        return items, json

    return extract


def streaming(decoder: Decoder | None) -> Callable[[Answer], AsyncGenerator[list[msgspec.Raw], None]] | None:
    """How the records of an answer of lines are read some at a time, however many it has; None of any other answer."""
    if decoder is None or decoder.kind not in ("jsonl", "csv"):
        return None
    said = decoder

    async def stream(answer: Answer) -> AsyncGenerator[list[msgspec.Raw], None]:
        try:
            for file in _files(answer, said):
                first = next(file, b"")
                _is_no_page(answer, first, said)
                rows = rows_of(itertools.chain([first], file), said.kind, said.delimiter, said.encoding)
                while batch := [*_some(rows)]:
                    yield batch
                    await asyncio.sleep(0)
        except bodies.BodyError as error:
            raise msgspec.ValidationError(f"its file {error}") from None
        finally:
            answer.close()

    return stream


def _some(rows: Iterator[msgspec.Raw]) -> Iterator[msgspec.Raw]:
    """As many records as are handed over at once."""
    size = 0
    for row in itertools.islice(rows, _AT_ONCE):
        yield row
        size += len(memoryview(row))
        if size > _BYTES_AT_ONCE:
            return


def _files(answer: Answer, said: Decoder) -> Iterator[Iterator[bytes]]:
    """The files in an answer, each piece by piece."""
    if said.zip:
        yield from files_of(answer.file or io.BytesIO(answer.body), said.most_bytes)
        return
    pieces = answer.pieces()
    first = next(pieces, b"")
    pieces = itertools.chain([first], pieces)
    yield bodies.unpacked(pieces, said.most_bytes) if said.gzip and first.startswith(_GZIP) else pieces


def _is_no_page(answer: Answer, beginning: bytes, said: Decoder) -> None:
    """Refuse what is meant for people."""
    if answer.kind == "text/html" or beginning[:_LOOKED_AT].lstrip().lower().startswith(_HTML):
        raise msgspec.ValidationError(f"it is HTML instead of {said.kind.upper()}")


async def _found_in(
    json: msgspec.Raw, found: Callable[[msgspec.Raw], list[msgspec.Raw]], *, is_query: bool
) -> list[msgspec.Raw]:
    """The records; a query over a large answer goes by each of its values, and runs in a thread."""
    if is_query and len(memoryview(json)) > _LARGE:
        return await asyncio.to_thread(found, json)
    return found(json)


async def _unpacked(body: bytes) -> bytes:
    """What a gzip file holds; a body that is none, because a server took it apart already, is as it is."""
    if not body.startswith(_GZIP):
        return body
    try:
        return await asyncio.to_thread(b"".join, bodies.unpacked([body], bodies.MOST_BYTES))
    except bodies.BodyError as error:
        raise msgspec.ValidationError(f"its file {error}") from None


def _json_records(
    records: str | Path, *, is_optional: bool, may_be_one: bool
) -> Callable[[msgspec.Raw], list[msgspec.Raw]]:
    if isinstance(records, str):
        select = compile_path(records)
        return lambda json: _selected(json, select, records, is_optional=is_optional)

    def found(json: msgspec.Raw) -> list[msgspec.Raw]:
        at = within(json, records)
        if may_be_one and at is not None and bytes(memoryview(at)[:_LOOKED_AT]).lstrip()[:1] == b"{":
            return [at]
        return items_in(json, records, is_optional=is_optional)

    return found


def _selected(json: msgspec.Raw, select: Read, path: str, *, is_optional: bool) -> list[msgspec.Raw]:
    try:
        whole = decode_exactly(json)
        found = select(whole, whole)
    except (Refused, MappingError) as error:
        raise msgspec.ValidationError(str(error)) from None
    begins = _BEGINS.match(path)
    is_there = isinstance(found, list) or bool(found)
    if begins and isinstance(whole, dict) and next(filter(None, begins.groups())) not in whole:
        is_there = False  # a wildcard below it finds an empty list in any answer
    if not is_there:
        if is_optional:
            return []
        raise msgspec.ValidationError(f"there is nothing at {path}")
    items: list[Any] = []
    for one in found if isinstance(found, list) else [found]:
        items += one if isinstance(one, list) else [one]
    return [msgspec.Raw(_WRITTEN.encode(one)) for one in items]
