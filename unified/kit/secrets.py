"""A secret value that does not show itself, and texts of others made so that they do not show it either."""

import base64
import logging
from collections.abc import Iterable
from typing import NoReturn
from urllib.parse import quote, quote_plus

MASK = "********"

# Its DEBUG lines hold all headers of an answer, and an answer may repeat a credential.
logging.getLogger("httpcore").setLevel(logging.INFO)


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
        return "Secret('********')"

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


def without(text: str, secrets: Iterable[str]) -> str:
    """A text without secrets that it may repeat: as they are, URL-encoded, in hex or in base64, also within more.

    Args:
        text: For example what a provider says about a request.
        secrets: What was sent with it; the empty ones are left out.
    """
    for secret in filter(None, secrets):
        plain = secret.encode()
        # In base64 a secret has three forms, by where it begins; the characters at either end hold its neighbours too.
        coded = [base64.b64encode(bytes(shift) + plain).decode().rstrip("=") for shift in range(3)]
        coded = [form[-(-4 * shift // 3) : -1] for shift, form in enumerate(coded)]
        coded += [form.replace("+", "-").replace("/", "_") for form in coded]
        shown = {secret, quote(secret, safe=""), quote_plus(secret), plain.hex(), plain.hex().upper(), *coded}
        for form in sorted(shown, key=len, reverse=True):
            text = text.replace(form, MASK)
    return text
