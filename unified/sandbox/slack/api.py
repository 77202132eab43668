"""The stand-in's Web API: methods by GET or POST, refusals with 200, limits by method, pages that end oddly.

Source: https://docs.slack.dev/apis/web-api (``using-the-web-api``, ``pagination``, ``rate-limits``), and the pages of
https://docs.slack.dev/reference/methods. Not here: what records hold (`unified.sandbox.slack.records`).
"""

from __future__ import annotations

import base64
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

import msgspec

from unified.sandbox.limits import RollingWindow
from unified.sandbox.provider import ApiError, Call, Reply, api_key
from unified.sandbox.slack.account import SlackAccount, workspace_of
from unified.sandbox.slack.events import SlackWebhooks, announced
from unified.sandbox.slack.oauth import SlackOAuth
from unified.sandbox.slack.records import (
    BOT,
    CHANNELS,
    MESSAGES,
    USERS,
    channel,
    domain,
    ids,
    joined_in,
    message,
    message_ts,
    slackbot,
    user,
    user_id,
)
from unified.sandbox.tables.account import Feed
from unified.sandbox.tables.api import TableSandbox
from unified.sandbox.tables.listing import Token
from unified.sandbox.tables.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.routing import Route

    from unified.sandbox.tables.account import TableAccount
    from unified.sandbox.tables.table import Record

_SCOPES = frozenset(
    ("users:read", "users:read.email", "channels:read", "groups:read", "channels:history", "groups:history",
     "chat:write", "team:read")
)  # fmt: skip
# https://docs.slack.dev/apis/web-api/rate-limits: requests a minute of the tiers two, three and four.
_TIERS = {
    "users.list": 20, "conversations.list": 20, "conversations.history": 50, "conversations.replies": 50,
    "conversations.info": 50, "team.info": 50, "users.info": 100, "chat.postMessage": 60, "auth.test": 200,
}  # fmt: skip
_TIER_TWO = 20
_MOST = 1000
_NO_LIMIT = 500
"""More people than this are not listed without a limit."""
_CODES = {
    HTTPStatus.UNAUTHORIZED: "invalid_auth", HTTPStatus.FORBIDDEN: "missing_scope",
    HTTPStatus.TOO_MANY_REQUESTS: "ratelimited",
}  # fmt: skip


