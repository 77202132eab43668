"""The Xero adapter: what it declares, and how each of its four lists makes a stream.

Source: https://developer.xero.com/documentation/api/accounting (``overview``, ``contacts``, ``invoices``,
``creditnotes``, ``payments``) and .../guides/oauth2 (``limits``, ``scopes``, ``custom-connections``).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

import msgspec
from pydantic import Field

from adapters.xero import mapping, webhooks
from adapters.xero.lists import API, CONTACTS, listing
from adapters.xero.writing import XeroWriter
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
    Tenants,
)
from unified.kit.decoding import decode_exactly
from unified.kit.errors import ConfigurationError, ProtocolError
from unified.kit.http.limits import Limit
from unified.kit.http.refusals import Refusals
from unified.kit.registry import register_adapter
from unified.kit.webhooks.signatures import Verifier
from unified.kit.webhooks.verifiers import XeroVerifier
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS

_ANYTHING = msgspec.json.Decoder(msgspec.Raw)


class XeroConfig(AdapterConfig):
    """Settings of a Xero connection."""

    hosts: ClassVar[tuple[str, ...]] = ("api.xero.com",)
    reads: ClassVar[frozenset[str]] = frozenset(("base_url", "tenant_id"))

    base_url: str = Field(default="https://api.xero.com", description="Where the API lives.")
    tenant_id: str | None = Field(
        default=None,
        description="The organisation, by its tenant id. Authorizing fills it in where the grant opens only one.",
    )
    concurrency: int = Field(
        default=5,
        ge=1,
        le=64,
        description="Requests under way at once; Xero allows five for each organisation.",
    )


class _Organisation(msgspec.Struct):
    id: str = msgspec.field(name="OrganisationID")
    name: str | None = msgspec.field(name="Name", default=None)
    is_demo: bool | None = msgspec.field(name="IsDemoCompany", default=None)


class _Organisations(msgspec.Struct):
    all: list[_Organisation] = msgspec.field(name="Organisations")


_ORGANISATIONS = msgspec.json.Decoder(_Organisations)


@register_adapter
class XeroAdapter(BaseAdapter[XeroConfig]):
    """Contacts, invoices and bills, credit notes and payments of one Xero organisation."""

    name = "xero"
    display_name = "Xero"
    capabilities = frozenset(
        (Capability.READ, Capability.WRITE, Capability.DELETE, Capability.BATCH, Capability.WEBHOOK)
    )
    identifying: ClassVar[frozenset[str]] = frozenset(
        ("ContactID", "InvoiceID", "CreditNoteID", "PaymentID", "UpdatedDateUTC")
    )
    leading: ClassVar[frozenset[str]] = webhooks.LEADING
    config_model = XeroConfig
    credential_kind = CredentialKind.OAUTH_TOKEN
    credential_fields: ClassVar[tuple[CredentialField, ...]] = ()
    # https://developer.xero.com/documentation/guides/oauth2/scopes: the granular ones, which are all that an app of
    # 2026 gets. By client credentials a custom connection is opened, which is to one organisation.
    oauth = OAuth(
        token_url="https://identity.xero.com/connect/token",  # noqa: S106 - a URL
        authorize_url="https://login.xero.com/identity/connect/authorize",
        revoke_url="https://identity.xero.com/connect/revocation",
        scopes=(
            "offline_access",
            "accounting.contacts",
            "accounting.invoices.read",
            "accounting.payments.read",
            "accounting.settings.read",
        ),
        grants=("authorization_code", "client_credentials"),
        tenants=Tenants("https://api.xero.com/connections", "tenant_id", id="tenantId", name="tenantName"),
        refresh_unused=timedelta(
            days=60
        ),  # https://developer.xero.com/documentation/guides/oauth2/token-types
    )
    streams = (
        Stream(
            "contacts", CUSTOMERS, to_unified=mapping.to_customer, from_unified=mapping.customer_body,
            source=CONTACTS,
            writer=XeroWriter, writable_fields=mapping.WRITABLE, mapping_version=2,
        ),
        Stream(
            "invoices", INVOICES, to_unified=mapping.to_invoice, customers="contacts",
            source=listing("Invoice", by_ids=True, also=(("unitdp", "4"),)), control_total=ControlTotal(("Total",)),
            mapping_version=2,
        ),
        Stream(
            "credit_notes", RECORDS, to_unified=mapping.to_credit_note,
            source=listing("CreditNote", also=(("unitdp", "4"),)),
        ),
        Stream("payments", RECORDS, to_unified=mapping.to_payment, source=listing("Payment")),
    )  # fmt: skip
    delivered_streams = (Stream("events", EVENTS, to_unified=webhooks.to_event),)
    decode = staticmethod(decode_exactly)
    # https://developer.xero.com/documentation/api/accounting/responsecodes
    refusals: ClassVar[Refusals] = Refusals(
        codes_at=("Type", "Title", "error"),
        reasons_at=("Elements.*.ValidationErrors.*.Message", "Message", "Detail", "error_description"),
    )
    verifiers: ClassVar[tuple[Verifier, ...]] = (XeroVerifier(),)
    subjects = staticmethod(webhooks.subjects)
    owner = staticmethod(webhooks.owner)

    def limits(self) -> Sequence[Limit]:
        """An organisation's: sixty a minute. No pace helps with those of a day, 5,000 (1,000 of the Starter plan)."""
        return (Limit(60 / 60, share=0.95, burst=3.0),)

    def headers(self) -> Mapping[str, str]:
        """Which organisation is meant; a custom connection has only one."""
        tenant = self.config.tenant_id
        return {"accept": "application/json", **({"xero-tenant-id": tenant} if tenant else {})}

    async def connect(self) -> None:
        """Open the HTTP client.

        Raises:
            ConfigurationError: If no header can carry the tenant's id.
        """
        tenant = self.config.tenant_id
        if tenant is not None and not mapping.GUID.fullmatch(tenant):
            raise ConfigurationError(
                f"{self.label}: tenant_id is not a GUID; authorizing lists those that there are"
            )
        await super().connect()

    async def test(self) -> Account:
        """Ask whose organisation it is, and for a record of each stream."""
        account = await self.account()
        await self.may_read(
            lambda stream: self.http.request(
                "GET",
                f"{API}/{''.join(part.capitalize() for part in stream.name.split('_'))}",
                _ANYTHING,
                params=[("page", "1"), ("pageSize", "1")],
            )
        )
        return account

    async def account(self) -> Account:
        """The organisation; its id is the tenant's, which events name."""
        found = (await self.http.request("GET", f"{API}/Organisation", _ORGANISATIONS)).all
        if len(found) != 1:
            raise ProtocolError(
                f"{self.label}: Xero shows {len(found)} organisations instead of one; set tenant_id"
            )
        is_live = None if found[0].is_demo is None else not found[0].is_demo
        return Account(self.config.tenant_id or found[0].id, found[0].name, is_live)
