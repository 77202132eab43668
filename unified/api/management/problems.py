"""Refusals: every error of the API as ``application/problem+json`` (RFC 9457), and never with a value of the request.

| status | means |
|---|---|
| 400 | the body is no JSON, or nested too deep |
| 401 | nobody is known by these credentials |
| 403 | known, but not permitted |
| 404 | there is no such thing in this workspace |
| 410 | the database was restored, and what was remembered of it is of before |
| 409 | the name is taken, or the state does not allow it |
| 412, 428 | somebody else changed it first; ``If-Match`` is missing |
| 422 | a value is not usable; ``errors`` says which |
| 429 | more requests than one caller may send |
| 503 | the database is away, or of another release |
"""

import http
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from unified.kit.errors import ConfigurationError
from unified.kit.settings import UnusableSettingsError
from unified.store.connections.approval import ConnectionNotApprovedError
from unified.store.connections.rows import ConnectionNotFoundError, UnknownConnectorError
from unified.store.connectors.documents import DocumentNotFoundError
from unified.store.connectors.drafts import DraftChangedError, DraftNotFoundError
from unified.store.connectors.trust import DeprecationNotFoundError
from unified.store.errors import (
    BusyError,
    DuplicateNameError,
    InvalidSettingError,
    NotMigratedError,
    StoreError,
    UnreachableError,
    VersionConflictError,
)
from unified.store.idempotency import KeyReusedError, UnderWayError
from unified.store.identities.golden import IdentityError, IdentityNotFoundError
from unified.store.inbox.endpoints import EndpointNotFoundError
from unified.store.lists.pages import TooSlowError
from unified.store.privacy.persons import UnknownRecordError
from unified.store.routes.review import DecisionError
from unified.store.routes.rows import RouteNotFoundError
from unified.store.secrets.credentials.errors import CredentialExpiredError, InvalidCredentialError
from unified.store.secrets.elsewhere.references import SecretReferenceError
from unified.store.subscriptions.rows import SubscriptionNotFoundError
from unified.store.workspaces.members import (
    DuplicateMemberError,
    InvalidSubjectError,
    LastOwnerError,
    MemberNotFoundError,
    RoleBeyondError,
)
from unified.store.workspaces.rows import WorkspaceNotFoundError
from unified.store.workspaces.tokens import InvalidTokenError, TokenNotFoundError
from unified.sync.connections.wanted import CredentialFieldsError
from unified.sync.connectors.errors import InstallError
from unified.sync.errors import CredentialRefusedError, OtherHostError
from unified.sync.identities.resolve import IdentitiesBusyError
from unified.sync.privacy import PrivacyRequestError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5

# What an error of the store means to the request's sender; the most derived class counts.
STATUS_OF: dict[type[Exception], int] = {
    ConnectionNotFoundError: 404,
    WorkspaceNotFoundError: 404,
    EndpointNotFoundError: 404,
    RouteNotFoundError: 404,
    SubscriptionNotFoundError: 404,
    IdentityNotFoundError: 404,
    MemberNotFoundError: 404,
    TokenNotFoundError: 404,
    UnknownRecordError: 404,
    DocumentNotFoundError: 404,
    DraftNotFoundError: 404,
    DeprecationNotFoundError: 404,
    InstallError: 409,
    DraftChangedError: 409,
    DuplicateNameError: 409,
    DuplicateMemberError: 409,
    CredentialExpiredError: 409,
    InvalidCredentialError: 409,
    LastOwnerError: 409,
    UnderWayError: 409,
    DecisionError: 409,
    IdentityError: 409,
    IdentitiesBusyError: 409,
    ConnectionNotApprovedError: 409,
    VersionConflictError: 412,
    RoleBeyondError: 403,
    InvalidSettingError: 422,
    SecretReferenceError: 422,
    UnknownConnectorError: 422,
    InvalidTokenError: 422,
    InvalidSubjectError: 422,
    KeyReusedError: 422,
    TooSlowError: 422,
    ConfigurationError: 422,
    PrivacyRequestError: 422,
    OtherHostError: 409,
    BusyError: 503,
    UnreachableError: 503,
    NotMigratedError: 503,
}

