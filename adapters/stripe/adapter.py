"""The Stripe adapter: what it declares, and how it connects.

How each stream is read is said by ``sources`` (order), ``changes`` (the events feed) and ``reading`` (endpoints); what
a record means by ``mapping``; how customers are written by ``writing``; what a delivery means by ``webhooks``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from pydantic import Field

from adapters.stripe import mapping, money, webhooks
from adapters.stripe.reading import StripeReader
from adapters.stripe.sources import Log, Objects
from adapters.stripe.tools import StripeTools
from adapters.stripe.writing import StripeWriter
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    UNKNOWN_ACCOUNT,
    Account,
    AdapterConfig,
    Capability,
    ControlTotal,
    CredentialField,
    CredentialKind,
    Source,
    Stream,
)
from unified.kit.errors import ConfigurationError, PermissionDeniedError, RequestRefusedError
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import Limit
from unified.kit.http.refusals import Meaning, Refusals
from unified.kit.registry import register_adapter
from unified.kit.tools.provider import ProviderTools
from unified.kit.webhooks.signatures import Verifier
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS

# https://docs.stripe.com/api/versioning: answers keep this version's shape until somebody changes this line.
API_VERSION = "2026-09-30.endive"

# https://docs.stripe.com/rate-limits: 25 a second for an endpoint, and for a whole sandbox; live ones
# have 100 in all.
_REQUESTS_PER_SECOND = 25.0
_LIVE_REQUESTS_PER_SECOND = 100.0
_SEARCHES_PER_SECOND = 20.0


class StripeConfig(AdapterConfig):
    """Settings of a Stripe connection."""

    hosts: ClassVar[tuple[str, ...]] = ("stripe.com",)

    reads: ClassVar[frozenset[str]] = AdapterConfig.reads | {"stripe_account"}

    base_url: str = Field(default="https://api.stripe.com", description="Where the API lives.")
    stripe_account: str | None = Field(
        default=None,
        pattern=r"^acct_[A-Za-z0-9_]{1,120}$",
        description="A connected account (acct_…) to read and write with a platform's key (Stripe Connect).",
    )


class _AccountObject(msgspec.Struct):
    id: str
    business_profile: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None


_ACCOUNT = msgspec.json.Decoder(_AccountObject)


def _further(name: str, source: Callable[[Any, Stream], Source] = Objects) -> Stream:
    """A stream of objects that land in ``unified_records``, where a connection chooses it."""
    return Stream(
        name,
        RECORDS,
        is_usual=False,
        asks_since=source is Objects,
        source=source,
        to_unified=mapping.to_record,
    )


@register_adapter
class StripeAdapter(BaseAdapter[StripeConfig]):
    """Customers, invoices with all their lines, events, and what else is chosen of one Stripe account."""

    name: ClassVar[str] = "stripe"
    display_name: ClassVar[str] = "Stripe"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.READ, Capability.WRITE, Capability.DELETE, Capability.WEBHOOK}
    )
    identifying: ClassVar[frozenset[str]] = frozenset(("id", "created"))
    leading: ClassVar[frozenset[str]] = webhooks.LEADING
    config_model: ClassVar[type[AdapterConfig]] = StripeConfig
    credential_kind: ClassVar[CredentialKind] = CredentialKind.API_KEY
    credential_fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField(
            "api_key",
            "secret or restricted API key",
            "starts with sk_ or rk_; a restricted key needs to read each stream that is chosen, and events, and to "
            "write customers where a route pushes to this account "
            "(https://dashboard.stripe.com/apikeys)",
        ),
    )
    provider_tools: ClassVar[type[ProviderTools] | None] = StripeTools
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "customers",
            CUSTOMERS,
            source=Objects,
            asks_since=True,
            to_unified=mapping.to_customer,
            writer=StripeWriter,
            from_unified=mapping.from_customer,
            writable_fields=mapping.WRITABLE_FIELDS,
            mapping_version=2,
        ),
        Stream(
            "invoices",
            INVOICES,
            source=Objects,
            asks_since=True,
            to_unified=mapping.to_invoice,
            customers="customers",
            control_total=ControlTotal(("total",), money.MINOR_UNITS),
        ),
        Stream("events", EVENTS, source=Log, to_unified=mapping.to_event),
        _further("subscriptions"),
        _further("charges"),
        _further("refunds"),
        _further("payment_intents"),
        _further("products"),
        _further("prices"),
        _further("balance_transactions", source=Log),
        _further("payouts"),
        _further("credit_notes"),
        _further("disputes"),
    )
    # https://docs.stripe.com/api/errors and https://docs.stripe.com/error-low-level: a 409 is a lock that another
    # request holds, where Stripe does not say otherwise.
    refusals: ClassVar[Refusals] = Refusals(
        codes_at=("error.code",),
        reasons_at=("error.message",),
        statuses={409: Meaning(RequestRefusedError, retry=True)},
        retry_header="stripe-should-retry",
    )
    verifiers: ClassVar[tuple[Verifier, ...]] = (webhooks.StripeVerifier(),)
    owner = staticmethod(webhooks.owner)
    subjects = staticmethod(webhooks.subjects)

    def limits(self) -> Sequence[Limit]:
        """One for a sandbox, or where the settings name a rate, and one for each endpoint of a live account."""
        if not self._livemode or self.config.requests_per_second is not None:
            return (Limit(_REQUESTS_PER_SECOND),)
        lists = [stream.name for stream in self.streams]
        endpoints = [*lists, *(name.removesuffix("s") for name in lists), "lines"]
        return (
            Limit(_LIVE_REQUESTS_PER_SECOND),
            *(Limit(_REQUESTS_PER_SECOND, name, within="default") for name in endpoints),
            Limit(_SEARCHES_PER_SECOND, "search", within="default"),
        )

    def headers(self) -> Mapping[str, str]:
        """The API's version, and the connected account: https://docs.stripe.com/connect/authentication."""
        account = self.config.stripe_account
        return {"stripe-version": API_VERSION, **({"stripe-account": account} if account else {})}

    def open_http(self) -> HttpClient:
        """The HTTP client.

        Raises:
            ConfigurationError: If the key can't be one that reads an account.
        """
        if not self.credentials["api_key"].reveal().startswith(("sk_", "rk_")):
            raise ConfigurationError(
                f"connection {self.connection.key}: its key is not a Stripe key, which starts with sk_ or rk_"
            )
        return super().open_http()

    async def test(self) -> Account:
        """Ask whose account the key opens, and whether it may read the connection's streams.

        A restricted key without the right to read its account is fine; the account's id is ``unknown`` then.
        """
        reader = StripeReader(self.http, self.clock)
        await self.may_read(lambda stream: reader.touch(stream.name))
        return await self.account()

    async def account(self) -> Account:
        """Whose account the key opens (https://docs.stripe.com/api/accounts/retrieve)."""
        try:
            account = await self.http.request("GET", "/v1/account", _ACCOUNT)
        except PermissionDeniedError:
            account = _AccountObject(UNKNOWN_ACCOUNT)
        dashboard = (account.settings or {}).get("dashboard") or {}
        name = (account.business_profile or {}).get("name") or dashboard.get("display_name")
        return Account(account.id, name, self._livemode)

    @property
    def _livemode(self) -> bool:
        return self.credentials["api_key"].reveal().startswith(("sk_live_", "rk_live_"))
