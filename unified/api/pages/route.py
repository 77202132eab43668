"""What each page goes through before its own code: who is signed in, whether they may, how often, and their form."""

import hmac
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from unified.api.ingress.body import DisconnectedError, TooBusyError, TooLargeError
from unified.api.management.access.callers import Caller
from unified.api.management.cookies import cookie_name
from unified.api.management.problems import RETRY_SECONDS, Problem, explained
from unified.api.management.route import ManagementRoute, count_request
from unified.api.management.services import Services, services_of
from unified.api.pages.session import Session, Sessions
from unified.api.pages.view import error_page, see_other
from unified.kit.secrets import Secret

NO_SUCH_PAGE = Problem(404, "There is no such page in this workspace.")
CSRF_FIELD = "csrf"
_MOST_FIELDS = 200
_SHOWN_IN_PLACE = frozenset({409, 412, 422, 502})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page.

    Attributes:
        caller: The same as the API would see.
        csrf: What each form has to carry.
        may_go_on: Whether there may be other workspaces that the session reaches.
    """

    caller: Caller
    csrf: str
    may_go_on: bool


class ReadableRoute(APIRoute):
    """A page. It answers HEAD as GET; the server leaves out the body."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what FastAPI gives."""
        super().__init__(*args, **options)
        if self.methods and "GET" in self.methods:
            self.methods.add("HEAD")


class PageRoute(ReadableRoute, ManagementRoute):
    """A page of somebody who is signed in. Its parameter says which permission it takes, as a route's of the API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The page's own handler behind what all go through."""
        handle = super(ManagementRoute, self).get_route_handler()
        rule = self.rule

        async def handle_after_all(request: Request) -> Response:
            try:
                services = services_of(request)
                session = await session_of(request, services)
                if session is None:
                    return _to_sign_in(request)
                try:
                    identified = await services.access.identify(f"Bearer {session.token.reveal()}")
                except Problem as problem:
                    if problem.status == 401:  # noqa: PLR2004 - revoked, or expired
                        return _to_sign_in(request)
                    raise
                caller = await services.access.enter(identified, None)
                request.state.visitor = Visitor(caller, session.nonce.reveal(), session.reach is not None)
                request.state.caller, request.state.session = caller, session
                rule.check(caller)
                count_request(services, caller)
                if request.method == "POST":
                    request.state.form = await read_form(request, services, session.nonce)
                return await handle(request)
            except Exception as error:  # noqa: BLE001 - whatever it was, the browser gets a page
                return error_page(request, page_problem(error))

        return handle_after_all


def router() -> APIRouter:
    """A router of pages for those who are signed in."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def page_problem(error: Exception) -> Problem:
    """What an error means to the visitor of a page."""
    match error:
        case DisconnectedError():
            return Problem(400, "The request ended before its body did.")
        case RequestValidationError():  # of an address that was made up
            return NO_SUCH_PAGE
    problem = explained(error)
    # The API's words are about commands and paths.
    return NO_SUCH_PAGE if problem.status == 404 else problem  # noqa: PLR2004


async def _form_of(request: Request) -> dict[str, str]:
    form: dict[str, str] = request.state.form
    return form


def refusal(error: Exception, shown: Collection[int] = _SHOWN_IN_PLACE) -> Problem:
    """Why what was asked for was refused, to be shown on the page where it was asked for.

    Args:
        error: Why.
        shown: Statuses that are shown there.

    Raises:
        Exception: The error itself, where a page of its own says it better.
    """
    problem = explained(error)
    if problem.status not in shown:
        raise error
    return problem


Form = Annotated[dict[str, str], Depends(_form_of)]
"""Annotation of a page's parameter: the fields of the form that was sent."""


async def _session_of_page(request: Request) -> Session:
    session: Session = request.state.session
    return session


Here = Annotated[Session, Depends(_session_of_page)]
"""Annotation of a page's parameter: the session that it was let in by."""


def version_of(form: Mapping[str, str]) -> int:
    """The version of what a form is about, as its page showed it.

    Raises:
        Problem: If the form names none.
    """
    version = form.get("version", "")
    if not version.isascii() or not version.isdigit() or len(version) > 9:  # noqa: PLR2004
        raise Problem(422, "The form does not say which version it is about.")
    return int(version)


async def read_form(request: Request, services: Services, expected: Secret) -> dict[str, str]:
    """The fields of a form; a browser leaves out boxes that are not ticked.

    Args:
        request: The POST.
        services: Has the limits.
        expected: What our own form carries.

    Raises:
        Problem: If it is too large, no form, or not sent from a page of ours.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Problem(415, "This takes a form.")
    try:
        body = await services.bodies.read(request.receive, request.headers.get("content-length", "").encode())
    except TooLargeError:
        raise Problem(413, "The form has too many bytes.", headers={"connection": "close"}) from None
    except TooBusyError:
        again = {"retry-after": str(RETRY_SECONDS), "connection": "close"}
        raise Problem(503, "Too much is under way; come again.", headers=again) from None
    try:
        fields = dict(
            parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
        )
    except ValueError:
        raise Problem(400, "The form can't be read.") from None
    finally:
        services.bodies.release(body)
    shown = fields.pop(CSRF_FIELD, "")
    is_ours = request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    if not is_ours or not hmac.compare_digest(shown.encode(), expected.reveal().encode()):
        raise Problem(
            403, "This form was not sent from a page of your session. Open the page anew and repeat."
        )
    return fields


async def session_of(request: Request, services: Services) -> Session | None:
    """The session that a request belongs to."""
    sealed = request.cookies.get(cookie_name(services.settings, "session"))
    return await Sessions(services.db, services.provider).open(sealed, "session") if sealed else None


def _to_sign_in(request: Request) -> Response:
    # What an event stream or a form asks for is no page to go on to.
    if (
        request.method not in ("GET", "HEAD")
        or request.headers.get("sec-fetch-dest", "document") != "document"
    ):
        return see_other("/sign-in")
    asked = quote(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
    return see_other(f"/sign-in?{urlencode({'next': asked})}")
