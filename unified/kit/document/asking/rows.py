"""Lines of JSON and CSV as records, read as their bytes come. One that is odd costs no other: it is a reject."""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_BOMS = {"utf-8": "utf-8-sig"}
_LOOKED_AT = 1_000
_LONGEST = 64 * 2**20

csv.field_size_limit(_LONGEST)  # the library's own bound is 128 KiB


def rows_of(pieces: Iterable[bytes], kind: str, delimiter: str, encoding: str) -> Iterator[msgspec.Raw]:
    """The records of a file.

    Args:
        pieces: The file's bytes as they come.
        kind: ``jsonl`` or ``csv``.
        delimiter: Of CSV.
        encoding: Of CSV.

    Raises:
        msgspec.ValidationError: If it is no such file, or a line of it is longer than 64 MiB.
        UnicodeDecodeError: If it is in another encoding.
    """
    file = io.BufferedReader(_Pieces(pieces), 2**16)
    return _lines(file) if kind == "jsonl" else _rows(file, delimiter, encoding)


class _Pieces(io.RawIOBase):
    """Bytes that come in pieces, as a file."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _lines(file: "io.BufferedReader[_Pieces]") -> Iterator[msgspec.Raw]:
    while line := file.readline(_LONGEST + 1):
        if len(line) > _LONGEST:
            raise msgspec.ValidationError("a line of it is longer than 64 MiB")
        if line.strip():
            yield _line(line)


def _line(line: bytes) -> msgspec.Raw:
    """A line's JSON; its text, which is a reject, where it is none."""
    try:
        return _ANYTHING.decode(line.strip())
    except (msgspec.MsgspecError, RecursionError):
        return _text_of(line.decode(errors="replace"))


def _rows(file: "io.BufferedReader[_Pieces]", delimiter: str, encoding: str) -> Iterator[msgspec.Raw]:
    if file.peek(_LOOKED_AT).lstrip()[:1] in (b"{", b"[") and encoding != "utf-16":
        raise msgspec.ValidationError("it is JSON instead of CSV")
    text = io.TextIOWrapper(file, _BOMS.get(encoding, encoding), errors="strict", newline="")
    taken: list[str] = []
    reader = csv.reader(_noting(text, taken), delimiter=delimiter, strict=True)
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


def _noting(text: io.TextIOWrapper, taken: list[str]) -> Iterator[str]:
    """The lines, each noted as it is taken; the end as an empty one."""
    while line := text.readline(_LONGEST + 1):
        if len(line) > _LONGEST:
            raise msgspec.ValidationError("a line of it is longer than 64 MiB")
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
