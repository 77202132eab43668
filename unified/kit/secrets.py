"""A secret value that does not show itself, and texts of others made so that they do not show it either."""

import base64
import logging
import re
from collections.abc import Iterable
from functools import cache, lru_cache
from html.entities import codepoint2name
from typing import NoReturn

MASK = "********"

# Their DEBUG lines hold all headers of an answer, which may repeat a credential, and httpx's INFO line holds the URL,
# which may have one in its query.
logging.getLogger("httpcore").setLevel(logging.INFO)
logging.getLogger("httpx").setLevel(logging.WARNING)

# Of a long secret so many characters are looked for, and all that follows goes with them: a pattern of a whole JWT
# would take seconds to make.
_LOOKED_FOR = 33
# Shorter secrets are not looked for in hex and base64, of which too little is left that is theirs alone.
_SHORTEST_CODED = 6

_LOOKALIKE = re.compile(
    r"(?i)(?<=://)[^\s/@]+(?=@)"  # the user info of a URL
    r"|(?<=bearer )[^\s'\"]+|(?<=basic )[^\s'\"]+"
    r"|\b(?:sk|rk|pk|ek|whsec|pat|ghp|xox[a-z])[-_][\w*-]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JWT
)


class Secret:
    """Text that only :meth:`reveal` gives away.

    Its ``repr``, ``str`` and format are masked, and it refuses to be pickled, so it can't leave the process by
    accident: in a log line, an exception, a run's configuration or a child process.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap ``value``.

        Raises:
            ValueError: If ``value`` is empty; an empty secret is a missing one.
        """
        if not value:
            msg = "a secret must not be empty"
            raise ValueError(msg)
        self._value = value

    def reveal(self) -> str:
        """The plain text. Call it where the value is used, and keep the result in no longer-lived place."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        msg = "a Secret is never pickled; pass the connection's id instead"
        raise TypeError(msg)


class Referenced(Secret):
    """A secret that is kept elsewhere: only a reference to it is stored.

    Attributes:
        reference: Where it is kept, such as ``env:NAME``; it may be shown.
    """

    __slots__ = ("reference",)

    def __init__(self, value: str, reference: str) -> None:
        """Wrap what a reference leads to now."""
        super().__init__(value)
        self.reference = reference


def without(text: str, secrets: Iterable[str]) -> str:
    """A text without secrets that it may repeat, in whatever form.

    Found are the secret itself, any of its characters escaped as in JSON, URLs, HTML or Python, once or twice; its
    bytes in hex; and base64 of it, also where it stands within more and is escaped in turn.

    Args:
        text: For example what a provider says about a request.
        secrets: What was sent with it; the empty ones are left out.
    """
    for secret in sorted(set(filter(None, secrets)), key=len, reverse=True):
        # No form of one is shorter than itself, and a pattern of all forms takes 20 ms and more to make.
        if len(text) >= min(len(secret), _LOOKED_FOR):
            text = _any_form(secret).sub(MASK, text)
    return text


def without_lookalikes(text: str) -> str:
    """A text without what looks like anybody's credential: the net under :func:`without`."""
    return _LOOKALIKE.sub(MASK, text)


@lru_cache(maxsize=64)
def _any_form(secret: str) -> re.Pattern[str]:
    head, tail = secret[:_LOOKED_FOR], secret[_LOOKED_FOR:]
    rest = rf"(?:{re.escape(tail)}|[^\s\"'<>]*)" if tail else ""
    forms, plain = [_escaped(head)], head.encode()
    if len(plain) >= _SHORTEST_CODED:
        # In base64 a secret has three forms, by where it begins; the characters at either end hold its neighbours too.
        coded = [base64.b64encode(bytes(shift) + plain).decode().rstrip("=") for shift in range(3)]
        forms += [_escaped(form[-(-4 * shift // 3) : -1]) for shift, form in enumerate(coded)]
        forms.append("[ :-]?".join(f"(?i:{byte:02x})" for byte in plain))
    return re.compile(f"(?:{'|'.join(forms)}){rest}")


def _escaped(text: str) -> str:
    return "".join(map(_any_spelling, text))


@cache
def _any_spelling(character: str) -> str:
    """A pattern of one character, as it is or escaped; of base64's, in either of its alphabets."""
    same = {"+": "+-", "/": "/_", " ": " +"}.get(character, character)
    spellings = [rf"\\*{re.escape(one)}" for one in same]
    for one in same:
        pair, code = one.encode("utf-16-be").hex(), ord(one)
        spellings += [
            "".join(rf"\\+u{pair[at : at + 4]}" for at in range(0, len(pair), 4)),
            "".join(f"%(?:25)*{byte:02x}" for byte in one.encode()),
            "".join(rf"\\+x{byte:02x}" for byte in one.encode()),
            f"&(?:amp;)?(?:#0*{code}|#x0*{code:x}|{codepoint2name.get(code, 'apos')});",
        ]
    # A letter in its own case, the digits of escapes in either.
    plain, escaped = spellings[: len(same)], spellings[len(same) :]
    return f"(?:(?i:{'|'.join(escaped)})|{'|'.join(plain)})"
