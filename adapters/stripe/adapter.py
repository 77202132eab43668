"""The Stripe adapter: what it declares, how it connects, and which way each stream is read."""

import re
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from itertools import pairwise
from typing import Any, ClassVar

import httpx
import msgspec
from pydantic import Field

from adapters.stripe import mapping, money, webhooks
from adapters.stripe.changes import ObjectChanges, Position, event_pages, safe_since
from adapters.stripe.reading import BEGINNING, END, StripeReader
from adapters.stripe.writing import StripeWriter
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Account, AdapterConfig, Capability, CredentialField, CredentialKind
from unified.kit.errors import ConfigurationError, PermissionDeniedError
from unified.kit.http.client import HttpClient, Refusal, read_refusal
from unified.kit.http.limits import RateLimit
from unified.kit.reading.refresh import Refresh, is_unfinished
from unified.kit.reading.windows import Window, WindowPage, side_by_side
from unified.kit.registry import register_adapter
from unified.kit.streams import Changes, ControlTotal, Cursor, Origin, Page, Stream
from unified.kit.webhooks.deliveries import ReceivedEvent, Verifier
from unified.kit.writing.changes import Write, Written
from unified.schema.base import UnifiedBase
from unified.schema.customer import UnifiedCustomer
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES

# https://docs.stripe.com/api/versioning: answers keep this version's shape until somebody changes this line.
API_VERSION = "2026-09-30.endive"

# https://docs.stripe.com/rate-limits: 25 a second for an endpoint, and for a whole sandbox; live accounts
# have 100 in all, which the endpoints used here can't exceed at 25 each while no more than four of them are
# busy at once.
_REQUESTS_PER_SECOND = 25.0
_SEARCHES_PER_SECOND = 20.0
_ENDPOINTS = ("default", "customers", "customer", "invoices", "invoice", "lines", "events", "event", "search")

# A first look at a history whose beginning is unknown: reaching back so many days, each twice as far as the
# last one.
_REACH_DAYS = (30, 60, 120, 240, 480, 960, 1_920, 3_840)

# Seconds by which the clock of a provider that does not tell its time may be behind ours.
_CLOCKS_APART = 86_400

_KEY = re.compile(r"\b(?:sk|rk|pk|ek|whsec)_[^\s'\"]+")


class StripeConfig(AdapterConfig):
    """Settings of a Stripe connection."""

    hosts: ClassVar[tuple[str, ...]] = ("stripe.com",)

    base_url: str = Field(default="https://api.stripe.com", description="Where the API lives.")


class _AccountObject(msgspec.Struct):
    id: str
    business_profile: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None


class _Error(msgspec.Struct):
    message: str | None = None
    code: str | None = None


class _Envelope(msgspec.Struct):
    error: _Error


_ACCOUNT = msgspec.json.Decoder(_AccountObject)
_ENVELOPE = msgspec.json.Decoder(_Envelope)