_log = logging.getLogger(__name__)


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """A request is refused.

    Attributes:
        status: Of HTTP.
        detail: What went wrong and what to do, for people.
        headers: Of the answer.
        errors: Which values are not usable: JSON pointer into the request, and why.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = errors

    @property
    def in_full(self) -> str:
        """For people: what went wrong, and of each value that is not usable why."""
        said, leads_on, _ = self.detail.partition("; errors says")
        if not leads_on:
            return self.detail
        faults = (f"{one['pointer'].rpartition('/')[2]}: {one['detail'].rstrip('.')}" for one in self.errors)
        return f"{said}: {'; '.join(faults)}."


def problem_response(request: Request, problem: Problem) -> Response:
    """A refusal as an answer."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request.scope.get("request_id", ""),
    }
    if problem.errors:
        document["errors"] = problem.errors
    return Response(msgspec.json.encode(document), problem.status, problem.headers, MEDIA_TYPE)


def explained(error: Exception) -> Problem:
    """What any error means to the request's sender; only what is meant for people is shown."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _unusable(error)
        case HTTPException():
            detail = "The body has too many bytes." if error.status_code == 413 else str(error.detail)  # noqa: PLR2004
            return Problem(error.status_code, f"{detail.rstrip('.')}.", headers=error.headers)
        case UnusableSettingsError() | CredentialFieldsError() | CredentialRefusedError():
            return _of_connection(error)
        case psycopg.DataError() | UnicodeEncodeError():
            return Problem(422, "A value holds what can't be stored, such as the character U+0000.")
    for kind in type(error).__mro__:
        if status := STATUS_OF.get(kind):
            headers = {"retry-after": str(RETRY_SECONDS)} if status == 503 else {}  # noqa: PLR2004
            if status == 503:  # noqa: PLR2004
                _log.warning("a request could not be served: %s", error)
                return Problem(status, _unavailable(error), headers=headers)
            return Problem(status, str(error), headers=headers)
    if isinstance(error, StoreError):
        _log.error("a request could not be served: %s", error)
        return Problem(500, "This installation is not in order; its log says more.")
    _log.error("a request failed", exc_info=error)
    return Problem(500, "Something failed that should not; the log has it under this request id.")


def _unavailable(error: Exception) -> str:
    """Why nothing can be served at present, for who may come again; the log has the error itself."""
    if isinstance(error, NotMigratedError):
        return "The database is being brought to another release than this server's; come again."
    return "The database does not answer in time; come again."


def _of_connection(
    error: UnusableSettingsError | CredentialFieldsError | CredentialRefusedError,
) -> Problem:
    """What is wrong with a connection that was to be stored: at which place of the request."""
    match error:
        case UnusableSettingsError():
            faults = [
                unusable_value({**one, "loc": ("body", "settings", *one["loc"])}) for one in error.faults
            ]
            return Problem(
                422, f"These settings do not fit {error.connector}; errors says which.", errors=faults
            )
        case CredentialFieldsError():
            detail = "These are not the credentials that the connector needs; errors says which it has."
            fault = f"{error}."
        case CredentialRefusedError():
            detail, fault = str(error), "refused"
    return Problem(
        422, f"{detail[:1].upper()}{detail[1:]}", errors=[{"pointer": "/body/fields", "detail": fault}]
    )


def _unusable(error: RequestValidationError) -> Problem:
    """Which values are not usable, without the values."""
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return Problem(400, "The body is no JSON.")
    errors = [unusable_value(one) for one in found]
    return Problem(422, "The request has values that are not usable; errors says which.", errors=errors)


def unusable_value(one: Mapping[str, Any]) -> dict[str, str]:
    """One unusable value. The name of a field that is not known is the sender's own text, as a value would be."""
    is_unknown = one["type"] == "extra_forbidden"
    where = one["loc"][:-1] if is_unknown else one["loc"]
    detail = (
        f"There is a field here that is not known{one.get('near') or '.'}" if is_unknown else str(one["msg"])
    )
    return {"pointer": "/" + "/".join(map(str, where)), "detail": detail}


def answer_problems(app: FastAPI) -> None:
    """Have an application answer every error by a problem."""

    async def refuse(request: Request, error: Exception) -> Response:
        return problem_response(request, explained(error))

    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, refuse)