class SlackSandbox(TableSandbox):
    """Stand-in for `https://slack.com`; the Web API lies below `/api`.

    Args:
        page: records of one page at most, whatever is asked for.
        organization: tokens that open an Enterprise organization; each list needs a `team_id`.

    Attributes:
        oauth: its apps, grants and tokens.
        scopes: what tokens may do, where that is not everything.
        is_sold: whether the app is distributed outside the Marketplace: one page of history a minute, of 15 messages.
    """

    name = "slack"
    base = "/api"
    default_keys = ("xoxb-fake-acme", "xoxb-fake-globex")
    webhook_form = SlackWebhooks()
    account_type = SlackAccount
    paging = Token("cursor")
    feed = Feed("events", announced)
    mutations: ClassVar[frozenset[str]] = TableSandbox.mutations | {"reactivate", "uninstall", "limit_events"}
    tables: ClassVar[tuple[Table, ...]] = (
        Table(USERS, "user", user, user_id, 250, updated="updated", deleted="deleted"),
        Table(CHANNELS, "channel", channel, ids("C"), 60),
        Table(MESSAGES, "message", message, message_ts, 300, id="ts"),
        Table("events", "event", lambda _: {}, ids("Ev"), 0, id="event_id", created="event_time"),
    )

    def __init__(self, *, page: int = _MOST, organization: Sequence[str] = (), **how: Any) -> None:
        super().__init__(**how)
        self._page = page
        self._organization = frozenset(organization)
        self.scopes: dict[str, frozenset[str]] = {}
        self.is_sold = False
        self.oauth = SlackOAuth(self.clock, self._keys[0])

    # What the pipeline asks ------------------------------------------------------------------------------

    def named(self, key: str) -> Record:
        """What the envelope of each event says of app and workspace."""
        team = workspace_of(key)
        installed = {
            "enterprise_id": None, "team_id": team, "user_id": BOT, "is_bot": True, "is_enterprise_install": False,
        }  # fmt: skip
        return {"token": "fake", "team_id": team, "api_app_id": "A0FAKE", "authorizations": [installed]}

    def routes(self) -> list[Route]:
        """A method is a path, by GET or POST."""
        methods: dict[str, Callable[[Call[TableAccount], Mapping[str, str]], Record]] = {
            "auth.test": self._test,
            "users.list": self._users,
            "users.info": partial(self._one, USERS, "user"),
            "conversations.list": self._conversations,
            "conversations.info": partial(self._one, CHANNELS, "channel"),
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "chat.postMessage": self._post,
            "team.info": self._team,
        }
        return [
            *self.oauth.all_routes(self),
            *(
                self.endpoint(f"{self.base}/{name}", partial(self._answer, method), "GET", "POST")
                for name, method in methods.items()
            ),
        ]

    def key_of(self, credential: str) -> str | None:
        """The account of a bot token, or of an access token that OAuth gave."""
        return super().key_of(credential) or self.oauth.account_of(credential)

    def oauth_report(self) -> dict[str, Any]:
        """What was asked of the token endpoint, and how grants stand."""
        return self.oauth.report()

    def admit(self, key: str, endpoint: str) -> dict[str, str]:
        """A method's requests out of its own window: of a workspace, by the tier of the method."""
        method = endpoint.rpartition("/")[2]
        if self.limit is not None:
            allowed = max(1, self.limit.requests * _TIERS[method] // _TIER_TWO)
            if self.is_sold and method in ("conversations.history", "conversations.replies"):
                allowed = 1
            window = self._windows.setdefault(f"{method} {key}", RollingWindow(allowed, self.limit.seconds))
            if not window.take():
                raise ApiError(429, {"ok": False, "error": "ratelimited"}, {"retry-after": "1"})
        return {"x-oauth-scopes": ",".join(sorted(self._scopes_of(key)))}

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """`ok: false` and a word; only limits and failures have a status of their own."""
        del message, parameter
        word = code or _CODES.get(HTTPStatus(status), "internal_error")
        is_status = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        body = {"ok": False, "error": word, **({"needed": "users:read"} if word == "missing_scope" else {})}
        return ApiError(status if is_status else 200, body)

    def revoked_error(self, key: str | None) -> ApiError:
        """A token that was good once."""
        del key
        return self.refused("token_revoked")

    def unknown_key_error(self, key: str | None) -> ApiError:
        """A token that Slack does not know, one that was rotated, or none."""
        if key is not None and key.startswith("access-"):
            return self.refused("token_expired")
        return self.refused("not_authed" if key is None else "invalid_auth")

    def unknown_path_error(self, method: str, path: str) -> ApiError:
        """Not a method."""
        del method, path
        return self.refused("unknown_method")

    @staticmethod
    def refused(word: str, **more: str) -> ApiError:
        """A refusal, with 200 as Slack's are."""
        return ApiError(200, {"ok": False, "error": word, **more})

    def page(self, table: Table, records: Sequence[Record], after: str | None) -> Any:
        """A page; the last one says so by an empty cursor, or by none."""
        ended: Record = {"response_metadata": {"next_cursor": ""}} if table.name == USERS else {}
        return {
            {USERS: "members"}.get(table.name, table.name): list(records),
            **({"response_metadata": {"next_cursor": after}} if after else ended),
        }

    # Methods ---------------------------------------------------------------------------------------------

    def _answer(
        self, method: Callable[[Call[TableAccount], Mapping[str, str]], Record], call: Call[TableAccount]
    ) -> Reply:
        """Read the arguments of the query, of a form or of JSON."""
        asked = dict(call.request.query_params)
        if call.request.headers.get("content-type", "").startswith("application/json"):
            asked |= _texts(call.body)
        else:
            asked |= dict(parse_qsl(call.body.decode()))
        return Reply(msgspec.json.encode({"ok": True, **method(call, asked)}))

    def _scopes_of(self, key: str) -> frozenset[str]:
        return self.scopes.get(self.key_of(key) or key, _SCOPES)

    def _needs(self, call: Call[TableAccount], *scopes: str) -> None:
        has = self._scopes_of(api_key(call.request) or "")
        missing = [scope for scope in scopes if scope not in has]
        if missing:
            raise self.refused("missing_scope", needed=",".join(missing), provided=",".join(sorted(has)))

    def _needs_team(self, call: Call[TableAccount], asked: Mapping[str, str]) -> None:
        """A token of an organization names the workspace in each list."""
        key = self.key_of(api_key(call.request) or "") or ""
        team = asked.get("team_id")
        if key in self._organization and not team:
            raise self.refused("missing_argument")
        if team not in (None, workspace_of(key)):
            raise self.refused("team_access_not_granted")

    def _test(self, call: Call[TableAccount], asked: Mapping[str, str]) -> Record:
        del asked
        key = self.key_of(api_key(call.request) or "") or ""
        is_organization = key in self._organization
        team = "E0FAKEORG1" if is_organization else workspace_of(key)
        return {
            "url": f"https://{domain(key)}.slack.com/", "team": domain(key), "user": "unified", "team_id": team,
            "user_id": BOT, "is_enterprise_install": is_organization,
        }  # fmt: skip

    def _team(self, call: Call[TableAccount], asked: Mapping[str, str]) -> Record:
        self._needs(call, "team:read")
        self._needs_team(call, {"team_id": asked["team"]} if "team" in asked else {})
        key = self.key_of(api_key(call.request) or "") or ""
        icon = {"image_default": True}
        name = domain(key)
        return {
            "team": {"id": workspace_of(key), "name": name, "domain": name, "email_domain": "", "icon": icon}
        }

    def _users(self, call: Call[TableAccount], asked: Mapping[str, str]) -> Record:
        """Everybody of the workspace, deactivated people and bots too, in no order that means anything."""
        self._needs(call, "users:read")
        self._needs_team(call, asked)
        rows = call.account.rows[USERS]
        has_people = len(list(rows)) > 0
        records = [rows.shown(row) for row in rows] + [slackbot(workspace_of(self._key(call)))] * has_people
        if "limit" not in asked and len(records) > _NO_LIMIT:
            raise self.refused("limit_required")
        shown = [self._without_email(call, one) for one in records]
        return {**self._cut(rows.table, shown, asked), "cache_ts": int(self.clock.time())}

    def _key(self, call: Call[TableAccount]) -> str:
        return self.key_of(api_key(call.request) or "") or ""

    def _without_email(self, call: Call[TableAccount], one: Record) -> Record:
        """Without the right to it, the field is not there, and nothing says so."""
        if "users:read.email" in self._scopes_of(api_key(call.request) or ""):
            return one
        profile = {name: value for name, value in one["profile"].items() if name != "email"}
        return {**one, "profile": profile}

    def _conversations(self, call: Call[TableAccount], asked: Mapping[str, str]) -> Record:
        """Filtered after the page was cut: pages shrink, and several in a row may be empty."""
        types = asked.get("types", "public_channel").split(",")
        rights = {"public_channel": "channels:read", "private_channel": "groups:read"}
        self._needs(call, *(rights.get(one, "im:read") for one in types))
        self._needs_team(call, asked)
        rows = call.account.rows[CHANNELS]
        found = self._cut(rows.table, [rows.shown(row) for row in rows.live()], asked)
        found[CHANNELS] = [one for one in found[CHANNELS] if _kind(one) in types]
        if asked.get("exclude_archived") == "true":
            found[CHANNELS] = [one for one in found[CHANNELS] if not one["is_archived"]]
        return found

    def _history(self, call: Call[TableAccount], asked: Mapping[str, str]) -> Record:
        """A channel's messages, newest first, without answers in threads."""
        place = self._joined(call, asked)
        rows = call.account.messages_of(place) if isinstance(call.account, SlackAccount) else []
        table = call.account.rows[MESSAGES]
        shown = [_listed(table.shown(row)) for row in rows]
        top = [one for one in shown if one.get("thread_ts", one["ts"]) == one["ts"]]
        found = self._cut(table.table, [one for one in top if _is_within(one, asked)], asked, descending=True)
        more = {"pin_count": 0, "channel_actions_ts": None, "channel_actions_count": 0}
        return {**found, "has_more": "response_metadata" in found, **more}

    def _replies(self, call: Call[TableAccount], asked: Mapping[str, str]) -> Record:
        place = self._joined(call, asked)
        rows = call.account.messages_of(place) if isinstance(call.account, SlackAccount) else []
        table = call.account.rows[MESSAGES]
        shown = [_listed(table.shown(row)) for row in rows]
        found = [one for one in shown if asked.get("ts") in (one["ts"], one.get("thread_ts"))]
        if not found:
            raise self.refused("thread_not_found")
        return {"messages": found, "has_more": False}

    def _joined(self, call: Call[TableAccount], asked: Mapping[str, str]) -> str:
        rows = call.account.rows[CHANNELS]
        row = rows.find(asked.get("channel", ""))
        if row is None or row.is_deleted:
            raise self.refused("channel_not_found")
        self._needs(call, "groups:history" if row.fields["is_private"] else "channels:history")
        if row.id not in joined_in(rows):
            raise self.refused("not_in_channel")
        return row.id

    def _one(self, name: str, noun: str, call: Call[TableAccount], asked: Mapping[str, str]) -> Record:
        self._needs(call, "users:read" if name == USERS else "channels:read")
        rows = call.account.rows[name]
        row = rows.find(asked.get(noun, ""))
        if row is None or (row.is_deleted and name != USERS):
            raise self.refused(f"{noun}_not_found")
        shown = rows.shown(row)
        return {noun: self._without_email(call, shown) if name == USERS else shown}

    def _post(self, call: Call[TableAccount], asked: Mapping[str, str]) -> Record:
        self._needs(call, "chat:write")
        rows = call.account.rows[CHANNELS]
        row = rows.find(asked.get("channel", ""))
        if row is None:
            raise self.refused("channel_not_found")
        if row.fields["is_archived"]:
            raise self.refused("is_archived")
        if not row.fields["is_member"]:
            raise self.refused("not_in_channel")
        if not asked.get("text"):
            raise self.refused("no_text")
        thread = {"thread_ts": asked["thread_ts"]} if "thread_ts" in asked else {}
        made = call.account.create(MESSAGES, channel=row.id, text=asked["text"], user=BOT, **thread)
        return {"channel": row.id, "ts": made["ts"], "message": _listed(made)}

    def _cut(
        self, table: Table, records: list[Record], asked: Mapping[str, str], *, descending: bool = False
    ) -> Record:
        """A page. Whatever is asked for, it may be shorter, and is not the last one for that."""
        limit = int(asked.get("limit", "0") or "0") or self._page
        if not 0 < limit <= _MOST:
            raise self.refused("invalid_limit")
        if self.is_sold and table.name == MESSAGES:
            limit = min(limit, 15)
        ordered = sorted((str(one[table.id]), one) for one in records)[:: -1 if descending else 1]
        after = _read(asked.get("cursor", ""))
        if after is None:
            raise self.refused("invalid_cursor")
        rest = [
            (key, one) for key, one in ordered if not after or (key < after if descending else key > after)
        ]
        page = rest[: min(limit, self._page)]
        found: Record = self.page(
            table, [one for _, one in page], _written(page[-1][0]) if len(rest) > len(page) else None
        )
        return found


def _texts(body: bytes) -> dict[str, str]:
    """Arguments in JSON, as a form would have them."""
    found = msgspec.json.decode(body) if body else {}
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in found.items()
    }


def _kind(one: Record) -> str:
    if one["is_im"]:
        return "im"
    return "private_channel" if one["is_private"] else "public_channel"


def _listed(one: Record) -> Record:
    """A message as its channel's history shows it."""
    return {name: value for name, value in one.items() if name != "channel"}


def _is_within(one: Record, asked: Mapping[str, str]) -> bool:
    low, high = asked.get("oldest", "0"), asked.get("latest", "9" * 10)
    return float(low) <= float(one["ts"]) <= float(high)


def _written(key: str) -> str:
    return base64.b64encode(f"next:{key}".encode()).decode()


def _read(cursor: str) -> str | None:
    """The key that a page begins after; empty for the first one, None of a cursor that is not known."""
    if not cursor:
        return ""
    try:
        word, _, key = base64.b64decode(cursor, validate=True).decode().partition(":")
    except ValueError:
        return None
    return key if word == "next" and key else None