@register_adapter
class StripeAdapter(BaseAdapter[StripeConfig]):
    """Customers, invoices with all their lines, and events of one Stripe account."""

    name: ClassVar[str] = "stripe"
    display_name: ClassVar[str] = "Stripe"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.READ, Capability.WRITE, Capability.DELETE, Capability.WEBHOOK}
    )
    config_model: ClassVar[type[AdapterConfig]] = StripeConfig
    credential_kind: ClassVar[CredentialKind] = CredentialKind.API_KEY
    credential_fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField(
            "api_key",
            "secret or restricted API key",
            "starts with sk_ or rk_; a restricted key needs to read customers, invoices and events, and to write "
            "customers where a route pushes to this account "
            "(https://dashboard.stripe.com/apikeys)",
        ),
    )
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream("customers", CUSTOMERS, writable_fields=mapping.WRITABLE_FIELDS),
        Stream(
            "invoices",
            INVOICES,
            customers="customers",
            control_total=ControlTotal(("total",), money.MINOR_UNITS),
        ),
        Stream("events", EVENTS),
    )
    verifiers: ClassVar[tuple[Verifier, ...]] = (webhooks.StripeVerifier(),)

    def open_http(self) -> HttpClient:
        """The HTTP client, with one rate limit for a sandbox and one per endpoint for a live account.

        Raises:
            ConfigurationError: If the key can't be one that reads an account.
        """
        key = self.credentials["api_key"].reveal()
        if not key.startswith(("sk_", "rk_")):
            msg = (
                f"connection {self.connection.key}: its key is none of Stripe's; that starts with sk_ or rk_"
            )
            raise ConfigurationError(msg)
        rate = self.config.requests_per_second
        if self._livemode and rate is None:
            limits = {name: RateLimit(_REQUESTS_PER_SECOND) for name in _ENDPOINTS}
            limits["search"] = RateLimit(_SEARCHES_PER_SECOND)
        else:
            limits = dict.fromkeys(_ENDPOINTS, RateLimit(rate or _REQUESTS_PER_SECOND))
        return HttpClient(
            self.config,
            label=f"{self.name} connection {self.connection.key}",
            headers={"stripe-version": API_VERSION},
            auth=self.authentication(),
            limits=limits,
            read_refusal=read_stripe_refusal,
        )

    async def test(self) -> Account:
        """Ask whose account the key opens, and whether it may read every stream.

        A restricted key without the right to read its account is fine; the account's id is ``unknown`` then.
        """
        reader = StripeReader(self.http, self.clock)
        await side_by_side([reader.touch(stream.name) for stream in self.streams])
        try:
            account = await self.http.request("GET", "/v1/account", _ACCOUNT)
        except PermissionDeniedError:
            account = _AccountObject("unknown")
        dashboard = (account.settings or {}).get("dashboard") or {}
        name = (account.business_profile or {}).get("name") or dashboard.get("display_name")
        return Account(account.id, name, self._livemode)

    async def pull(self, stream: str, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """Read a stream: see :meth:`BaseAdapter.pull`. Stripe keeps its events for 30 days."""
        self.stream(stream)
        reader, readers = StripeReader(self.http, self.clock), self.config.concurrency
        if stream == "events":
            begun = event_pages(reader, cursor, readers=readers)
        elif cursor is None or is_unfinished(cursor):
            begun = self._refresh(reader, stream, cursor)
        else:
            begun = ObjectChanges(reader, stream, cursor, readers=readers).pages()
        async with aclosing(begun) as pages:
            async for page in pages:
                yield page

    async def _refresh(
        self, reader: StripeReader, stream: str, cursor: Cursor | None
    ) -> AsyncGenerator[Page, None]:
        refresh = Refresh.load(cursor)
        if refresh is None:
            started_at = self.clock()
            # A key that may not read events fails now, not at the first incremental pull.
            await reader.touch("events")
            now = int(started_at.timestamp())
            since = safe_since(reader, otherwise=now - _CLOCKS_APART)
            edges = [END, *(now - days * 86_400 for days in _REACH_DAYS), BEGINNING]
            windows = [Window(low, high) for high, low in pairwise(edges)]
            refresh = Refresh(started_at, windows, Position(since).dump())

        async def fetch(window: Window) -> WindowPage:
            return await reader.listed(stream, window)

        refreshing = refresh.pages(
            fetch,
            readers=self.config.concurrency,
            is_saturated=lambda: self.http.is_saturated(stream),
        )
        async with aclosing(refreshing) as pages:
            async for page in pages:
                yield page

    def fetch(self, stream: str, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Read single objects: see :meth:`BaseAdapter.fetch`. An event that is no longer kept is left out."""
        return StripeReader(self.http, self.clock).current(self.stream(stream).name, source_ids)

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Origin) -> UnifiedBase:
        """Map one raw record: see :meth:`BaseAdapter.to_unified`."""
        match stream:
            case "customers":
                return mapping.to_customer(raw, origin)
            case "invoices":
                return mapping.to_invoice(raw, origin)
            case "events":
                return mapping.to_event(raw, origin)
            case _:
                self.stream(stream)
                raise AssertionError(stream)

    def changes(self, events: Sequence[ReceivedEvent]) -> Changes:
        """What received events mean: see :meth:`BaseAdapter.changes`."""
        return webhooks.changes(events)

    def from_unified(self, record: UnifiedBase, fields: Collection[str] | None = None) -> dict[str, Any]:
        """Map a customer to Stripe's parameters: see :meth:`BaseAdapter.from_unified`."""
        return (
            mapping.from_customer(record, fields)
            if isinstance(record, UnifiedCustomer)
            else super().from_unified(record, fields)
        )

    def write(self, stream: str, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Write customers: see :meth:`BaseAdapter.write`."""
        if not self.stream(stream).writable_fields:
            return super().write(stream, writes)
        return self._writer.write(writes)

    def find(self, stream: str, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Find customers by e-mail, phone or metadata: see :meth:`BaseAdapter.find`."""
        if not self.stream(stream).writable_fields:
            return super().find(stream, field, values)
        return self._writer.find(field, values)

    @property
    def _writer(self) -> StripeWriter:
        return StripeWriter(self.http, self.clock, at_once=self.config.concurrency)

    @property
    def _livemode(self) -> bool:
        return self.credentials["api_key"].reveal().startswith(("sk_live_", "rk_live_"))


def read_stripe_refusal(response: httpx.Response) -> Refusal:
    """Read Stripe's error envelope (https://docs.stripe.com/api/errors).

    Stripe says itself whether to retry (``Stripe-Should-Retry``). Where it does not, 409 may pass as well:
    another request holds a lock. Its messages quote a part of the key, which is taken out.
    """
    default = read_refusal(response)
    try:
        error = _ENVELOPE.decode(response.content).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        error = _Error()
    told = response.headers.get("stripe-should-retry")
    retry = told == "true" if told else default.retry or response.status_code == httpx.codes.CONFLICT
    return Refusal(_KEY.sub("[key]", error.message or default.reason), retry, error.code)
