"""Parquet files of one schema made one file, without decoding: row groups are copied, and what says where they are.

Readers find a row group by the places in the file's footer alone. No library that is kept joins files so from Python:
pyarrow appends to no file, and merges footers only of files that stay apart. Not here: what the rows are
(:mod:`unified.sync.exports.parquet`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_MAGIC = b"PAR1"
_TAIL_BYTES = 8  # the size of the footer, and the magic again

# Fields of the footer that are places in the file, by number: of row groups, of their column chunks, and of these
# chunks' pages (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
_PLACES: Mapping[int, Any] = {
    4: {1: {2: True, 3: {9: True, 10: True, 11: True, 14: True}, 4: True, 6: True}, 5: True}
}
_LIST_SIZE_FOLLOWS = 15


def join(pieces: Sequence[Path], file: Path) -> None:
    """Make a file of the row groups of others, one behind the other.

    Args:
        pieces: Parquet files of one schema, at least one; each is held in memory in its turn.
        file: Where it goes; what was there is replaced.

    Raises:
        OSError: If that can't be written.
    """
    import pyarrow as pa  # noqa: PLC0415 - optional
    from pyarrow import parquet  # noqa: PLC0415 - optional

    whole: Any = None
    with file.open("wb") as out:
        out.write(_MAGIC)
        for piece in pieces:
            data = memoryview(piece.read_bytes())
            size, tail = int.from_bytes(data[-_TAIL_BYTES:-4], "little"), data[-4:]
            end = len(data) - _TAIL_BYTES - size
            footer = _moved(data[end:-_TAIL_BYTES], out.tell() - len(_MAGIC))
            out.write(data[len(_MAGIC) : end])
            footer += len(footer).to_bytes(4, "little") + tail
            metadata = parquet.read_metadata(pa.BufferReader(bytes(footer)))
            if whole is None:
                whole = metadata
            else:
                whole.append_row_groups(metadata)
        merged = pa.BufferOutputStream()
        whole.write_metadata_file(merged)
        out.write(memoryview(merged.getvalue())[len(_MAGIC) :])


def _moved(footer: memoryview, by: int) -> bytearray:
    """A footer whose places are so many bytes further on."""
    walk = _Walk(footer, by)
    walk.structure(_PLACES)
    return walk.out


class _Walk:
    """A walk through Thrift's compact protocol, which copies all but the places.

    See https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
    """

    def __init__(self, data: memoryview, by: int) -> None:
        self._data, self._by, self._at = data, by, 0
        self.out = bytearray()

    def structure(self, places: Mapping[int, Any]) -> None:
        """Copy the fields of a structure, which may have these ``places`` in it."""
        field = 0
        while head := self._copied(1)[0]:
            field = field + (head >> 4) if head >> 4 else _signed(self._number())
            self._value(head & 15, places.get(field), is_field=True)

    def _value(self, kind: int, places: Any, *, is_field: bool = False) -> None:
        match kind:
            case 1 | 2:  # of a field the value is in its head
                self._copied(0 if is_field else 1)
            case 3:
                self._copied(1)
            case 4 | 5 | 6:
                begin = len(self.out)
                place = _signed(self._number())
                if places is True and place:  # a chunk's own place is 0 in files of today: not there
                    del self.out[begin:]
                    self.out += _encoded((place + self._by) << 1)
            case 7:
                self._copied(8)
            case 8:
                self._copied(self._number())
            case 9 | 10:
                head = self._copied(1)[0]
                size = self._number() if head >> 4 == _LIST_SIZE_FOLLOWS else head >> 4
                for _ in range(size):
                    self._value(head & 15, places)
            case 12:
                self.structure(places or {})
            case _:
                raise ValueError(kind)

    def _copied(self, size: int) -> memoryview:
        found = self._data[self._at : self._at + size]
        self._at += size
        self.out += found
        return found

    def _number(self) -> int:
        """The number that is next, copied: seven bits a byte, the lowest first."""
        number = shift = 0
        while True:
            byte = self._copied(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the last byte has no eighth bit
                return number
            shift += 7


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:  # noqa: PLR2004 - as in _number
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
