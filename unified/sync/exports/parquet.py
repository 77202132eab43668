"""Parquet: CSV to Arrow and Arrow to Parquet, by column, without a Python object per value.

A piece is a Parquet file, and the file its row groups (:mod:`unified.sync.exports.row_groups`), unless an amount needs
more digits than the usual type has. Then all numbers of its piece are text, and the file is written anew: a column of
numbers has one type, by all of its values (:func:`unified.schema.arrow.decimal_type`).
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unified.extras import how_to_install
from unified.schema.arrow import decimal_type, scalar_type
from unified.schema.invoice import UnifiedLineItem
from unified.store.lists.copies import DELIMITER, QUOTE, Form
from unified.store.records.tables import column_type
from unified.sync.exports import row_groups
from unified.sync.exports.errors import ExportError, UnfitError

if TYPE_CHECKING:
    import pyarrow as pa

_NESTED = "line_items"
_REPEATS = 0.1  # different texts among the rows of a column, at most, of one that is written by a dictionary
_Place = tuple[str, ...]
"""Of a column of numbers: its name, or that of a list and a field of its items."""


class Parquet:
    """Parquet, compressed with zstd. Lines of an invoice are a list of structures."""

    form: Form = "plain"

    def __init__(self, columns: Mapping[str, str]) -> None:
        """Of these columns, with the type that PostgreSQL has them in.

        Raises:
            ExportError: If pyarrow is not installed.
        """
        try:
            import pyarrow as pa  # noqa: PLC0415 - optional
        except ImportError:
            raise ExportError(f"Parquet needs pyarrow: {how_to_install('files')}") from None
        self._pa = pa
        self._columns = columns
        fields = UnifiedLineItem.model_fields.items()
        self._line = {name: column_type(info.annotation) for name, info in fields}

    def encoded(self, rows: bytes) -> bytes:
        """The rows of a piece, as a Parquet file.

        Raises:
            UnfitError: If a value is of no type that its column has in Parquet.
        """
        try:
            table = self._read(rows)
        except self._pa.ArrowInvalid:  # says the value
            raise UnfitError(
                "a value that Parquet has no type for: a time that is infinite or after the year 9999 or before 1, "
                "or lines of another form than an invoice's"
            ) from None
        if all(self._is_usual(table, place) for place in self._numbers()):
            table = table.cast(self._schema({}))
        out = self._pa.BufferOutputStream()
        self._write([table], table.schema, out)
        return bytes(out.getvalue())

    def join(self, pieces: Sequence[Path], file: Path) -> None:
        """Make a file of pieces."""
        from pyarrow import parquet  # noqa: PLC0415 - optional

        usual = self._schema({})
        if pieces and all(parquet.read_schema(piece) == usual for piece in pieces):
            row_groups.join(pieces, file)
            return
        schema = self._schema({place: self._needed(pieces, place) for place in self._numbers()})
        self._write(map(self._table, pieces), schema, str(file))

    def _read(self, rows: bytes) -> "pa.Table":
        """Rows of CSV as a table, numbers as text."""
        from pyarrow import csv  # noqa: PLC0415 - optional

        pa = self._pa
        is_quoted = QUOTE.encode() in rows
        lists = {
            name: self._list(name, kind) for name, kind in self._columns.items() if self._is_list(name, kind)
        }
        options = csv.ConvertOptions(
            column_types={
                name: pa.string() if name in lists else scalar_type(kind)
                for name, kind in self._columns.items()
            },
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        )
        table = csv.read_csv(
            self._pa.BufferReader(rows),
            read_options=csv.ReadOptions(
                column_names=list(self._columns), block_size=len(rows), use_threads=False
            ),
            parse_options=csv.ParseOptions(
                delimiter=DELIMITER, quote_char=QUOTE if is_quoted else False, newlines_in_values=is_quoted
            ),
            convert_options=options,
        )
        for name, wanted in lists.items():
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, self._lists(table[name], wanted))
        return table

    def _lists(self, texts: "pa.ChunkedArray", wanted: "pa.DataType") -> "pa.ChunkedArray":
        """Lists out of JSON. Arrow reads times out of JSON at half the pace at which it casts text to them."""
        pa = self._pa
        try:
            parsed = self._parsed(texts, self._of_texts(wanted))
            return parsed if parsed.type == wanted else parsed.cast(wanted)
        except pa.ArrowInvalid:  # JSON takes times in forms that a cast does not
            return self._parsed(texts, wanted)

    def _of_texts(self, wanted: "pa.DataType") -> "pa.DataType":
        """A type of lists, with text in the place of times."""
        pa = self._pa
        if not pa.types.is_struct(wanted.value_type):
            return wanted
        fields = [
            (field.name, pa.string() if pa.types.is_timestamp(field.type) else field.type)
            for field in wanted.value_type
        ]
        return pa.list_(pa.struct(fields))

    def _parsed(self, texts: "pa.ChunkedArray", wanted: "pa.DataType") -> "pa.ChunkedArray":
        """The texts joined to JSON lines in memory, which Arrow reads by itself."""
        import pyarrow.compute as pc  # noqa: PLC0415 - optional
        from pyarrow import json  # noqa: PLC0415 - optional

        pa = self._pa
        parts = (self._constant(b'{"v":'), texts, self._constant(b"}\n"), self._constant(b""))
        lines = pc.binary_join_element_wise(*parts, null_handling="replace", null_replacement="null")
        chunks = []
        for chunk in lines.chunks:
            whole = chunk.buffers()[2]
            options = json.ParseOptions(
                explicit_schema=pa.schema([("v", wanted)]), unexpected_field_behavior="ignore"
            )
            read = json.ReadOptions(block_size=max(len(whole), 1), use_threads=False)
            chunks += json.read_json(pa.BufferReader(whole), read_options=read, parse_options=options)[
                "v"
            ].chunks
        return pa.chunked_array(chunks, type=wanted)

    def _constant(self, text: bytes) -> "pa.Scalar":
        """A text as pyarrow has it: given one of Python it imports pandas, where that is installed, to look at it."""
        ends = self._pa.py_buffer(struct.pack("=ii", 0, len(text)))
        return self._pa.Array.from_buffers(self._pa.string(), 1, [None, ends, self._pa.py_buffer(text)])[0]

    def _write(self, tables: Iterable["pa.Table"], schema: "pa.Schema", out: Any) -> None:
        from pyarrow import parquet  # noqa: PLC0415 - optional

        tables = iter(tables)
        first = list(islice(tables, 1))
        repeating = self._repeating(first[0]) if first else []
        with parquet.ParquetWriter(out, schema, compression="zstd", use_dictionary=repeating) as writer:
            for table in chain(first, tables):
                writer.write_table(table.cast(schema))

    def _repeating(self, table: "pa.Table") -> list[str]:
        """Columns of texts that repeat.

        Ids in a dictionary make a file half as large again, and writing it takes twice the time.
        """
        import pyarrow.compute as pc  # noqa: PLC0415 - optional

        return [
            name
            for name, column in zip(table.column_names, table.columns, strict=True)
            if column.type == self._pa.string()
            and pc.count_distinct(column).as_py() <= _REPEATS * len(column)
        ]

    def _table(self, piece: Path, columns: Sequence[str] | None = None) -> "pa.Table":
        from pyarrow import parquet  # noqa: PLC0415 - optional

        with parquet.ParquetFile(piece) as file:
            return file.read(columns)

    def _schema(self, types: Mapping[_Place, "pa.DataType"]) -> "pa.Schema":
        """The columns of a file, those of numbers as ``types`` has them, or else as they usually are."""
        pa = self._pa
        fields = []
        for name, kind in self._columns.items():
            if name == _NESTED:
                line = [
                    (
                        field,
                        types.get((name, field), decimal_type()) if own == "numeric" else scalar_type(own),
                    )
                    for field, own in self._line.items()
                ]
                fields.append((name, pa.list_(pa.struct(line))))
            else:
                usual = decimal_type() if kind == "numeric" else scalar_type(kind)
                fields.append((name, types.get((name,), usual)))
        return pa.schema(fields)

    def _is_list(self, name: str, kind: str) -> bool:
        return name == _NESTED or kind == "text[]"

    def _is_usual(self, table: "pa.Table", place: _Place) -> bool:
        """Whether the usual type of numbers holds all of a column, which is still text.

        Arrow's cast does not say so: of more digits than 38, or with an exponent, it makes other numbers, 0 too.
        """
        import pyarrow.compute as pc  # noqa: PLC0415 - optional

        usual = decimal_type()
        plain = rf"^-?[0-9]{{1,{usual.precision - usual.scale}}}(\.[0-9]{{1,{usual.scale}}})?$"
        is_plain = pc.match_substring_regex(_values(table, place), plain)
        return bool(pc.all(is_plain, min_count=0).as_py())

    def _list(self, name: str, kind: str) -> "pa.DataType":
        if name != _NESTED:
            return scalar_type(kind)
        return self._pa.list_(
            self._pa.struct([(field, scalar_type(own)) for field, own in self._line.items()])
        )

    def _numbers(self) -> Iterable[_Place]:
        for name, kind in self._columns.items():
            if name == _NESTED:
                yield from ((name, field) for field, own in self._line.items() if own == "numeric")
            elif kind == "numeric":
                yield (name,)

    def _needed(self, pieces: Sequence[Path], place: _Place) -> "pa.DataType":
        """The type that holds all numbers of a column; text where one is not a number."""
        import pyarrow.compute as pc  # noqa: PLC0415 - optional

        whole = scale = 0
        for piece in pieces:
            values = pc.unique(_values(self._table(piece, [place[0]]), place))
            try:
                sizes = [_digits(number) for number in values.to_pylist() if number is not None]
            except InvalidOperation:
                return self._pa.string()
            whole = max([whole, *(before for before, _ in sizes)])
            scale = max([scale, *(behind for _, behind in sizes)])
        return decimal_type(whole, scale)


def _values(table: "pa.Table", place: _Place) -> Any:
    """A column of numbers, or that of a list's items."""
    import pyarrow.compute as pc  # noqa: PLC0415 - optional

    column: Any = table[place[0]]
    return pc.struct_field(pc.list_flatten(column), place[1]) if len(place) > 1 else column


def _digits(number: str | Decimal) -> tuple[int, int]:
    """Digits of a number before the point, and behind it."""
    _, digits, exponent = Decimal(number).as_tuple()
    if not isinstance(exponent, int):
        raise InvalidOperation(number)  # not a number, or infinite
    return max(len(digits) + exponent, 0), max(-exponent, 0)
