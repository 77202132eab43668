"""HubSpot's HTTP API: routes, tokens, limits.

Source: https://developers.hubspot.com/docs/api-reference/latest (dated paths: `/crm/objects/2026-09/…`). The
endpoints are in `objects`, `associations` and `writing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from unified.sandbox.clock import DAY
from unified.sandbox.hubspot.answers import Answers, as_json
from unified.sandbox.hubspot.associations import Associations
from unified.sandbox.hubspot.lists import OwnersList, SchemasList
from unified.sandbox.hubspot.oauth import HubSpotOAuth
from unified.sandbox.hubspot.objects import Objects
from unified.sandbox.hubspot.portal import HubSpotPortal
from unified.sandbox.hubspot.records import CUSTOM, FURTHER
from unified.sandbox.hubspot.webhooks import HubSpotWebhooks
from unified.sandbox.hubspot.writing import Writes
from unified.sandbox.limits import RollingWindow
from unified.sandbox.provider import ApiError, Call, Provider, Reply, filled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import Route

    from unified.sandbox.hubspot.records import Kind

DEFAULT_KEYS = ("pat-fake-acme", "pat-fake-globex")

_CHANGES = ("create", "update", "archive")


@dataclass(frozen=True)
class PortalSpec:
    """How much data one token's portal holds; None takes the sandbox's own size."""

    contacts: int | None = None
    companies: int | None = None
    invoices: int | None = None
    others: int | None = None
    owners: int | None = None
    custom: int | None = None


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
        others: generated deals of each portal, and as many tickets, products and quotes.
        owners: generated owners of each portal.
        custom: generated records of each custom object of each portal.
        seed: same seed, same data.
        now: Unix seconds at which the sandbox's clock stands still; None follows real time. The newest
            generated record is of then, or of last midnight (UTC).
        api_keys: the tokens that are known, each with a portal of its own; the first is the default.
        limits: rate limits; None switches them off.
        search_lag_seconds: how old a change must be before search shows it.
        association_page: associations of one record on one page.
    """

    name = "hubspot"
    limits_type = HubSpotLimits
    webhook_form = HubSpotWebhooks()
    mutations: ClassVar[frozenset[str]] = frozenset(
        {
            "merge_contacts",
            "define_property",
            "set_rule",
            "associate",
            "define_object",
            "delete_object",
            "hide_object",
            *_CHANGES,
            *(
                f"{change}_{thing}"
                for thing in ("contact", "company", "invoice", "owner")
                for change in _CHANGES
            ),
        }
    )

    def __init__(
        self,
        contacts: int = 300,
        companies: int = 80,
        invoices: int = 200,
        others: int = 30,
        owners: int = 12,
        custom: int = 12,
        *,
        seed: int = 1,
        now: float | None = None,
        api_keys: Mapping[str, PortalSpec] | None = None,
        limits: HubSpotLimits | None = HubSpotLimits(),
        search_lag_seconds: float = 0,
        association_page: int = 500,
    ) -> None:
        self._specs = dict(api_keys) if api_keys else dict.fromkeys(DEFAULT_KEYS, PortalSpec())
        super().__init__(tuple(self._specs), now=now)
        self.search_lag_seconds = search_lag_seconds
        self._seed = seed
        self._sizes = PortalSpec(contacts, companies, invoices, others, owners, custom)
        self._answers = Answers(self.clock, seed)
        self._objects = Objects(self._answers, lambda: self.search_lag_seconds)
        self._associations = Associations(self._answers, association_page)
        self._writes = Writes(self._answers)
        self._owners = OwnersList(self._answers)
        self._schemas = SchemasList(self._answers)
        self.oauth = HubSpotOAuth(self.clock, next(iter(self._specs)))
        self.set_limits(limits)

    def open_account(self, key: str) -> HubSpotPortal:
        """The portal of a token."""
        size = filled(self._specs[key], self._sizes)
        counts: dict[Kind, int] = {
            "contacts": size.contacts or 0,
            "companies": size.companies or 0,
            "invoices": size.invoices or 0,
            "line_items": 0,
            **dict.fromkeys(FURTHER, size.others or 0),
            **dict.fromkeys(CUSTOM, size.custom or 0),
        }
        return HubSpotPortal(
            key,
            seed=self._seed,
            counts=counts,
            until=self.until,
            clock=self.clock,
            announce=partial(self.webhooks.announce, key),
            owners=size.owners or 0,
        )

    # What the pipeline asks ----------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """The endpoints; `{version}` is a date such as 2026-09."""
        objects, associations, checked = self._objects, self._associations, self._schemas.checked
        base = "/crm/objects/{version}/{kind}"
        return [
            self.endpoint("/account-info/{version}/details", self._details),
            self.endpoint("/crm/properties/{version}/{kind}", self._list_properties),
            self.endpoint("/crm/owners/{version}", self._owners.list),
            self.endpoint("/crm-object-schemas/{version}/schemas", self._schemas.list),
            self.endpoint(base, checked(objects.list)),
            self.endpoint(f"{base}/search", checked(objects.search), "POST"),
            self.endpoint(f"{base}/batch/read", checked(objects.batch_read), "POST"),
            self.endpoint(f"{base}/batch/create", self._writes.create, "POST"),
            self.endpoint(f"{base}/batch/update", self._writes.update, "POST"),
            self.endpoint(f"{base}/batch/upsert", self._writes.upsert, "POST"),
            self.endpoint(f"{base}/batch/archive", self._writes.archive, "POST"),
            self.endpoint(f"{base}/{{id}}", objects.get),
            self.endpoint(f"{base}/{{id}}/associations/{{target}}", associations.get),
            self.endpoint(
                "/crm/associations/{version}/{kind}/{target}/batch/read", associations.batch_read, "POST"
            ),
            *self.oauth.all_routes(self),
        ]

    def key_of(self, credential: str) -> str | None:
        """A portal's token opens it, and so does an access token that has not run out."""
        return super().key_of(credential) or self.oauth.account_of(credential)

    def oauth_report(self) -> dict[str, Any]:
        """Calls of the token endpoint, and the grants."""
        return self.oauth.report()

    def unknown_key_error(self, _key: str | None) -> ApiError:
        """The same 401 for no token, an unknown one, and an access token that has run out."""
        return self._answers.error(401, "Authentication credentials not found.", "INVALID_AUTHENTICATION")

    def revoked_error(self, _key: str | None) -> ApiError:
        """HubSpot calls a revoked token expired."""
        return self._answers.error(401, "The token used to make this call expired.", "EXPIRED_AUTHENTICATION")

    def status_error(self, status: int, code: str | None) -> ApiError:
        """The usual body of each status; `code` is the policy of a 429."""
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            policy = code or "TEN_SECONDLY_ROLLING"
            body = {
                "status": "error",
                "message": f"You have reached your {policy.lower()} limit.",
                "errorType": "RATE_LIMIT",
                "correlationId": self._answers.correlation_id(),
                "policyName": policy,
            }
            return ApiError(429, body)
        if status == HTTPStatus.LOCKED:
            return self._answers.error(423, "The resource is locked, try again later.", "LOCKED")
        if status == HTTPStatus.FORBIDDEN:
            return self._answers.error(
                403, "This app hasn't been granted all required scopes.", "MISSING_SCOPES"
            )
        return self._answers.error(
            status,
            "internal error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused",
            "INTERNAL_ERROR",
        )

    def unknown_path_error(self, method: str, path: str) -> ApiError:
        """404 without a category."""
        return self._answers.unknown_path(method, path)

    def admit(self, key: str, endpoint: str) -> dict[str, str]:
        """Count against the search limit, or the rolling one, which headers show; both count daily."""
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
        return {"x-hubspot-correlation-id": self._answers.correlation_id()}

    # Endpoints -----------------------------------------------------------------------------------------

    def _details(self, call: Call[HubSpotPortal]) -> Reply:
        self._answers.version(call.request)
        return as_json(
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
        kind = self._answers.kind(call.request)
        is_plain = call.request.query_params.get("dataSensitivity", "non_sensitive") == "non_sensitive"
        names = call.account.property_names(kind) if is_plain else ()
        return as_json(
            {
                "results": [
                    {"name": name, "label": name, "type": "string", "archived": False} for name in names
                ]
            }
        )
