"""The files of a zip archive, in memory, counted while they are decompressed. No name in it is used as a path."""

import io
import zipfile
import zlib

import msgspec

from unified.kit.http import bodies

MOST_FILES = 1_000

_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE = 2**20


def unzipped(body: bytes, most: int = bodies.MOST_BYTES) -> list[bytes]:
    """What the files of an archive hold, in its order.

    Args:
        body: The archive.
        most: Bytes that they may have together, whatever the archive says of their sizes.

    Raises:
        msgspec.ValidationError: If it is not such an archive, is encrypted, or holds too much.
    """
    found: list[bytes] = []
    left = most
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            files = [one for one in archive.infolist() if not one.is_dir()]
            if len(files) > MOST_FILES:
                raise msgspec.ValidationError(f"its zip archive has more than {MOST_FILES:,} files")
            for one in files:
                if one.flag_bits & 1 or one.compress_type not in _KINDS:
                    raise msgspec.ValidationError("its zip archive is encrypted, or not stored or deflated")
                with archive.open(one) as opened:
                    parts: list[bytes] = []
                    while piece := opened.read(_PIECE):
                        left -= len(piece)
                        if left < 0:
                            raise msgspec.ValidationError(f"its zip archive {bodies.too_large(most)}")
                        parts.append(piece)
                found.append(b"".join(parts))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise msgspec.ValidationError(f"it is not a zip archive that can be read ({error})") from None
    return found
