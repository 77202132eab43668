"""Compressed raw records in the rows of a COPY: PostgreSQL writes them in hexadecimal digits, and here they are opened.

They stand at a row's end, as a JSON text, which no source sends for a record. Not here: what a copy is (``copies``).
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from uuid import UUID

from psycopg import sql

from unified.store.database import Database
from unified.store.records.raw import forms

RAW = sql.SQL("coalesce(t.raw_data, to_json(encode(t.raw_compressed, 'hex')))")
"""The raw record of a row ``t``, as JSON; in hexadecimal digits where it is compressed."""

# The last field of a line of CSV: the text by itself, whose quotation marks are doubled where they are the CSV's as
# well, or as the last value of an object.
_ALONE = re.compile(rb'(?:""|(?<!"))"([0-9a-f]+)"(?:"")?\n$')
_IN_OBJECT = re.compile(rb'""([0-9a-f]+)""\}"\n$')
_LINE_ENDS = bytes.maketrans(b"\n\r", b"  ")


async def opened(
    db: Database,
    workspace_id: UUID,
    bodies: dict[int, bytes],
    rows: list[bytes],
    marks: tuple[str, str],
    *,
    is_json: bool,
) -> list[bytes]:
    """Rows with their raw records as the source sent them; null where one can't be opened.

    Args:
        db: The database; the connection of the COPY is in use.
        workspace_id: Whose rows.
        bodies: Dictionaries from before the COPY. One that was made since is added; one that went is of use yet.
        rows: Lines of CSV.
        marks: What stands between its values, and around those that need it.
        is_json: Whether the last field of each is an object, of which the raw record is the last value.
    """
    ends = [_end(_IN_OBJECT if is_json else _ALONE, row) for row in rows]
    kept = [bytes.fromhex(end[1].decode()) for end in ends if end]
    if not kept:
        return rows
    if not forms.ids(kept) <= bodies.keys():
        async with db.workspace(workspace_id) as conn:
            bodies |= await forms.dictionaries(conn, forms.ids(kept))
    return await asyncio.to_thread(_replaced, rows, ends, kept, bodies, None if is_json else marks)


def _end(form: re.Pattern[bytes], row: bytes) -> re.Match[bytes] | None:
    """Where a row's compressed record stands. Only behind its last mark that opens: a raw record has hundreds."""
    opening = row.rfind(b'"', 0, len(row.rstrip(b'"}\n')))
    return form.search(row, max(opening - 2, 0))  # that mark may be three


def _replaced(
    rows: Sequence[bytes],
    ends: Sequence[re.Match[bytes] | None],
    kept: Sequence[bytes],
    bodies: Mapping[int, bytes],
    marks: tuple[str, str] | None,
) -> list[bytes]:
    each = iter(forms.open_with(bodies, kept))
    return [
        row
        if end is None
        else row[: end.start()] + (_in_object(next(each)) if marks is None else _quoted(next(each), *marks))
        for row, end in zip(rows, ends, strict=True)
    ]


def _in_object(raw: bytes) -> bytes:
    """The end of an object, which is a line: raw JSON may have line ends between its tokens, and never in a text."""
    return (raw or b"null").replace(b'"', b'""').translate(_LINE_ENDS) + b'}"\n'


def _quoted(raw: bytes, *marks: str) -> bytes:
    """A last field, in quotes where it needs them."""
    delimiter, quote = (mark.encode() for mark in marks)
    if any(mark in raw for mark in (delimiter, quote, b"\n", b"\r")):
        raw = quote + raw.replace(quote, quote * 2) + quote
    return raw + b"\n"
