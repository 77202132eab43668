"""JSON that breaks a rule without being unreadable: what providers send, and strict decoders refuse.

One such value would make the whole page or delivery around it unreadable, on every run. Not here: values that are
valid JSON and still odd, which are a mapping's to keep aside.
"""

import re
from collections.abc import Iterator

# An escape in JSON text: a whole surrogate pair, half of one (the group), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# A string, or a word that is not a number in JSON.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x1f]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def repairs(body: bytes) -> Iterator[bytes]:
    """A body, mended a bit more each time: to be tried one after another until one can be read.

    Half a surrogate pair, left by a system that cuts text in UTF-16, becomes U+FFFD. ``NaN`` and ``Infinity`` become
    text, so that only the field that has one is not a number. Control characters in strings are escaped, and a byte
    order mark is left out.

    Yields:
        The body, then with its surrogates mended, which is quick, then with all of it mended.
    """
    yield body
    body = _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body)
    yield body
    yield _TOKEN.sub(_mended, body.removeprefix(_BYTE_ORDER_MARK))


def _mended(token: re.Match[bytes]) -> bytes:
    if not token[0].startswith(b'"'):
        return b'"%b"' % token[0]
    return _CONTROL.sub(lambda one: b"\\u%04x" % one[0][0], token[0])
