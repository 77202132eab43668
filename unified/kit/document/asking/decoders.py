"""Takes the records out of an answer: by keys, by a path with wildcards and filters, or out of lines of JSON or CSV.

XML is read as the JSON that `markup` makes of it, the files of a zip archive one after the other (`archives`).

Numbers keep their digits. What one record is wrong in costs no other: it is kept aside as a reject.
"""

import asyncio
import csv
import io
import itertools
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field

from unified.kit.decoding import decode_exactly
from unified.kit.document.asking.archives import unzipped
from unified.kit.document.asking.markup import as_json
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
_BEGINS = re.compile(r"""(?:\$\.?)?(?:([A-Za-z_]\w*)|\['([^'\\]+)'\])""")
"""The key that a path begins with, where it begins with one."""
_BOMS = {"utf-8": "utf-8-sig"}

csv.field_size_limit(bodies.MOST_BYTES)  # an answer is bounded as a whole; the library's own bound is 128 KiB


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
            if said.kind != "json" and (
                answer.kind == "text/html" or file[:_LOOKED_AT].lstrip().lower().startswith(_HTML)
            ):
                raise msgspec.ValidationError(f"it is HTML instead of {said.kind.upper()}")
            if said.kind in ("json", "xml"):
                text = await asyncio.to_thread(as_json, file) if said.kind == "xml" else file
                json = Answer(answer.status, answer.headers, text).decoded(_ANYTHING)
                items += await _found_in(json, found, is_query=isinstance(records, str))
            else:
                items += _rows(file, said) if said.kind == "csv" else _lines(file)
        return items, json

    return extract


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

    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        return await bodies.read(once(), "gzip", bodies.MOST_BYTES)
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


def _lines(body: bytes) -> Iterator[msgspec.Raw]:
    return (_line(line) for line in body.split(b"\n") if line.strip())


def _line(line: bytes) -> msgspec.Raw:
    """A line's JSON; its text, which is a reject, where it is none."""
    try:
        return _ANYTHING.decode(line)
    except (msgspec.MsgspecError, RecursionError):
        return _text_of(line.decode(errors="replace"))


def _rows(body: bytes, said: Decoder) -> Iterator[msgspec.Raw]:
    if body.lstrip()[:1] in (b"{", b"[") and said.encoding != "utf-16":
        raise msgspec.ValidationError("it is JSON instead of CSV")
    text = io.StringIO(body.decode(_BOMS.get(said.encoding, said.encoding), errors="strict"), newline="")
    taken: list[str] = []
    reader = csv.reader(_noting(text, taken), delimiter=said.delimiter, strict=True)
    try:
        names = _distinct(next(reader, []))
        if not names:
            raise msgspec.ValidationError("it has no line that names its fields")
        while True:
            taken.clear()
            try:
                row = next(reader)
            except csv.Error:
                if not taken[-1]:
                    raise  # a quote that does not end may hold all that follows: the file was cut off
                yield _text_of("".join(taken))
                continue
            except StopIteration:
                return
            if len(row) > len(names):
                yield _text_of(row)  # nothing says what its last values are
            elif row:
                yield msgspec.Raw(msgspec.json.encode(dict(zip(names, row, strict=False))))
    except csv.Error as error:
        raise msgspec.ValidationError(f"line {reader.line_num} is not CSV ({error})") from None


def _noting(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """The lines, each noted as it is taken; the end as an empty one."""
    for line in lines:
        taken.append(line)
        yield line
    taken.append("")


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of fields; one that comes again is counted: ``sum``, ``sum_2``."""
    found: dict[str, None] = {}
    for name in names:
        tries = (name if count == 1 else f"{name}_{count}" for count in itertools.count(1))
        found[next(one for one in tries if one not in found)] = None
    return list(found)


def _text_of(odd: object) -> msgspec.Raw:
    """What stands for a line that is no record: a reject."""
    return msgspec.Raw(msgspec.json.encode(odd))
