"""Stripe's HTTP API: routes, paging, errors, limits (https://docs.stripe.com/api).

Not here: what is written (`unified.sandbox.stripe.writing`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

import msgspec

from unified.sandbox.draw import Draw
from unified.sandbox.limits import TokenBucket
from unified.sandbox.provider import ApiError, Call, Provider, Reply, filled
from unified.sandbox.stripe.account import StripeAccount
from unified.sandbox.stripe.objects import KINDS, Kind
from unified.sandbox.stripe.query import Query, invalid, missing, stripe_error
from unified.sandbox.stripe.search import search_customers
from unified.sandbox.stripe.versions import LATEST
from unified.sandbox.stripe.webhooks import StripeWebhooks, indented
from unified.sandbox.stripe.writing import IdempotencyKeys, create_customer, delete_customer, update_customer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.routing import Route

    from unified.sandbox.collection import Collection, Record

MAX_TYPES = 20
"""Event types that one list request can name."""
DEFAULT_KEYS = ("sk_test_fake_acme", "sk_test_fake_globex", "sk_live_fake_acme")


@dataclass(frozen=True)
class AccountSpec:
    """How much data one key's account holds; None takes the sandbox's own size."""

    customers: int | None = None
    invoices: int | None = None
    objects: int | None = None


@dataclass(frozen=True)
class StripeLimits:
    """Requests a second per key and endpoint, and per key in each mode (https://docs.stripe.com/rate-limits).

    `burst` is the size of each bucket; None is one second's worth.
    """

    endpoint: float = 25
    sandbox: float = 25
    live: float = 100
    burst: float | None = None


class StripeSandbox(Provider[StripeAccount]):
    """Stand-in for `https://api.stripe.com`.

    Args:
        customers: generated customers of each account.
        invoices: generated invoices of each account.
        objects: generated objects of each further kind in each account.
        seed: same seed, same data.
        now: Unix seconds at which the sandbox's clock stands still; None follows real time. The newest
            generated record is of then, or of last midnight (UTC).
        api_keys: the keys that are known, each with an account of its own; the first is the default account.
        limits: rate limits; None switches them off.
    """

    name = "stripe"
    limits_type = StripeLimits
    webhook_form = StripeWebhooks()
    mutations: ClassVar[frozenset[str]] = frozenset(
        f"{change}_{thing}"
        for thing, changes in {
            "customer": ("create", "update", "delete"),
            "invoice": ("create", "update", "finalize", "pay", "void", "write_off", "delete"),
        }.items()
        for change in changes
    ) | {"create_object", "update_object", "delete_object"}

    def __init__(
        self,
        customers: int = 200,
        invoices: int = 300,
        objects: int = 40,
        *,
        seed: int = 1,
        now: float | None = None,
        api_keys: Mapping[str, AccountSpec] | None = None,
        limits: StripeLimits | None = StripeLimits(),
    ) -> None:
        self._specs = dict(api_keys) if api_keys else dict.fromkeys(DEFAULT_KEYS, AccountSpec())
        super().__init__(tuple(self._specs), now=now)
        self.limits = limits
        self._seed = seed
        self._sizes = AccountSpec(customers, invoices, objects)
        self._buckets: dict[tuple[str, str], TokenBucket] = {}
        self._request_ids = Draw(seed)
        self._idempotency = IdempotencyKeys(self.clock)

    def open_account(self, key: str) -> StripeAccount:
        """The account of a key."""
        size = filled(self._specs[key], self._sizes)
        return StripeAccount(
            key,
            seed=self._seed,
            customers=size.customers or 0,
            invoices=size.invoices or 0,
            objects=size.objects or 0,
            until=self.until,
            clock=self.clock,
            announce=partial(self._announce, key),
        )

    def _announce(self, key: str, event: Record) -> None:
        """Deliver an event; unlike the one in the feed it counts the endpoints that have not answered yet."""
        self.webhooks.announce(key, [{**event, "pending_webhooks": self.webhooks.count(key)}])

    # What the pipeline asks ----------------------------------------------------------------------------

    def routes(self) -> list[Route]:
        """The endpoints, as in Stripe's OpenAPI file."""
        return [
            self.endpoint("/v1/account", self._get_account),
            self.endpoint("/v1/customers", self._list_customers),
            self.endpoint("/v1/customers", self._idempotency.once(create_customer), "POST"),
            self.endpoint("/v1/customers/search", search_customers),
            self.endpoint("/v1/customers/{id}", self._get_customer),
            self.endpoint("/v1/customers/{id}", self._idempotency.once(update_customer), "POST"),
            self.endpoint("/v1/customers/{id}", delete_customer, "DELETE"),
            self.endpoint("/v1/invoices", self._list_invoices),
            self.endpoint("/v1/invoices/{id}", self._get_invoice),
            self.endpoint("/v1/invoices/{id}/lines", self._list_lines),
            self.endpoint("/v1/events", self._list_events),
            self.endpoint("/v1/events/{id}", self._get_event),
            self.endpoint("/v1/subscription_items", self._list_items),
            self.endpoint("/v1/credit_notes/{id}/lines", self._list_credited),
            *(
                endpoint
                for kind in KINDS.values()
                for endpoint in (
                    self.endpoint(f"/v1/{kind.name}", partial(self._list_objects, kind)),
                    self.endpoint(f"/v1/{kind.name}/{{id}}", partial(self._get_object, kind)),
                )
            ),
        ]

    def unknown_key_error(self, key: str | None) -> ApiError:
        """401 that shows a part of the key."""
        if key is None:
            return stripe_error(
                401,
                "You did not provide an API key. Put it into the Authorization header, using Bearer auth.",
            )
        return stripe_error(401, f"Invalid API Key provided: {_masked(key)}")

    def revoked_error(self, key: str | None) -> ApiError:
        """Stripe calls a revoked key expired."""
        return stripe_error(401, f"Expired API Key provided: {_masked(key or '')}", code="api_key_expired")

    def status_error(self, status: int, code: str | None) -> ApiError:
        """The usual body of each status; 429 and 409 carry `Stripe-Should-Retry`."""
        if status == HTTPStatus.TOO_MANY_REQUESTS or code == "lock_timeout":
            code = code or "rate_limit"
            reason = (
                "Request rate limit exceeded."
                if code == "rate_limit"
                else "This object is being accessed by another request."
            )
            headers = {"stripe-should-retry": "true"}
            if code == "rate_limit":
                headers["stripe-rate-limited-reason"] = "endpoint-rate"
            return stripe_error(status, reason, code=code, headers=headers)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return stripe_error(status, "An unexpected error occurred at our side.", kind="api_error")
        if status == HTTPStatus.FORBIDDEN:
            return stripe_error(
                status, "The provided key does not have the required permissions for this endpoint."
            )
        return stripe_error(status, "The request was refused.", code=code)

    def unknown_path_error(self, method: str, path: str) -> ApiError:
        """404 that names the URL."""
        return stripe_error(404, f"Unrecognized request URL ({method}: {path}).")

    def admit(self, key: str, endpoint: str) -> dict[str, str]:
        """One token from the key's bucket and one from its bucket for this endpoint."""
        if self.limits is None:
            return {}
        overall = self.limits.live if self.account(key).livemode else self.limits.sandbox
        for name, rate in (("", overall), (endpoint, self.limits.endpoint)):
            bucket = self._buckets.setdefault((key, name), TokenBucket(rate, self.limits.burst))
            if not bucket.take():
                raise self.status_error(429, None)
        return {}

    def set_limits(self, limits: StripeLimits | None) -> None:
        """Replace the limits, with full buckets."""
        self.limits = limits
        self._buckets.clear()

    def laid_out(self, content: bytes) -> bytes:
        """Indented, so that an object looks otherwise in a list than alone."""
        return indented(content)

    def common_headers(self, request: Request) -> dict[str, str]:
        """A request id, and the version that was asked for."""
        return {
            "request-id": f"req_{self._request_ids.below(62**9):014d}",
            "stripe-version": request.headers.get("stripe-version", LATEST),
        }

    # Endpoints -----------------------------------------------------------------------------------------

    def _get_account(self, call: Call[StripeAccount]) -> Reply:
        Query(call.request)
        return Reply(msgspec.json.encode(call.account.profile))

    def _get_customer(self, call: Call[StripeAccount]) -> Reply:
        Query(call.request)
        customer_id = call.request.path_params["id"]
        index = call.account.customers.index_of(customer_id)
        if index is None:
            raise missing("customer", customer_id, "id", 404)
        if call.account.customers.is_gone(index):
            return Reply(msgspec.json.encode({"id": customer_id, "object": "customer", "deleted": True}))
        return Reply(call.account.customers.encoded(index))

    def _get_invoice(self, call: Call[StripeAccount]) -> Reply:
        Query(call.request)
        return Reply(
            call.account.invoices.encoded(
                _index(call.account.invoices, "invoice", call.request.path_params["id"])
            )
        )

    def _get_event(self, call: Call[StripeAccount]) -> Reply:
        Query(call.request)
        events = call.account.events.collection
        position = events.position_of(call.request.path_params["id"])
        if position is None or position < call.account.events.first_kept():
            raise missing("event", call.request.path_params["id"], "id", 404)
        return Reply(events.encoded(events.index_at(position)))

    def _list_customers(self, call: Call[StripeAccount]) -> Reply:
        query = Query(call.request, "created", "email")
        email = query.get("email")
        keep = None if email is None else lambda index: call.account.customers.get(index)["email"] == email
        return _page(call.account.customers, "customer", "/v1/customers", query, keep=keep)

    def _list_invoices(self, call: Call[StripeAccount]) -> Reply:
        query = Query(call.request, "created", "customer", "status", "collection_method")
        wanted = {
            name: query.get(name) for name in ("customer", "status", "collection_method") if query.get(name)
        }

        def keep(index: int) -> bool:
            invoice = call.account.invoices.get(index)
            return all(invoice[name] == value for name, value in wanted.items())

        return _page(call.account.invoices, "invoice", "/v1/invoices", query, keep=keep if wanted else None)

    def _list_events(self, call: Call[StripeAccount]) -> Reply:
        query = Query(call.request, "created", "type", "types", "delivery_success")
        pattern, types = query.get("type"), query.all("types")
        if pattern is not None and types:
            raise invalid("You may only specify one of these parameters: type, types.", "types")
        if len(types) > MAX_TYPES:
            raise invalid(f"Too many types: at most {MAX_TYPES} can be given.", "types")
        # Only `type` takes a wildcard: `types` are names.
        matches = re.compile(re.escape(pattern or "*").replace(r"\*", ".*")).fullmatch

        def keep(index: int) -> bool:
            kind = call.account.events.type_of(index)
            return kind in types if types else matches(kind) is not None

        first = call.account.events.first_kept()
        return _page(call.account.events.collection, "event", "/v1/events", query, keep=keep, first=first)

    def _list_lines(self, call: Call[StripeAccount]) -> Reply:
        query = Query(call.request)
        invoice_id = call.request.path_params["id"]
        lines = call.account.invoices.get(_index(call.account.invoices, "invoice", invoice_id))["lines"]
        return _nested(f"/v1/invoices/{invoice_id}/lines", lines, query)

    def _list_credited(self, call: Call[StripeAccount]) -> Reply:
        query = Query(call.request)
        notes = call.account.objects["credit_notes"].collection
        note = notes.get(_index(notes, "credit_note", call.request.path_params["id"]))
        return _nested(f"/v1/credit_notes/{note['id']}/lines", note["lines"], query)

    def _list_items(self, call: Call[StripeAccount]) -> Reply:
        query = Query(call.request, "subscription")
        if (named := query.get("subscription")) is None:
            raise invalid("Missing required param: subscription.", "subscription")
        subscriptions = call.account.objects["subscriptions"].collection
        subscription = subscriptions.get(_index(subscriptions, "subscription", named))
        return _nested("/v1/subscription_items", subscription["items"], query)

    def _get_object(self, kind: Kind, call: Call[StripeAccount]) -> Reply:
        Query(call.request)
        objects = call.account.objects[kind.name].collection
        return Reply(objects.encoded(_index(objects, kind.object, call.request.path_params["id"])))

    def _list_objects(self, kind: Kind, call: Call[StripeAccount]) -> Reply:
        query = Query(call.request, "created", *(["status"] if kind.name == "subscriptions" else []))
        objects = call.account.objects[kind.name].collection

        def is_current(index: int) -> bool:
            # https://docs.stripe.com/api/subscriptions/list: without a status, those that are not canceled.
            return bool(objects.get(index)["status"] != "canceled")

        all_of_them = kind.name != "subscriptions" or query.get("status") == "all"
        return _page(
            objects, kind.object, f"/v1/{kind.name}", query, keep=None if all_of_them else is_current
        )


def _page(
    records: Collection,
    kind: str,
    url: str,
    query: Query,
    *,
    keep: Callable[[int], bool] | None = None,
    first: int = 0,
) -> Reply:
    cursors = {}
    for name in ("starting_after", "ending_before"):
        cursor = query.get(name)
        if cursor is not None:
            cursors[name] = records.position_of(cursor)
            if cursors[name] is None:
                raise missing(kind, cursor, name, 400)
    low, high = query.created()
    indexes, has_more = records.page(
        query.limit,
        low=max(first, records.first_at_or_after(low)),
        high=None if high is None else records.first_at_or_after(high),
        after=cursors.get("starting_after"),
        before=cursors.get("ending_before"),
        keep=keep,
    )
    return _list(url, [records.encoded(index) for index in indexes], has_more=has_more)


def _nested(url: str, elements: list[Record], query: Query) -> Reply:
    """A page of a list that an object holds."""
    ids = [one["id"] for one in elements]
    start, stop = 0, len(elements)
    for name in ("starting_after", "ending_before"):
        cursor = query.get(name)
        if cursor is not None and cursor not in ids:
            raise missing("line_item", cursor, name, 400)
        if cursor is not None and name == "starting_after":
            start = ids.index(cursor) + 1
        elif cursor is not None:
            stop = ids.index(cursor)
    backward = query.get("ending_before") is not None
    chosen = elements[start:stop][-query.limit :] if backward else elements[start:stop][: query.limit]
    return _list(url, [msgspec.json.encode(one) for one in chosen], has_more=stop - start > query.limit)


def _list(url: str, encoded: list[bytes], *, has_more: bool) -> Reply:
    more = b"true" if has_more else b"false"
    return Reply(
        b'{"object":"list","data":[%s],"has_more":%s,"url":"%s"}' % (b",".join(encoded), more, url.encode())
    )


def _index(records: Collection, kind: str, record_id: str) -> int:
    index = records.index_of(record_id)
    if index is None or records.is_gone(index):
        raise missing(kind, record_id, "id", 404)
    return index


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * 8}{key[-4:]}"
