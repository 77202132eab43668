"""Lists as CSV, by COPY: what files of them are made of, piece by piece, each with the place to go on from.

Rows come in the list's own order, which never changes, so a copy that was interrupted goes on behind its last key and
meets each row once. Not here: the files (:mod:`unified.sync.exports`), and pages of a list (``pages``).
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from psycopg import sql

from unified.schema.entities import EVENTS, INVOICES
from unified.schema.invoice import UnifiedLineItem
from unified.store.database import Database
from unified.store.lists import compressed
from unified.store.lists.blocks import Block, Rows
from unified.store.lists.declared import RecordList
from unified.store.lists.pages import connection_ids
from unified.store.records.raw import forms
from unified.store.records.tables import column_type

PIECE_BYTES = 4 * 1024 * 1024
"""Size of a piece, more or less: what is held in memory, and read again after an interruption."""

WITHOUT_DAY = "__HIVE_DEFAULT_PARTITION__"
"""The day of rows that have none, in the word that readers of partitioned folders know."""

Form = Literal["plain", "guarded", "json"]
"""Values as they are; text that a spreadsheet would run made text; or one JSON object per row.

Plain values are CSV by :data:`DELIMITER` and :data:`QUOTE`.
"""

# Characters that text hardly ever has: JSON comes without a quotation mark doubled, and a piece without QUOTE in it has
# neither an empty text nor a line end in a value, so it is parsed at two and a half times the pace.
DELIMITER, QUOTE = "\x01", "\x02"
_MARKS: Mapping[Form, tuple[str, str]] = {"plain": (DELIMITER, QUOTE)}
_USUAL_MARKS = ",", '"'

_ID_BYTES = 36
_HEAD_BYTES = len(WITHOUT_DAY) + 1 + _ID_BYTES  # a day, or that there is none, and the id behind it
# A field of CSV as PostgreSQL writes it, with what ends it. The module csv takes none of more than 128 KiB.
_FIELDS = {
    (delimiter, quote): re.compile(
        rf"(?:{quote}((?:[^{quote}]++|{quote}{quote})*+){quote}|([^{quote}{delimiter}\n]*+))[{delimiter}\n]".encode()
    )
    for delimiter, quote in (*_MARKS.values(), _USUAL_MARKS)
}
# Of a line: the columns by which it is recognised, as in the view unified_invoice_lines.
_LINE_NAMES = {"source_id": "line_id"}
_OF_INVOICE = {
    "connection": "text", "connection_id": "uuid", "stream": "text", "source_system": "text", "invoice_id": "text",
    "customer_id": "text", "currency": "text", "issue_date": "timestamptz", "deleted_at": "timestamptz",
    "line_number": "bigint",
}  # fmt: skip
# A spreadsheet takes text that begins like this for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
# A sign is left alone before what is only a number or a telephone number: +49 30 1234, -5.00.
_FORMULA = "^[=@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # the last four are = + - @ in full width
_SIGNED, _NUMBER = r"^[+-]", r"^[+-][0-9 ()./-]*$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """What to copy.

    Attributes:
        which: The list.
        lines: Whether its rows are the lines of invoices instead.
        form: How values come.
        stream: Only of this stream.
        connections: Names or ids; all where there are none.
        deleted: Whether tombstones come too.
        raw: Whether what the source sent comes too, as JSON.
        by_day: Whether rows come day by day, by the time that they are about.
        since: Only what changed in this transaction or later, tombstones included.
        before: Only what changed before this transaction; has to be given with ``since``.
    """

    which: RecordList
    lines: bool = False
    form: Form = "plain"
    stream: str | None = None
    connections: Sequence[str] = ()
    deleted: bool = False
    raw: bool = False
    by_day: bool = False
    since: str | None = None
    before: str | None = None

    @property
    def marks(self) -> tuple[str, str]:
        """What stands between values, and around those that need it."""
        return _MARKS.get(self.form, _USUAL_MARKS)

    @property
    def columns(self) -> dict[str, str]:
        """Names of columns, with the type that PostgreSQL has them in; the row's id first."""
        if self.lines:
            fields = UnifiedLineItem.model_fields.items()
            own = {_LINE_NAMES.get(name, name): column_type(info.annotation) for name, info in fields}
            return {"invoice_unified_id": "uuid", **_OF_INVOICE, **own}
        unique = self.which.unique
        fields = self.which.item.model_fields.items()
        listed = {name: column_type(info.annotation, info.metadata) for name, info in fields}
        return {
            unique: listed[unique],
            **listed,
            **(dict.fromkeys(self.which.raw, "json") if self.raw else {}),
        }

    @property
    def origins(self) -> dict[str, str]:
        """By column, the field of the list that it is from."""
        if not self.lines:
            return {name: name for name in self.columns}
        of_lines = {_LINE_NAMES.get(name, name) for name in UnifiedLineItem.model_fields} | {"line_number"}
        renamed = {"invoice_id": "source_id", "invoice_unified_id": "unified_id"}
        return {name: "line_items" if name in of_lines else renamed.get(name, name) for name in self.columns}

    @property
    def descriptions(self) -> dict[str, str | None]:
        """What each column holds."""
        said = {name: info.description for name, info in self.which.item.model_fields.items()}
        found = {name: said.get(origin) for name, origin in self.origins.items()}
        if self.lines:
            own = UnifiedLineItem.model_fields.items()
            found |= {_LINE_NAMES.get(name, name): info.description for name, info in own}
            found["line_number"] = "Which line of its invoice it is, from 1."
        return found

    @property
    def key(self) -> dict[str, str]:
        """Columns of the order, by their names in the list; and what they are called here."""
        return {name: "invoice_id" if self.lines and name == "source_id" else name for name in self.which.key}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows, one behind the other.

    Attributes:
        day: Whose rows they are; empty where they do not come by day.
        rows: CSV without a heading, or a JSON object per line.
        count: How many.
        place: Where to go on: day and key of the last row.
    """

    day: str
    rows: bytes
    count: int
    place: list[str]


async def copy(
    db: Database, workspace_id: UUID, extract: Extract, *, after: Sequence[str] | None
) -> AsyncGenerator[Piece]:
    """Read an extract as its workspace, in one statement and flat memory.

    A piece is never of two days, and has all lines of an invoice or none.

    Args:
        db: The database.
        workspace_id: Whose rows.
        extract: Which.
        after: ``place`` of the last piece dealt with.

    Raises:
        ConnectionNotFoundError: If the extract names a connection that is not there.
        StoreError: If the database fails.
    """
    async with db.workspace(workspace_id) as conn:
        ids = await connection_ids(conn, extract.connections) if extract.connections else None
        # All of a list comes by the index of its key: a sort would write it to the disk once more.
        whole = extract.since is None and not extract.by_day
        await conn.execute(
            "SELECT set_config('statement_timeout', '0', true), set_config('enable_sort', %s, true)",
            ("off" if whole else "on",),
        )
        bodies = await forms.dictionaries(conn) if extract.raw else {}
        values = {"ids": ids, "stream": extract.stream, "since": extract.since, "before": extract.before}
        places = {f"after_{number}": value for number, value in enumerate(after or ())}
        async with conn.cursor().copy(_statement(extract, list(places)), {**values, **places}):
            rows = Rows(conn.pgconn)
            while block := await asyncio.to_thread(_next, extract, rows):
                if extract.raw:
                    is_json = extract.form == "json"
                    opened = await compressed.opened(
                        db, workspace_id, bodies, block.rows(), extract.marks, is_json=is_json
                    )
                    block = Block(block.day, opened)
                piece = await asyncio.to_thread(_piece, extract, block)
                del block
                yield piece


def _next(extract: Extract, rows: Rows) -> Block | None:
    """The rows of the next piece; None behind the last."""
    block, delimiter = Block(), extract.marks[0].encode()
    while row := rows.next():
        is_full = block.size >= PIECE_BYTES
        if extract.by_day or is_full:
            head = bytes(row[:_HEAD_BYTES])
            day = head[: head.index(delimiter) + 1] if extract.by_day else b""
            own = len(day), len(day) + _ID_BYTES
            if block and (day != block.day or (is_full and head[slice(*own)] != block.last(*own))):
                rows.put_back(row)
                break
            block.day = day
        block.add(row)
    return block or None


def _piece(extract: Extract, block: Block) -> Piece:
    name, begin = block.day.decode()[:-1], len(block.day)
    names = list(extract.columns) if extract.form != "json" else [extract.which.unique, *extract.key.values()]
    end = max(names.index(column) for column in extract.key.values()) + 1
    last, _ = _fields(block.last(begin), 0, end, extract.marks)
    found = dict(zip(names, last, strict=False))
    place = [*([name] if name else []), *(found[column] for column in extract.key.values())]
    if extract.form == "json":
        documents = b"".join([_document(row, begin, len(names)) for row in block.rows()])
        return Piece(name, documents, len(block), place)
    return Piece(name, block.without_day(), len(block), place)


def _document(row: bytes, begin: int, before: int) -> bytes:
    """The last field of a row: a JSON object, which CSV always has in quotation marks."""
    _, place = _fields(row, begin, before, _USUAL_MARKS)
    return row[place + 1 : -2].replace(b'""', b'"') + b"\n"


def _fields(row: bytes, begin: int, count: int, marks: tuple[str, str]) -> tuple[list[str], int]:
    """The first fields of a row from a place on, and where the next one begins."""
    found, field, quote = [], _FIELDS[marks], marks[1].encode()
    for _ in range(count):
        match = field.match(row, begin)
        assert match  # noqa: S101 - PostgreSQL wrote it
        quoted, plain = match.groups()
        found.append((plain if quoted is None else quoted.replace(quote * 2, quote)).decode())
        begin = match.end()
    return found, begin


def _statement(extract: Extract, places: Sequence[str]) -> sql.Composed:
    columns = extract.columns
    rows = sql.SQL(", ").join(
        sql.SQL("{} AS {}").format(_value(extract, name, kind), sql.Identifier(name))
        for name, kind in columns.items()
    )
    key = [sql.Identifier("t", name) for name in extract.key]
    day = _day(extract)
    order = sql.SQL(", ").join([day, *key] if extract.by_day else key)
    source = sql.SQL("FROM {} AS t {} WHERE {}").format(
        sql.Identifier(extract.which.table),
        _LINES if extract.lines else sql.SQL(""),
        sql.SQL(" AND ").join(_conditions(extract, order, places)),
    )
    if extract.form == "json":
        # Raw JSON may have line ends between its tokens, and never in a text.
        document = sql.SQL(
            "(SELECT translate(row_to_json(r)::text, E'\\n\\r', '  ') FROM (SELECT {}) AS r)"
        ).format(rows)
        rows = sql.SQL(", ").join([sql.Identifier("t", extract.which.unique), *key, document])
    if extract.by_day:
        rows = sql.SQL("{}, {}").format(day, rows)
    return sql.SQL("COPY (SELECT {} {} ORDER BY {}) TO STDOUT (FORMAT CSV, DELIMITER {}, QUOTE {})").format(
        rows, source, order, *map(sql.Literal, extract.marks)
    )


# An invoice that lost its lines says so: it comes once, without a line's number.
_LINES = sql.SQL(
    "LEFT JOIN LATERAL jsonb_array_elements(t.line_items) WITH ORDINALITY AS l (item, line_number) ON true"
)


def _conditions(extract: Extract, order: sql.Composable, places: Sequence[str]) -> list[sql.Composable]:
    conditions: list[sql.Composable] = [sql.SQL("true")]
    if extract.since is not None:
        conditions.append(
            sql.SQL("t.changed_xid >= %(since)s::text::xid8 AND t.changed_xid < %(before)s::text::xid8")
        )
    else:
        if extract.which.entity and not extract.deleted:
            conditions.append(sql.SQL("t.deleted_at IS NULL"))
        if extract.lines:
            conditions.append(sql.SQL("l.line_number IS NOT NULL"))
    if extract.stream is not None:
        conditions.append(sql.SQL("t.stream = %(stream)s"))
    if extract.connections:
        conditions.append(sql.SQL("t.connection_id = ANY(%(ids)s)"))
    if places:
        names = sql.SQL(", ").join(map(sql.Placeholder, places))
        conditions.append(sql.SQL("({}) > ({})").format(order, names))
    return conditions


def _day(extract: Extract) -> sql.Composable:
    stamps = {INVOICES: "issue_date", EVENTS: "occurred_at"}
    stamp = stamps.get(extract.which.entity, "created_at") if extract.which.entity else "created_at"
    return sql.SQL("coalesce(to_char(t.{}, 'YYYY-MM-DD'), {}) COLLATE \"C\"").format(
        sql.Identifier(stamp), sql.Literal(WITHOUT_DAY)
    )


def _value(extract: Extract, name: str, kind: str) -> sql.Composable:
    """A column of one row, in the form that is asked for."""
    value = _line_value(name, kind) if extract.lines else _stored(name)
    match extract.form, kind:
        case "json", "numeric":
            return sql.SQL("({})::text").format(
                value
            )  # a number's digits would go through a double at its reader
        case "json", _:
            return value
        case _, "text[]":
            return sql.SQL("to_json({})").format(value)
        case "guarded", "text":
            return sql.SQL(
                "CASE WHEN {value} ~ {formula} OR ({value} ~ {signed} AND {value} !~ {number})"
                " THEN '''' || {value} ELSE {value} END"
            ).format(
                value=value,
                formula=sql.Literal(_FORMULA),
                signed=sql.Literal(_SIGNED),
                number=sql.Literal(_NUMBER),
            )
    return value


def _stored(name: str) -> sql.Composable:
    if name == "raw_data":
        return compressed.RAW
    if name == "connection":
        return sql.SQL("(SELECT c.name FROM connector_configs AS c WHERE c.id = t.connection_id)")
    return sql.Identifier("t", name)


def _line_value(name: str, kind: str) -> sql.Composable:
    of_invoice: Mapping[str, sql.Composable] = {
        "invoice_unified_id": sql.Identifier("t", "unified_id"),
        "invoice_id": sql.Identifier("t", "source_id"),
        "line_number": sql.Identifier("l", "line_number"),
    }
    if name in of_invoice:
        return of_invoice[name]
    if name in _OF_INVOICE:
        return _stored(name)
    field = next((field for field, called in _LINE_NAMES.items() if called == name), name)
    return sql.SQL("(l.item ->> {})::{}").format(sql.Literal(field), sql.SQL(kind))
