"""What a stream's records have in common and no person's data: names of fields, and the marks between them. Pure.

A dictionary made of records themselves would hold pieces of them, for as long as it is needed: longer than any of the
records. So every text and number is taken out first. A name of a field stays where half of the records have it, and it
reads like one: one person's name or id, as a key of a map, does not.
"""

import re
from collections import Counter
from collections.abc import Sequence

from backports import zstd

FEWEST = 100
"""Records that a dictionary is made of, at least: what half of fewer have may be one person's."""

MOST = 200
"""Records that it is made of, at most: 500 take 0.3 s, and compress no better."""

LARGEST = 32 * 1024
"""Bytes of a record that it is made of, at most: a dictionary is smaller, and longer ones take it little."""

LEVEL = 3
"""Of compression. Level 6 takes three times the time for a twentieth of the bytes."""

_BYTES = 8192
# A dictionary's statistics come to some hundred bytes.
_WHOLE_BYTES = _BYTES + 4096

_TOKENS = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|-?\d[\d.eE+-]*')
# Letters with a few digits among them; not an address, nor an id.
_NAME = re.compile(rb"[A-Za-z_]+(?:\d{1,2}[A-Za-z_]+)*\d{0,2}")
_LONGEST_NAME = 64


def shapes(records: Sequence[bytes]) -> list[bytes]:
    """JSON texts without what they say: texts are empty, numbers 0, and unusual names of fields are empty.

    Args:
        records: Valid JSON. White space stays as it is.
    """
    counts: Counter[bytes] = Counter()
    for record in records:
        counts.update({name for name, colon in _TOKENS.findall(record) if colon and _is_name(name)})
    usual = {name for name, count in counts.items() if 2 * count >= len(records)}

    def emptied(token: re.Match[bytes]) -> bytes:
        text, colon = token.groups()
        if text is None:
            return b"0"
        return token[0] if colon and text in usual else b'""' + (colon or b"")

    return [_TOKENS.sub(emptied, record) for record in records]


def dictionary(records: Sequence[bytes]) -> bytes:
    """A dictionary of zstd for records like these: their usual shapes, and how often which byte and length occurs.

    Args:
        records: JSON texts, at least :data:`FEWEST`.
    """
    content = b""
    for shape, _ in Counter(shapes(records)).most_common():
        if len(shape) + len(content) <= _BYTES:
            content = shape + content  # what stands last costs least to refer to
    content = content or shapes(records)[0][:_BYTES]
    made = zstd.finalize_dict(zstd.ZstdDict(content, is_raw=True), records, _WHOLE_BYTES, LEVEL)
    return made.dict_content


def names(made: bytes) -> bytes:
    """The names of fields in a dictionary, as a JSON array.

    Args:
        made: By :func:`dictionary`. It begins with statistics, in which any byte may be a quotation mark.
    """
    return b"[%b]" % b",".join(b'"%b"' % name for name in made.split(b'"') if _is_name(name))


def _is_name(text: bytes) -> bool:
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None
