"""HubSpot: contacts as customers, invoices, and what else a connection chooses.

Here: what the adapter declares, its HTTP client and its account. Reading is in ``pull`` (order), ``api``
(endpoints) and ``related`` (associations); writing in ``writing``; mapping in ``mapping``.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import Field

from adapters.hubspot import mapping, webhooks
from adapters.hubspot.api import REFUSALS, STATED_RATE, HubSpotApi
from adapters.hubspot.custom import CustomObjects
from adapters.hubspot.named import refuse_unknown
from adapters.hubspot.owners import Owners
from adapters.hubspot.pull import Objects
from adapters.hubspot.tools import HubSpotTools
from adapters.hubspot.writing import HubSpotWriter
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Capability,
    ControlTotal,
    CredentialField,
    CredentialKind,
    OAuth,
    Stream,
)
from unified.kit.http.limits import Limit
from unified.kit.registry import register_adapter
from unified.schema import UnifiedBase, UnifiedCustomer
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS

# https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines: 100 requests in any ten
# seconds for a private app, 190 and more on higher plans; the answers' headers say which.
_REQUESTS_PER_SECOND = 10.0
# Networks deliver unevenly: asking for all that is allowed, to the request, is answered by 429 now and then.
_HEADROOM = 0.95
_BURST = 5.0

# The kinds of objects that a stream's records are made of: those that are searched, and those read by their ids alone.
_KINDS: dict[str, tuple[Collection[str], ...]] = {
    "customers": (("contacts", "companies"), ()),
    "invoices": (("invoices",), ("line_items",)),
}


class HubSpotConfig(AdapterConfig):
    """Settings of a HubSpot connection."""

    hosts: ClassVar[tuple[str, ...]] = ("hubapi.com",)  # and a data centre's own below it

    reads: ClassVar[frozenset[str]] = AdapterConfig.reads | {"properties"}

    base_url: str = Field(default="https://api.hubapi.com", description="Where the API lives.")
    search_lag: float = Field(
        default=30.0,
        ge=0,
        le=600,
        description="Seconds by which HubSpot's search usually lags; 0 says that it never does.",
    )
    search_late: float = Field(
        default=900.0,
        ge=0,
        le=86_400,
        description="Seconds by which HubSpot's search may lag at worst: each pull asks again for changes so far back.",
    )
    searches_per_second: float = Field(
        default=5.0, gt=0, description="Searches that HubSpot allows an account."
    )
    properties: tuple[str, ...] = Field(
        default=(),
        description="Further properties of contacts and invoices to read into custom_fields, and of contacts to "
        "write from there.",
    )
    associations_hours: float = Field(
        default=24.0,
        ge=0,
        le=8760,
        description="Hours after which all deals, tickets and quotes are read again, because a record whose "
        "associations alone change counts as unmodified; 0 says never.",
    )
    key_property: str | None = Field(
        default=None,
        description="A property of contacts with unique values, made for this purpose: it lets contacts without "
        "an e-mail address be created again when no answer came.",
    )


def _further(name: str, *, mapping_version: int = 1) -> Stream:
    """A stream of records that land in ``unified_records``, where a connection chooses it."""
    return Stream(
        name,
        RECORDS,
        is_usual=False,
        mapping_version=mapping_version,
        source=Objects,
        to_unified=mapping.record,
    )


@register_adapter
class HubSpotAdapter(BaseAdapter[HubSpotConfig]):
    """Contacts and invoices of a HubSpot account, with a private app's token or by OAuth."""

    name = "hubspot"
    display_name = "HubSpot"
    capabilities = frozenset(
        (Capability.READ, Capability.WRITE, Capability.DELETE, Capability.BATCH, Capability.WEBHOOK)
    )
    identifying: ClassVar[frozenset[str]] = frozenset(("id", "createdAt", "updatedAt"))
    leading: ClassVar[frozenset[str]] = webhooks.LEADING
    named_values: ClassVar[Mapping[str, Collection[str]]] = MappingProxyType(
        {"propertyName": ("propertyValue",)}
    )
    config_model = HubSpotConfig
    credential_kind = CredentialKind.BEARER_TOKEN
    credential_fields = (
        CredentialField(
            "access_token",
            "Private app access token",
            "begins with pat-; made in HubSpot under Settings, Integrations, Private Apps, with read scopes "
            "for contacts, companies, invoices, line items and what else is chosen, and the write scope for contacts "
            "where a route pushes to this account",
        ),
    )
    # https://developers.hubspot.com/docs/api-reference/latest/authentication/manage-oauth-tokens
    oauth = OAuth(
        authorize_url="https://app.hubspot.com/oauth/authorize",
        token_url="https://api.hubapi.com/oauth/2026-03/token",  # noqa: S106 - a URL
        revoke_url="https://api.hubapi.com/oauth/2026-03/token/revoke",
        client_authentication="client_secret_post",
        scopes=(
            "oauth",
            "crm.objects.contacts.read",
            "crm.objects.companies.read",
            "crm.objects.invoices.read",
            "crm.objects.line_items.read",
        ),
        # For routes to this account, and for streams that are chosen.
        authorize_params={
            "optional_scope": "crm.objects.contacts.write crm.objects.custom.read crm.objects.deals.read "
            "crm.objects.owners.read crm.objects.products.read crm.objects.quotes.read crm.schemas.custom.read tickets"
        },
    )
    streams = (
        Stream(
            "customers",
            CUSTOMERS,
            source=Objects,
            to_unified=mapping.customer,
            writer=HubSpotWriter,
            writable_fields=mapping.WRITABLE_FIELDS,
        ),
        Stream(
            "invoices",
            INVOICES,
            source=Objects,
            to_unified=mapping.invoice,
            customers="customers",
            control_total=ControlTotal(("properties", "hs_amount_billed")),
        ),
        Stream("companies", CUSTOMERS, is_usual=False, source=Objects, to_unified=mapping.company),
        _further("deals", mapping_version=2),
        _further("tickets", mapping_version=2),
        _further("products"),
        _further("line_items"),
        _further("quotes", mapping_version=2),
        Stream("owners", RECORDS, is_usual=False, source=Owners, to_unified=mapping.owner),
        Stream(
            "custom_objects", RECORDS, is_usual=False, source=CustomObjects, to_unified=mapping.custom_object
        ),
    )
    delivered_streams = (Stream("events", EVENTS, to_unified=webhooks.to_event),)
    refusals = REFUSALS
    provider_tools = HubSpotTools
    verifiers = (
        webhooks.HubSpotVerifier(),
        webhooks.HubSpotV1Verifier(),
        webhooks.HubSpotV2Verifier(),
    )
    owner = staticmethod(webhooks.owner)
    subjects = staticmethod(webhooks.subjects)

    def limits(self) -> Sequence[Limit]:
        """One for all requests, and one for searches, which count in the former as well."""
        return (
            Limit(_REQUESTS_PER_SECOND, share=_HEADROOM, burst=_BURST, stated=STATED_RATE),
            Limit(self.config.searches_per_second, "search", share=_HEADROOM, within="default"),
        )

    async def test(self) -> Account:
        """Ask whose portal the token opens, whether it may read what each stream needs, and for properties by name."""
        account = await self.account()
        await self.may_read(self._touch)
        await refuse_unknown(self.http, self.config.properties, ("contacts", "invoices"))
        if self.config.key_property:
            await refuse_unknown(self.http, [self.config.key_property], ("contacts",))
        return account

    async def _touch(self, stream: Stream) -> None:
        """Ask for a little of a stream."""
        api = HubSpotApi(self.http)
        if stream.name == "owners":
            await api.touch_owners()
        elif stream.name == "custom_objects":
            await api.touch([one.object_type_id for one in await api.schemas()])
        else:
            await api.touch(*_KINDS.get(stream.name, ((stream.name,),)))

    async def account(self) -> Account:
        """Whose portal the token opens."""
        details = await HubSpotApi(self.http).account()
        live = details.account_type == "STANDARD" if details.account_type else None
        return Account(str(details.portal_id), details.ui_domain, live)

    def from_unified(
        self, stream: str, record: UnifiedBase, fields: Collection[str] | None = None
    ) -> dict[str, Any]:
        """The body that creates or updates a contact, with the custom fields that the settings name."""
        if stream != "customers" or not isinstance(record, UnifiedCustomer):
            return super().from_unified(stream, record, fields)
        custom = {*mapping.WRITABLE_CUSTOM, *self.config.properties} - mapping.NOT_CUSTOM_OF_CONTACTS
        return mapping.contact_body(record, fields, custom)
