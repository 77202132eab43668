"""A raw record's JSON text as PostgreSQL keeps it, so that ``raw_data ->> …`` can be asked of every row.

PostgreSQL takes the escape of U+0000 into a column of type ``json`` and fails when anything reads it, and with it the
query over all other rows. So that escape is kept as U+FFFD, in a spelling that nothing else has, and read back as it
was received. Not here: half a surrogate, which is U+FFFD already when an answer is read.
"""

import re

_NUL, _KEPT, _USUAL = rb"\u0000", rb"\uFfFd", rb"\ufffd"

# An escape, after an even number of backslashes: after an odd one, it is a backslash and some letters.
_ESCAPES = {one: re.compile(rb"(?<!\\)((?:\\\\)*)" + re.escape(one)) for one in (_NUL, _KEPT)}


def stored(raw: bytes | memoryview) -> bytes:
    """JSON text as it goes into a column. A source's own U+FFFD that is spelled as ours is spelled in the usual way."""
    raw = bytes(raw)
    if b"\\" not in raw:  # hundreds of times faster than to look for an escape, and true of most
        return raw
    return _replaced(_replaced(raw, _KEPT, _USUAL), _NUL, _KEPT)


def received(kept: bytes) -> bytes:
    """JSON text as it was received, out of a column."""
    return _replaced(kept, _KEPT, _NUL)


def _replaced(text: bytes, old: bytes, new: bytes) -> bytes:
    if old not in text:
        return text
    return _ESCAPES[old].sub(lambda found: found[1] + new, text)
