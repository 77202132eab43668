"""The stand-in's API: a site at its own address or behind the gateway, and who may ask what of it.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3 and .../cloud/jira/service-desk/rest. Each key is an
e-mail address, which opens a site of its own with `token(key)`; a token of `oauth` opens the sites of `grants` below
`/ex/jira/{cloud id}`.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec

from unified.sandbox.draw import seed_of
from unified.sandbox.jira.account import JiraAccount
from unified.sandbox.jira.oauth import JiraOAuth
from unified.sandbox.jira.people import PeopleApi
from unified.sandbox.jira.reading import ReadingApi
from unified.sandbox.jira.records import (
    FIELDS,
    SITE,
    account_id,
    comment,
    history,
    issue,
    organization,
    user,
    written,
)
from unified.sandbox.jira.reporting import ReportingApi
from unified.sandbox.jira.webhooks import JiraWebhooks
from unified.sandbox.jira.writing import WritingApi
from unified.sandbox.provider import ApiError, Call, Reply, api_key
from unified.sandbox.tables.api import TableSandbox
from unified.sandbox.tables.listing import Token
from unified.sandbox.tables.table import Record, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import Route

    from unified.sandbox.tables.account import TableAccount

_MOST = 5000
_SCOPES = {
    "servicedeskapi": "read:servicedesk-request", "user": "read:jira-user", "webhook": "manage:jira-webhook",
}  # fmt: skip


def _numbered(first: int) -> Callable[[int, int], str]:
    return lambda index, _: str(first + index)


_TIMES: dict[str, Any] = {"created": "created", "updated": "updated", "moment": written}


class JiraSandbox(TableSandbox, ReadingApi, PeopleApi, WritingApi, ReportingApi):
    """Stand-in for `https://{site}.atlassian.net` and `https://api.atlassian.com`.

    Args:
        page: records on a page at most, whatever is asked for.
        grants: key → keys whose sites its tokens open; by default its own.
        zone: the time zone of the user who asks, in which text dates are read.

    Attributes:
        oauth: its apps, grants and tokens.
        search_lag: seconds for which search does not show what changed.
        failing: ids of issues that a bulk read can't return just now.
        answers_strangers: whether a search by an unknown token is answered, as to somebody who is not logged in.
        limit_reason: which limit a refusal names.
        has_service_desk: whether the site has Jira Service Management.
        cycle_period: what an app is told of how often to report accounts; None leaves that out.
        reported: the accounts that apps reported, in order.
    """

    name = "jira"
    default_keys = ("fake@acme.example", "fake@globex.example")
    webhook_form = JiraWebhooks()
    account_type = JiraAccount
    paging = Token("nextPageToken")
    tables: ClassVar[tuple[Table, ...]] = (
        Table("organizations", "organization", organization, _numbered(1), 30),
        Table("people", "user", user, account_id, 200, "accountId"),
        Table("issues", "issue", issue, _numbered(10_000), 300, **_TIMES),
        Table("histories", "history", history, _numbered(50_000), 400, **{**_TIMES, "updated": None}),
        Table("comments", "comment", comment, _numbered(70_000), 200, **_TIMES),
    )

    def __init__(
        self,
        *,
        page: int = _MOST,
        grants: Mapping[str, Sequence[str]] | None = None,
        zone: str = "UTC",
        **how: Any,
    ) -> None:
        super().__init__(**how)
        self.oauth = JiraOAuth(self.clock, self._keys[0])
        self._page, self._grants, self._zone = page, dict(grants or {}), zone
        self.search_lag = 0.0
        self.failing: set[str] = set()
        self.answers_strangers = False
        self.limit_reason = "jira-burst-based"
        self.has_service_desk = True
        self.cycle_period: str | None = None
        self.reported: list[str] = []

    @staticmethod
    def token(key: str) -> str:
        """The API token of an e-mail address."""
        return f"token-{key.replace('@', '-at-')}"

    @staticmethod
    def cloud_id(key: str) -> str:
        """The id of the site behind an e-mail address."""
        digits = f"{seed_of('cloud', key):016x}"
        return f"{digits[:8]}-{digits[8:12]}-4000-8000-{digits[12:]}00000000"

    # What the pipeline asks ------------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """The site's paths at its own address and behind the gateway, and the gateway's own."""
        paths: list[tuple[str, Callable[[Call[JiraAccount]], Reply], str]] = [
            ("myself", self._myself, "GET"), ("serverInfo", self._server, "GET"), ("field", self._fields, "GET"),
            *self.reading_paths(), *self.people_paths(), *self.writing_paths(),
        ]  # fmt: skip
        routes = [
            *self.oauth.all_routes(self),
            self.endpoint("/oauth/token/accessible-resources", self._sites),
            self.endpoint("/app/report-accounts/", self._report, "POST"),
        ]
        for root in ("", "/ex/jira/{cloud}"):
            for path, answer, method in paths:
                versions = ("",) if path.startswith("/") else ("/rest/api/2/", "/rest/api/3/")
                routes += [
                    self.endpoint(f"{root}{one}{path}", self._on_site(answer, f"{one}{path}"), method)
                    for one in versions
                ]
        return routes

    def key_of(self, credential: str) -> str | None:
        """An e-mail address, or a token of OAuth."""
        return super().key_of(credential) or self.oauth.account_of(credential)

    def oauth_report(self) -> dict[str, Any]:
        """Of its token endpoint."""
        return self.oauth.report()

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/#status-codes."""
        del code
        errors = {parameter: message} if parameter else {}
        return ApiError(status, {"errorMessages": [] if parameter else [message], "errors": errors})

    def status_error(self, status: int, code: str | None) -> ApiError:
        """A limit says which: https://developer.atlassian.com/cloud/jira/platform/rate-limiting."""
        error = super().status_error(status, code)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            error.reply.headers["ratelimit-reason"] = code or self.limit_reason
        return error

    def unknown_key_error(self, _key: str | None) -> ApiError:
        """401."""
        return self.error(HTTPStatus.UNAUTHORIZED, "Client must be authenticated to access this resource.")

    def authenticate(self, credential: str | None) -> TableAccount:
        """Of somebody unknown an account in which nothing is, where strangers are answered."""
        if (
            self.answers_strangers
            and credential not in self._revoked
            and self.key_of(credential or "") is None
        ):
            return self.open_account("stranger")
        return super().authenticate(credential)

    def page(self, table: Table, records: Sequence[Record], after: str | None) -> Any:
        """No list of Jira's has this form."""
        raise NotImplementedError(f"{table.name} {len(records)} {after}")

    # Sites -----------------------------------------------------------------------------------------------

    def _on_site(self, answer: Callable[[Call[JiraAccount]], Reply], path: str) -> Any:
        """Make sure that the credential opens the site that is asked, then answer for it."""

        def answered(call: Call[TableAccount]) -> Reply:
            account, headers = self._site(call.request, call.account, path)
            reply = answer(Call(cast("JiraAccount", account), call.request, call.body))
            reply.headers.update(headers)
            return reply

        return answered

    def _site(
        self, request: Request, account: TableAccount, path: str
    ) -> tuple[TableAccount, dict[str, str]]:
        cloud, key = request.path_params.get("cloud"), self.key_of(api_key(request) or "")
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if "servicedeskapi" in path and not self.has_service_desk:
            raise self.error(HTTPStatus.NOT_FOUND, "The Jira Service Management REST API is not available")
        is_known = scheme.lower() != "basic" or _password(value) == self.token(key or "")
        if key is None or not is_known:
            if not self.answers_strangers or "search" not in path:
                raise self.unknown_key_error(key)
            return self.open_account("stranger"), {"x-seraph-loginreason": "AUTHENTICATED_FAILED"}
        if cloud is None:
            if scheme.lower() != "basic":
                raise self.unknown_key_error(key)
            return account, {"x-seraph-loginreason": "OK"}
        opened = {self.cloud_id(one): one for one in self._grants.get(key, (key,))}
        if cloud not in opened:
            raise ApiError(HTTPStatus.NOT_FOUND, {"code": 404, "message": "Not Found"})
        if scheme.lower() == "bearer":
            self._may(value, path)
        return self.account(opened[cloud]), {}

    def _may(self, token: str, path: str) -> None:
        issued = self.oauth.find(token, "access")
        needed = next((scope for word, scope in _SCOPES.items() if word in path), "read:jira-work")
        if issued is not None and issued.grant.scopes and needed not in issued.grant.scopes:
            raise ApiError(
                HTTPStatus.UNAUTHORIZED, {"code": 401, "message": "Unauthorized; scope does not match"}
            )

    def _sites(self, call: Call[TableAccount]) -> Reply:
        """https://developer.atlassian.com/cloud/jira/platform/oauth-2-3lo-apps/#3-1-get-the-cloudid-for-your-site."""
        key = self.key_of(api_key(call.request) or "") or ""
        listed = [
            {"id": self.cloud_id(one), "name": _name(one), "url": f"https://{_name(one)}.atlassian.net",
             "scopes": ["read:jira-work"]}
            for one in self._grants.get(key, (key,))
        ]  # fmt: skip
        return Reply(msgspec.json.encode(listed))

    def _myself(self, call: Call[JiraAccount]) -> Reply:
        key = self.key_of(api_key(call.request) or "") or ""
        shown = {
            "accountId": "5b10fake", "emailAddress": key, "timeZone": self._zone, "displayName": "Ada", "active": True,
            "accountType": "atlassian",
        }  # fmt: skip
        return Reply(msgspec.json.encode(shown))

    def _server(self, call: Call[JiraAccount]) -> Reply:
        del call
        shown = {
            "baseUrl": SITE, "version": "1001.0.0-SNAPSHOT", "versionNumbers": [1001, 0, 0], "deploymentType": "Cloud",
            "buildNumber": 100_300, "serverTime": written(self.clock.time()), "serverTitle": "Acme",
        }  # fmt: skip
        return Reply(msgspec.json.encode(shown))

    def _fields(self, call: Call[JiraAccount]) -> Reply:
        del call
        fields = [
            {"id": one, "key": one, "name": name, "custom": one.startswith("customfield_"), "orderable": True,
             "navigable": True, "searchable": True, "clauseNames": [one], "schema": {"type": kind}}
            for one, name, kind in FIELDS
        ]  # fmt: skip
        return Reply(msgspec.json.encode(fields))

    def _key_of_account(self, call: Call[JiraAccount]) -> str:
        return next(key for key, account in self._accounts.items() if account is call.account)


def _password(value: str) -> str:
    try:
        return base64.b64decode(value).decode().partition(":")[2]
    except ValueError:
        return ""


def _name(key: str) -> str:
    return key.rpartition("@")[2].partition(".")[0]
