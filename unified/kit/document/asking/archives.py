"""The files of a zip archive, counted while they are decompressed. No name in it is used as a path."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import msgspec

from unified.kit.http import bodies

MOST_FILES = 1_000

_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)
_PIECE = 2**20


def files_of(file: IO[bytes], most: int) -> Iterator[Iterator[bytes]]:
    """The files of an archive, in its order, each piece by piece.

    Args:
        file: The archive.
        most: Bytes that they may have together, whatever the archive says of their sizes.

    Raises:
        msgspec.ValidationError: If it is not such an archive, is encrypted, or holds too much.
    """
    left = [most]
    try:
        with zipfile.ZipFile(file) as archive:
            files = [one for one in archive.infolist() if not one.is_dir()]
            if len(files) > MOST_FILES:
                raise msgspec.ValidationError(f"its zip archive has more than {MOST_FILES:,} files")
            for one in files:
                if one.flag_bits & 1 or one.compress_type not in _KINDS:
                    raise msgspec.ValidationError("its zip archive is encrypted, or not stored or deflated")
                with archive.open(one) as opened:
                    yield _pieces(opened, one.compress_size, left, most)
    except _FAULTS as error:
        raise _unreadable(error) from None


def _pieces(opened: IO[bytes], came: int, left: list[int], most: int) -> Iterator[bytes]:
    size = 0
    try:
        while piece := opened.read(_PIECE):
            size += len(piece)
            left[0] -= len(piece)
            if left[0] < 0:
                raise bodies.too_large(most)
            bodies.check_growth(size, came)
            yield piece
    except bodies.BodyError as error:
        raise msgspec.ValidationError(f"its zip archive {error}") from None
    except _FAULTS as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> msgspec.ValidationError:
    return msgspec.ValidationError(f"it is not a zip archive that can be read ({error})")


def unzipped(body: bytes, most: int = bodies.MOST_BYTES) -> list[bytes]:
    """What the files of an archive hold, in its order.

    Args:
        body: The archive.
        most: Bytes that they may have together, whatever the archive says of their sizes.

    Raises:
        msgspec.ValidationError: If it is not such an archive, is encrypted, or holds too much.
    """
    return [b"".join(pieces) for pieces in files_of(io.BytesIO(body), most)]
