"""What can go wrong between an adapter and its provider.

AdapterError
├── ConfigurationError       the connection is set up wrongly; nothing was sent
│   └── ForbiddenHostError   the host is private or local and that was not opted into
├── ProviderError            the provider was asked and did not give what was asked for
│   ├── AuthenticationError      the credential is wrong, revoked or expired
│   ├── PermissionDeniedError    the credential lacks a right
│   ├── NotFoundError            there is nothing at that path
│   ├── RequestRefusedError      the request itself was refused
│   ├── RateLimitedError         still over the limit after all retries, or over a daily one
│   ├── UnavailableError         unreachable, cut off, timed out or 5xx after all retries
│   │   └── UndecidedError           … and the change that was sent may have been applied all the same
│   └── ProtocolError            the answer is not what the API documents
│       └── SingleRecordsError       single records of that kind can't be read
├── StaleCursorError         the provider no longer has the changes since this cursor
├── MappingError             one raw record can't become a unified one
├── SignatureError           a webhook delivery is not proven to come from its provider
└── PayloadError             a webhook delivery is proven, but is not what its provider documents

Messages say what was tried, what went wrong and what to do. They never hold a credential, a header or a body.
Beside them: what somebody may have meant by a name that there is not, and a number of things in words.
"""

from collections.abc import Iterable
from difflib import get_close_matches

_LIKENESS = 0.75  # emial and email, custmer and customers; not last_name and first_name


def meant(name: str, known: Iterable[str]) -> list[str]:
    """The names that somebody may have meant by another one, the likeliest first; at most three."""
    folded: dict[str, str] = {}
    for one in sorted(known):
        folded.setdefault(one.casefold(), one)
    return [folded[one] for one in get_close_matches(name.casefold(), folded, cutoff=_LIKENESS)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What ends the refusal of a name: a question, where one of those that there are is much like it."""
    found = meant(name, known)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun: ``1 record``, ``1,200 records``.

    Args:
        number: How many.
        one: The noun of one of them.
        several: That of any other number, where that is not ``one`` with an s.
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


class AdapterError(Exception):
    """Base of all adapter errors."""


class ConfigurationError(AdapterError):
    """The connection's settings or credentials can't work; nothing was sent to the provider."""


class ForbiddenHostError(ConfigurationError):
    """The base URL leads to a private, local or reserved address."""


class ProviderError(AdapterError):
    """The provider was asked and did not give what was asked for.

    Attributes:
        status: HTTP status of the last answer, or None where there was no answer.
        code: The provider's own word for what is wrong, where it gave one.
        wait: Seconds for which not to ask again, where that is longer than a run stays for: a day's limit, an
            announced maintenance. None where the next run may ask at once.
    """

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.wait = wait


class AuthenticationError(ProviderError):
    """The provider does not accept the credential."""


class PermissionDeniedError(ProviderError):
    """The credential is valid but lacks a right."""


class NotFoundError(ProviderError):
    """There is nothing at that path."""


class RequestRefusedError(ProviderError):
    """The provider refuses the request as it was put (400, 409, 422 …)."""


class RateLimitedError(ProviderError):
    """The limit is still exceeded after all retries."""


class UnavailableError(ProviderError):
    """The provider can't be reached or keeps failing."""


class UndecidedError(UnavailableError):
    """A change was sent and no usable answer came: it may have been applied or not."""


class ProtocolError(ProviderError):
    """The answer breaks the provider's own documentation: HTML, broken JSON, a page that repeats."""


MAY_PASS = (RateLimitedError, UnavailableError, ProtocolError)
"""Errors that pass by themselves, in a minute unless ``wait`` says otherwise. All others stay until somebody changes
something."""


class SingleRecordsError(ProtocolError):
    """The source shows no single records of this kind: all that can be known is what its lists say."""


class StaleCursorError(AdapterError):
    """The provider no longer has the changes since this cursor; only a full refresh helps."""


class MappingError(AdapterError):
    """One raw record can't become a unified one; it is kept as a reject with this reason."""


class SignatureError(AdapterError):
    """A webhook delivery is not proven to come from its provider. It says the same whatever the cause."""

    def __init__(self) -> None:
        super().__init__("the delivery's signature is missing, wrong or out of date")


class PayloadError(AdapterError):
    """A webhook delivery comes from its provider, but its body is not what the provider documents."""
