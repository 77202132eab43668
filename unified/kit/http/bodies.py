"""Reading an answer's body without trusting it: bytes are counted while they are decompressed.

A few kilobytes of gzip can stand for a gigabyte, so neither the declared length nor the compressed one says how much
memory a body takes. Decompression stops at the limit, and lets the event loop go on after each piece.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import aclosing
from tempfile import TemporaryFile, gettempdir
from typing import IO, Literal

Kept = Literal["file", "beginning"]
"""What is kept of a large answer, where that is not all of it in memory: see :func:`kept` and :func:`beginning`."""

# What an answer may hold, decompressed, unless its request says otherwise.
MOST_BYTES = 64 * 2**20
# What is kept in memory of an answer that may be larger than that.
LARGE = 2**20
# What we can read; no more is asked for (RFC 9110 section 12.5.3).
ACCEPTED = "gzip, deflate"

_GZIP = b"\x1f\x8b"
# So much is decompressed at once, some two milliseconds' work.
_PIECE = 2**20
# Real answers are compressed to a fifth or a twentieth. What is larger than this and grew more is a bomb.
_FREE_GROWTH = 8 * 2**20
_MOST_GROWTH = 100


class BodyError(Exception):
    """A body is too large or can't be decompressed; the message says what it is: ``is larger than 64 MiB``."""


async def read(pieces: AsyncIterable[bytes], encoding: str, most: int) -> bytes:
    """All of a body, decompressed.

    Args:
        pieces: The bytes as they come.
        encoding: The header ``Content-Encoding``.
        most: Bytes that the body may have, before and after decompression.

    Raises:
        BodyError: If it has more, grows like no real answer, or is not encoded as the header says.
    """
    parts = [part async for part in _decoded(pieces, encoding, most)]
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def kept(pieces: AsyncIterable[bytes], encoding: str, most: int) -> tuple[bytes, IO[bytes] | None]:
    """All of a body, decompressed: in memory, or where it is large, its beginning, and all of it in a file.

    The file has no name, so it goes when it is closed, or with the process. Arguments and errors are :func:`read`'s.
    """
    parts: list[bytes] = []
    size, file = 0, None
    try:
        async for part in _decoded(pieces, encoding, most):
            size += len(part)
            if file is None:
                parts.append(part)
            if size > LARGE and file is None:
                file = TemporaryFile()  # noqa: SIM115 - whoever reads the answer closes it
                file.writelines(parts)
            elif file is not None:
                file.write(part)
    except BaseException as error:
        if file is not None:
            file.close()
        if isinstance(error, OSError):
            raise BodyError(f"can't be kept in {gettempdir()} ({error.strerror})") from None
        raise
    if file is not None:
        file.seek(0)
    return b"".join(parts), file


async def beginning(pieces: AsyncIterable[bytes], encoding: str) -> bytes:
    """As much of a body as is kept in memory of a large one, decompressed; the rest is not asked for.

    Raises:
        BodyError: As :func:`read` does.
    """
    parts: list[bytes] = []
    async with aclosing(_decoded(pieces, encoding, 2 * LARGE)) as decoded:
        async for part in decoded:
            parts.append(part)
            if sum(map(len, parts)) >= LARGE:
                break
    return b"".join(parts)[:LARGE]


def unpacked(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """What a gzip file holds, piece by piece.

    Args:
        pieces: The file's bytes.
        most: Bytes that it may hold.

    Raises:
        BodyError: If it holds more, grows like no real file, or is not one.
    """
    counted = _Counted(_Stream("gzip"), most)
    for piece in pieces:
        yield from counted.parts(piece)
    counted.end()


def _codings(encoding: str) -> str | None:
    """What a body is compressed by; None where it is not."""
    codings = [coding.strip().lower() for coding in encoding.split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in ("gzip", "x-gzip", "deflate"):
        raise BodyError(f"is encoded as {encoding[:40]!r}, which was not asked for")
    return codings[0]


async def _decoded(pieces: AsyncIterable[bytes], encoding: str, most: int) -> AsyncGenerator[bytes, None]:
    coding = _codings(encoding)
    counted = None if coding is None else _Counted(_Stream(coding), most)
    size = 0
    async for piece in pieces:
        if counted is None:
            size += len(piece)
            if size > most:
                raise too_large(most)
            yield piece
            continue
        for part in counted.parts(piece):
            yield part
            if len(part) == _PIECE:
                await asyncio.sleep(0)
    if counted is not None:
        counted.end()


def check_growth(size: int, came: int) -> None:
    """Refuse bytes that decompression makes too many of.

    Raises:
        BodyError: If they are a bomb.
    """
    if size > _FREE_GROWTH and size > _MOST_GROWTH * came:
        raise BodyError(f"grows more than {_MOST_GROWTH} times by decompression, as no real answer does")


def too_large(most: int) -> BodyError:
    """The error for a body over its limit."""
    return BodyError(f"is larger than {most / 2**20:g} MiB, which is the most that is read")


class _Counted:
    """Counts what a stream decompresses, against what it may."""

    def __init__(self, stream: "_Stream", most: int) -> None:
        self._stream = stream
        self._most = most
        self._came = self._size = 0

    def parts(self, piece: bytes) -> Iterator[bytes]:
        """What comes out of a further piece."""
        self._came += len(piece)
        try:
            for part in self._stream.parts(piece):
                self._size += len(part)
                if max(self._came, self._size) > self._most:
                    raise too_large(self._most)
                check_growth(self._size, self._came)
                yield part
        except zlib.error:
            raise BodyError(f"is not the {self._stream.coding} that its header says") from None

    def end(self) -> None:
        """See that all came."""
        if not self._stream.is_at_end:
            raise BodyError(f"ends before its {self._stream.coding} does")


class _Stream:
    """Decompresses what comes, a piece at a time."""

    def __init__(self, coding: str) -> None:
        self.coding = coding
        self._current: zlib._Decompress | None = None
        self._has_ended = False

    @property
    def is_at_end(self) -> bool:
        """Whether the body may end here: nothing has begun, or all of it has ended."""
        return self._current is None

    def parts(self, waiting: bytes) -> Iterator[bytes]:
        """What comes out of further bytes, a mebibyte at most each time."""
        while waiting:
            if self._current is None:
                # A gzip file may consist of several (RFC 1952 section 2.2); anything else is what some servers append.
                if self._has_ended and not waiting.startswith(_GZIP):
                    return
                self._current = self._begun(waiting)
            yield self._current.decompress(waiting, _PIECE)
            waiting = self._current.unconsumed_tail
            if self._current.eof:
                waiting, self._current, self._has_ended = self._current.unused_data, None, True

    def _begun(self, beginning: bytes) -> "zlib._Decompress":
        if self.coding != "deflate":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        # "deflate" is zlib's form (RFC 9110 section 8.4.1.2), but some servers send it without the header, whose two
        # bytes are a multiple of 31 (RFC 1950 section 2.2).
        has_header = beginning[0] & 0x0F == zlib.DEFLATED and int.from_bytes(beginning[:2]) % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
