"""HubSpot's HTTP API, reading: routes, paging, partial success, errors, limits.

Source: https://developers.hubspot.com/docs/api-reference/latest (dated paths: `/crm/objects/2026-09/…`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import msgspec

from sandbox.clock import DAY, Clock, iso_ms
from sandbox.draw import Draw
from sandbox.hubspot.portal import HubSpotPortal, State
from sandbox.hubspot.records import SINGULAR, Kind
from sandbox.hubspot.search import MAX_BODY, SearchError, search
from sandbox.hubspot.webhooks import HubSpotWebhooks
from sandbox.limits import RollingWindow
from sandbox.provider import ApiError, Call, Provider, Reply, api_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import Route

VERSIONS = ("2026-03", "2026-09")
DEFAULT_KEYS = ("pat-fake-acme", "pat-fake-globex")
MAX_LIST_PAGE = 100
MAX_BATCH = 100
MAX_ASSOCIATION_INPUTS = 1000
MAX_URL = 8192
"""Bytes of path and query; a list request that names hundreds of properties goes over it."""

_CHANGES = ("create", "update", "archive")
_DEFAULTS: dict[Kind, list[str]] = {
    "contacts": ["email", "firstname", "lastname"],
    "companies": ["name", "domain"],
    "invoices": [],
    "line_items": [],
}
_SEARCH_DEFAULTS: dict[Kind, list[str]] = {**_DEFAULTS, "line_items": ["quantity", "amount", "price"]}
_NAMES: dict[str, Kind] = {
    **{kind: kind for kind in SINGULAR}, **{name: kind for kind, name in SINGULAR.items()},
    "0-1": "contacts", "0-2": "companies", "0-53": "invoices", "0-8": "line_items",
}  # fmt: skip


@dataclass(frozen=True)
class PortalSpec:
    """How much data one token's portal holds; None takes the sandbox's own size."""

    contacts: int | None = None
    companies: int | None = None
    invoices: int | None = None


@dataclass(frozen=True)
class HubSpotLimits:
    """Requests allowed to a token: in any ten seconds (searches aside), a day, and searches a second."""

    ten_seconds: int = 100
    daily: int = 250_000
    search_per_second: int = 5


class HubSpotSandbox(Provider[HubSpotPortal]):
    """Stand-in for `https://api.hubapi.com`.

    Args:
        contacts: generated contacts of each portal.
        companies: generated companies of each portal.
        invoices: generated invoices of each portal.
        seed: same seed, same data.
        now: Unix seconds at which the sandbox's clock stands still; None follows real time. The newest
            generated record is of then, or of last midnight (UTC).
        api_keys: the tokens that are known, each with a portal of its own; the first is the default.
        limits: rate limits; None switches them off.
        search_lag_seconds: how old a change must be before search shows it.
        association_page: associations of one record on one page.
    """

    limits_type = HubSpotLimits
    webhook_form = HubSpotWebhooks()
    mutations: ClassVar[frozenset[str]] = frozenset(
        {
            "merge_contacts",
            *(f"{change}_{thing}" for thing in ("contact", "company", "invoice") for change in _CHANGES),
        }
    )

    def __init__(
        self,
        contacts: int = 300,
        companies: int = 80,
        invoices: int = 200,
        *,
        seed: int = 1,
        now: float | None = None,
        api_keys: Mapping[str, PortalSpec] | None = None,
        limits: HubSpotLimits | None = HubSpotLimits(),
        search_lag_seconds: float = 0,
        association_page: int = 500,
    ) -> None:
        super().__init__(Clock(now))
        self.search_lag_seconds = search_lag_seconds
        self.association_page = association_page
        self._seed = seed
        self._until = int(self.clock.time()) if now is not None else int(self.clock.time()) // DAY * DAY
        self._sizes = PortalSpec(contacts, companies, invoices)
        self._specs = dict(api_keys) if api_keys else dict.fromkeys(DEFAULT_KEYS, PortalSpec())
        self._portals: dict[str, HubSpotPortal] = {}
        self._ids = Draw(seed)
        self.set_limits(limits)

    def account(self, key: str | None = None) -> HubSpotPortal:
        """The portal of a token, made on first use."""
        key = next(iter(self._specs)) if key is None else key
        spec = self._specs[key]
        if key not in self._portals:
            counts: dict[Kind, int] = {"line_items": 0}
            for kind in ("contacts", "companies", "invoices"):
                own = getattr(spec, kind)
                counts[kind] = getattr(self._sizes, kind) if own is None else own
            self._portals[key] = HubSpotPortal(
                key,
                seed=self._seed,
                counts=counts,
                until=self._until,
                clock=self.clock,
                announce=partial(self.webhooks.announce, key),
            )
        return self._portals[key]

    # What the pipeline asks ----------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """The endpoints; `{version}` is a date such as 2026-09."""
        objects = "/crm/objects/{version}/{kind}"
        return [
            self.endpoint("/account-info/{version}/details", self._details),
            self.endpoint("/crm/properties/{version}/{kind}", self._list_properties),
            self.endpoint(objects, self._list),
            self.endpoint(f"{objects}/search", self._search, "POST"),
            self.endpoint(f"{objects}/batch/read", self._batch_read, "POST"),
            self.endpoint(f"{objects}/{{id}}", self._get),
            self.endpoint(f"{objects}/{{id}}/associations/{{target}}", self._get_associations),
            self.endpoint(
                "/crm/associations/{version}/{kind}/{target}/batch/read", self._batch_associations, "POST"
            ),
        ]

    def authenticate(self, key: str | None) -> HubSpotPortal:
        """401 for no token, an unknown one, a revoked one."""
        if key in self._revoked:
            raise self.revoked_error(key)
        if key is None or key not in self._specs:
            raise self._error(401, "Authentication credentials not found.", "INVALID_AUTHENTICATION")
        return self.account(key)

    def revoked_error(self, _key: str | None) -> ApiError:
        """HubSpot calls a revoked token expired."""
        return self._error(401, "The token used to make this call expired.", "EXPIRED_AUTHENTICATION")

    def status_error(self, status: int, code: str | None) -> ApiError:
        """The usual body of each status; `code` is the policy of a 429."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            policy = code or "TEN_SECONDLY_ROLLING"
            body = {
                "status": "error",
                "message": f"You have reached your {policy.lower()} limit.",
                "errorType": "RATE_LIMIT",
                "correlationId": self._correlation_id(),
                "policyName": policy,
            }
            return ApiError(429, body)
        if status == HTTPStatus.LOCKED:
            return self._error(423, "The resource is locked, try again later.", "LOCKED")
        if status == HTTPStatus.FORBIDDEN:
            return self._error(403, "This app hasn't been granted all required scopes.", "MISSING_SCOPES")
        return self._error(
            status,
            "internal error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused",
            "INTERNAL_ERROR",
        )

    def unknown_path_error(self, method: str, path: str) -> ApiError:
        """404 without a category."""
        return self._error(404, f"No resource at {method} {path}", "OBJECT_NOT_FOUND")

    def admit(self, key: str, endpoint: str) -> dict[str, str]:
        """Count against the search limit, or the rolling one, which headers tell; both count daily."""
        if self.limits is None:
            return {}
        rolling, searches = self._windows.setdefault(
            key, (RollingWindow(self.limits.ten_seconds, 10), RollingWindow(self.limits.search_per_second, 1))
        )
        daily = self._daily.setdefault(key, RollingWindow(self.limits.daily, DAY))
        is_search = endpoint.endswith("/search")
        if daily.remaining == 0:
            raise self.status_error(429, "DAILY")
        if not (searches if is_search else rolling).take():
            raise self.status_error(429, "SECONDLY" if is_search else "TEN_SECONDLY_ROLLING")
        daily.take()
        if is_search:
            return {}
        return {
            "x-hubspot-ratelimit-max": str(rolling.limit),
            "x-hubspot-ratelimit-remaining": str(rolling.remaining),
            "x-hubspot-ratelimit-interval-milliseconds": "10000",
            "x-hubspot-ratelimit-daily": str(daily.limit),
            "x-hubspot-ratelimit-daily-remaining": str(daily.remaining),
        }

    def set_limits(self, limits: HubSpotLimits | None) -> None:
        """Replace the limits, with empty windows."""
        self.limits = limits
        self._windows: dict[str, tuple[RollingWindow, RollingWindow]] = {}
        self._daily: dict[str, RollingWindow] = {}

    def common_headers(self, _request: Request) -> dict[str, str]:
        """A correlation id, as HubSpot's support asks for."""
        return {"x-hubspot-correlation-id": self._correlation_id()}

    # Endpoints -----------------------------------------------------------------------------------------

    def _details(self, call: Call[HubSpotPortal]) -> Reply:
        self._version(call.request)
        return _json(
            {
                "portalId": call.account.portal_id,
                "accountType": "STANDARD",
                "timeZone": "Europe/Berlin",
                "companyCurrency": "USD",
                "additionalCurrencies": ["EUR", "GBP", "JPY", "KWD"],
                "utcOffset": "+01:00",
                "utcOffsetMilliseconds": 3_600_000,
                "uiDomain": "app.hubspot.example",
                "dataHostingLocation": "na1",
            }
        )

    def _list_properties(self, call: Call[HubSpotPortal]) -> Reply:
        kind = self._kind(call.request)
        names = call.account.property_names(kind)
        return _json(
            {
                "results": [
                    {"name": name, "label": name, "type": "string", "archived": False} for name in names
                ]
            }
        )

    def _list(self, call: Call[HubSpotPortal]) -> Reply:
        kind, portal, query = self._kind(call.request), call.account, call.request.query_params
        if len(call.request.url.path) + len(call.request.url.query) > MAX_URL:
            raise self._error(414, f"The URL is longer than {MAX_URL} bytes", "VALIDATION_ERROR")
        limit = self._integer("limit", query.get("limit", "10"))
        after = self._integer("after", query.get("after") or "0")
        if not 1 <= limit <= MAX_LIST_PAGE:
            raise self._invalid(f"limit must be between 1 and {MAX_LIST_PAGE}")
        archived = query.get("archived") == "true"
        states = (
            (index, portal.state(kind, index))
            for index in portal.indexes(kind, portal.first_after(kind, after))
        )
        listed = (one for one in states if portal.is_listed(one[1], archived=archived))
        # One more than the page tells whether there is a next one.
        found = list(islice(listed, limit + 1))
        wanted = _names(call.request, "properties") or _DEFAULTS[kind]
        targets = _names(call.request, "associations")
        records = [self._encoded(portal, kind, one, wanted=wanted, targets=targets) for one in found[:limit]]
        paging = None
        if len(found) > limit:
            last = portal.record_id(kind, found[limit - 1][0])
            link = f"https://api.hubapi.com{api_path(call.request)}?limit={limit}&after={last}"
            paging = {"next": {"after": last, "link": link}}
        return _results(records, paging)

    def _get(self, call: Call[HubSpotPortal]) -> Reply:
        kind, portal = self._kind(call.request), call.account
        archived = call.request.query_params.get("archived") == "true"
        index = portal.find(kind, call.request.path_params["id"])
        if index is None or not portal.is_listed(portal.state(kind, index), archived=archived):
            raise self._error(404, "resource not found", "OBJECT_NOT_FOUND")
        wanted = _names(call.request, "properties") or _DEFAULTS[kind]
        targets = _names(call.request, "associations")
        state = portal.state(kind, index)
        return Reply(self._encoded(portal, kind, (index, state), wanted=wanted, targets=targets))

    def _search(self, call: Call[HubSpotPortal]) -> Reply:
        kind = self._kind(call.request)
        if len(call.body) > MAX_BODY:
            raise self._invalid(f"The request body is longer than {MAX_BODY} characters")
        query = self._decoded(call.body)
        try:
            found = search(call.account, kind, query, self.clock.time() - self.search_lag_seconds)
        except SearchError as error:
            raise self._invalid(str(error)) from None
        wanted = query.get("properties") or _SEARCH_DEFAULTS[kind]
        records = [self._encoded(call.account, kind, one, wanted=wanted) for one in found.page]
        return _results(records, {"next": {"after": found.after}} if found.after else None, total=found.total)

    def _batch_read(self, call: Call[HubSpotPortal]) -> Reply:
        portal = call.account
        kind, query = self._kind(call.request), self._decoded(call.body)
        archived = call.request.query_params.get("archived") == "true"
        wanted = query.get("properties") or _DEFAULTS[kind]
        records: dict[int, bytes] = {}
        missing: list[str] = []
        for record_id in self._inputs(query, MAX_BATCH):
            index = portal.find(kind, record_id)
            if index is None or not portal.is_listed(state := portal.state(kind, index), archived=archived):
                missing.append(record_id)
            else:
                records[index] = self._encoded(portal, kind, (index, state), wanted=wanted)
        errors = []
        if missing:
            message = (
                f"Could not get some {SINGULAR[kind].upper()} objects, they may be deleted or not exist."
            )
            errors = [
                {
                    "status": "error",
                    "category": "OBJECT_NOT_FOUND",
                    "message": message,
                    "context": {"ids": missing},
                }
            ]
        return self._batch([msgspec.Raw(record) for record in records.values()], errors)

    def _get_associations(self, call: Call[HubSpotPortal]) -> Reply:
        source, target = self._kind(call.request), self._kind(call.request, "target")
        index = call.account.find(source, call.request.path_params["id"])
        links = None if index is None else call.account.associations(source, target, index)
        if links is None:
            raise self._error(404, "resource not found", "OBJECT_NOT_FOUND")
        page = self._association_page(
            call.account, target, links, self._integer("after", call.request.query_params.get("after") or "0")
        )
        return _json({"results": page.pop("to"), **page})

    def _batch_associations(self, call: Call[HubSpotPortal]) -> Reply:
        source, target = self._kind(call.request), self._kind(call.request, "target")
        query = self._decoded(call.body)
        results, errors = [], []
        cursors = {
            str(one.get("id")): one.get("after") or "0"
            for one in query.get("inputs", [])
            if isinstance(one, dict)
        }
        for record_id in self._inputs(query, MAX_ASSOCIATION_INPUTS):
            index = call.account.find(source, record_id)
            links = [] if index is None else call.account.associations(source, target, index)
            if links is None:
                raise self._invalid(f"{source} and {target} cannot be associated")
            if links:
                page = self._association_page(
                    call.account, target, links, self._integer("after", cursors[record_id])
                )
                results.append({"from": {"id": record_id}, **page})
            else:
                errors.append(
                    {
                        "status": "error",
                        "category": "OBJECT_NOT_FOUND",
                        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                        "message": f"No {SINGULAR[target]} belongs to {SINGULAR[source]} {record_id}.",
                        "context": {
                            "fromObjectId": [record_id],
                            "fromObjectType": [SINGULAR[source]],
                            "toObjectType": [SINGULAR[target]],
                        },
                    }
                )
        return self._batch(results, errors)

    # ---------------------------------------------------------------------------------------------------

    def _version(self, request: Request) -> None:
        if request.path_params["version"] not in VERSIONS:
            raise self.unknown_path_error(request.method, api_path(request))

    def _kind(self, request: Request, name: str = "kind") -> Kind:
        self._version(request)
        kind = _NAMES.get(request.path_params[name])
        if kind is None:
            raise self._invalid(f"Unable to infer object type from: {request.path_params[name]}")
        return kind

    def _encoded(
        self,
        portal: HubSpotPortal,
        kind: Kind,
        found: tuple[int, State],
        *,
        wanted: list[str],
        targets: Sequence[str] = (),
    ) -> bytes:
        index, state = found
        # Changes replace a record's state, so the state's identity tells whether the bytes are still right.
        key = (kind, index, state.modified_ms, state.archived_ms, state.changed_at, *wanted)
        if not targets:
            known = portal.cache.get(key)
            if known is not None:
                return known
        record = portal.shown(kind, index, state, wanted)
        if not targets:
            return portal.cache.put(key, msgspec.json.encode(record))
        associations = {}
        for name in targets:
            target = _NAMES.get(name)
            if target is None:
                raise self._invalid(f"{name} is no object that {kind} can be associated with")
            links = portal.associations(kind, target, index) or []
            label = f"{SINGULAR[kind]}_to_{SINGULAR[target]}"
            if links:
                # The key of line items is written with a space here.
                associations[target.replace("_", " ")] = {
                    "results": [{"id": portal.record_id(target, link.index), "type": label} for link in links]
                }
        if associations:
            record["associations"] = associations
        return msgspec.json.encode(record)

    def _association_page(
        self, portal: HubSpotPortal, target: Kind, links: list[Any], after: int
    ) -> dict[str, Any]:
        end = after + self.association_page
        page: dict[str, Any] = {
            "to": [
                {"toObjectId": portal.record_id(target, link.index), "associationTypes": link.types}
                for link in links[after:end]
            ]
        }
        if end < len(links):
            page["paging"] = {"next": {"after": str(end)}}
        return page

    def _batch(self, results: list[Any], errors: list[dict[str, Any]]) -> Reply:
        """200, or 207 where some inputs failed: a success that must be looked into."""
        now = iso_ms(int(self.clock.time() * 1000))
        document: dict[str, Any] = {
            "status": "COMPLETE",
            "results": results,
            "startedAt": now,
            "completedAt": now,
        }
        if errors:
            document |= {"numErrors": len(errors), "errors": errors}
        return Reply(msgspec.json.encode(document), 207 if errors else 200)

    def _decoded(self, body: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise self._invalid("Invalid input JSON") from None

    def _inputs(self, query: dict[str, Any], most: int) -> list[str]:
        inputs = query.get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(one, dict) and "id" in one for one in inputs):
            raise self._invalid("inputs must be a list of objects with an id")
        if not 1 <= len(inputs) <= most:
            raise self._invalid(f"inputs must be between 1 and {most}")
        return [str(one["id"]) for one in inputs]

    def _integer(self, name: str, value: str) -> int:
        if not (value.isascii() and value.isdigit()):
            raise self._invalid(f"{name} must be an integer")
        return int(value)

    def _invalid(self, message: str) -> ApiError:
        return self._error(400, message, "VALIDATION_ERROR")

    def _error(self, status: int, message: str, category: str) -> ApiError:
        body = {
            "status": "error",
            "message": message,
            "correlationId": self._correlation_id(),
            "category": category,
        }
        return ApiError(status, body)

    def _correlation_id(self) -> str:
        return str(UUID(int=self._ids.below(1 << 64) << 64 | self._ids.below(1 << 64), version=4))


def _names(request: Request, parameter: str) -> list[str]:
    """A comma-separated parameter that may also be repeated."""
    return [name for value in request.query_params.getlist(parameter) for name in value.split(",") if name]


def _results(records: list[bytes], paging: dict[str, Any] | None, *, total: int | None = None) -> Reply:
    document: dict[str, Any] = {} if total is None else {"total": total}
    document["results"] = [msgspec.Raw(record) for record in records]
    if paging:
        document["paging"] = paging
    return _json(document)


def _json(document: dict[str, Any]) -> Reply:
    return Reply(msgspec.json.encode(document))
