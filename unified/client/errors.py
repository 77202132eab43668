"""Why a client's request came to nothing. Messages are what the server says to people; none holds a token.

ClientError
├── UnreachableError      nobody answers at that address
├── UnusableQueryError    a filter, field or value is not one of the list's (422)
├── NotPermittedError     the token is not good (401), or not for this (403)
├── NotFoundError         there is no such record or connection (404)
├── StartAgainError       the place in the order of changes means nothing any more (410)
└── BusyError             the server asked to come again for longer than was allowed (429, 503)
"""

from collections.abc import Mapping, Sequence


class ClientError(Exception):
    """A request came to nothing.

    Attributes:
        status: Of HTTP; None where there was no answer.
        errors: Which values are not usable, each with ``pointer`` and ``detail``.
        request_id: By which the server's log has it.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        errors: Sequence[Mapping[str, str]] = (),
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors
        self.request_id = request_id


class UnreachableError(ClientError):
    """Nobody answers at that address."""


class UnusableQueryError(ClientError):
    """A filter, field or value is not one of the list's."""


class NotPermittedError(ClientError):
    """The token is not good, or not for this."""


class NotFoundError(ClientError):
    """There is no such record, connection or workspace."""


class StartAgainError(ClientError):
    """The place in the order of changes means nothing any more: read the list anew."""


class BusyError(ClientError):
    """The server asked to come again for longer than was allowed."""


OF_STATUS: Mapping[int, type[ClientError]] = {
    401: NotPermittedError,
    403: NotPermittedError,
    404: NotFoundError,
    410: StartAgainError,
    422: UnusableQueryError,
    429: BusyError,
    503: BusyError,
}
"""The error of each status that means something in particular."""
