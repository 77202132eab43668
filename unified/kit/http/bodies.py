"""Reading an answer's body without trusting it: bytes are counted while they are decompressed.

A few kilobytes of gzip can stand for a gigabyte, so neither the declared length nor the compressed one says how much
memory a body takes. Decompression stops at the limit, and lets the event loop go on after each piece.
"""

import asyncio
import zlib
from collections.abc import AsyncIterable, Iterator

# What an answer may hold, decompressed, unless its request says otherwise.
MOST_BYTES = 64 * 2**20
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
    codings = [coding.strip().lower() for coding in encoding.split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity")]
    if not codings:
        return await _read_plain(pieces, most)
    if len(codings) > 1 or codings[0] not in ("gzip", "x-gzip", "deflate"):
        raise BodyError(f"is encoded as {encoding[:40]!r}, which was not asked for")
    try:
        return await _decompress(pieces, codings[0], most)
    except zlib.error:
        raise BodyError(f"is not the {codings[0]} that its header says") from None


def too_large(most: int) -> BodyError:
    """The error for a body over its limit."""
    return BodyError(f"is larger than {most / 2**20:g} MiB, which is the most that is read")


async def _read_plain(pieces: AsyncIterable[bytes], most: int) -> bytes:
    parts, size = [], 0
    async for piece in pieces:
        size += len(piece)
        if size > most:
            raise too_large(most)
        parts.append(piece)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _decompress(pieces: AsyncIterable[bytes], coding: str, most: int) -> bytes:
    stream = _Stream(coding)
    parts: list[bytes] = []
    came = size = 0
    async for piece in pieces:
        came += len(piece)
        for part in stream.parts(piece):
            size += len(part)
            if max(came, size) > most:
                raise too_large(most)
            if size > _FREE_GROWTH and size > _MOST_GROWTH * came:
                raise BodyError(
                    f"grows more than {_MOST_GROWTH} times by decompression, as no real answer does"
                )
            parts.append(part)
            if len(part) == _PIECE:
                await asyncio.sleep(0)
    if not stream.is_at_end:
        raise BodyError(f"ends before its {coding} does")
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _Stream:
    """Decompresses what comes, a piece at a time."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
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
        if self._coding != "deflate":
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        # "deflate" is zlib's form (RFC 9110 section 8.4.1.2), but some servers send it without the header, whose two
        # bytes are a multiple of 31 (RFC 1950 section 2.2).
        has_header = beginning[0] & 0x0F == zlib.DEFLATED and int.from_bytes(beginning[:2]) % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
