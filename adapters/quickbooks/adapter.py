"""The QuickBooks Online adapter: what it declares, and whose company it is.

Source: https://developer.intuit.com/app/developer/qbo/docs/learn/rest-api-features and
.../docs/develop/authentication-and-authorization/oauth-2.0. Not here: how entities are read (``pull``), mapped
(``mapping``) and written (``writing``).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import msgspec
from pydantic import Field

from adapters.quickbooks import mapping, webhooks
from adapters.quickbooks.pull import Entity
from adapters.quickbooks.writing import CustomerWriter
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
from unified.kit.decoding import decode_exactly
from unified.kit.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
)
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import Limit
from unified.kit.http.refusals import PRESENT, Meaning, Refusals
from unified.kit.registry import register_adapter
from unified.kit.webhooks.signatures import Verifier
from unified.kit.webhooks.verifiers import IntuitVerifier
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS

_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_API = "https://quickbooks.api.intuit.com"
_SANDBOX = "https://sandbox-quickbooks.api.intuit.com"


class QuickBooksConfig(AdapterConfig):
    """Settings of a QuickBooks connection."""

    hosts: ClassVar[tuple[str, ...]] = ("quickbooks.api.intuit.com", "sandbox-quickbooks.api.intuit.com")
    reads: ClassVar[frozenset[str]] = frozenset(("base_url", "realm_id", "sandbox"))

    base_url: str = Field(default=_API, description="Where the API lives.")
    sandbox: bool = Field(default=False, description="Whether the company is one of Intuit's sandboxes.")
    realm_id: str | None = Field(
        default=None, pattern=r"^[0-9]{1,20}$", description="The company's id. Authorizing fills it in."
    )
    concurrency: int = Field(
        default=10, ge=1, le=64, description="Requests under way at once; Intuit allows ten for each company."
    )


class _Company(msgspec.Struct):
    name: str | None = msgspec.field(name="CompanyName", default=None)


class _CompanyInfo(msgspec.Struct):
    company: _Company = msgspec.field(name="CompanyInfo")


_COMPANY = msgspec.json.Decoder(_CompanyInfo)


@register_adapter
class QuickBooksAdapter(BaseAdapter[QuickBooksConfig]):
    """Customers, vendors, invoices, credit memos and payments of one QuickBooks company."""

    name = "quickbooks"
    display_name = "QuickBooks Online"
    capabilities = frozenset((Capability.READ, Capability.WRITE, Capability.DELETE, Capability.WEBHOOK))
    identifying: ClassVar[frozenset[str]] = frozenset(("Id", "MetaData.LastUpdatedTime"))
    leading: ClassVar[frozenset[str]] = webhooks.LEADING
    config_model = QuickBooksConfig
    credential_kind = CredentialKind.OAUTH_TOKEN
    credential_fields: ClassVar[tuple[CredentialField, ...]] = ()
    # One app's endpoints for companies and sandboxes; the browser comes back with the company's id. Each answer says
    # for how long its refresh token lives unused (100 days); after five years somebody has to consent again:
    # https://developer.intuit.com/app/developer/qbo/docs/develop/authentication-and-authorization/faq
    oauth = OAuth(
        token_url="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",  # noqa: S106 - a URL
        authorize_url="https://appcenter.intuit.com/connect/oauth2",
        revoke_url="https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
        scopes=("com.intuit.quickbooks.accounting",),
        redirect_settings={"realmId": "realm_id"},
        lasts=timedelta(days=5 * 365),
    )
    streams = (
        Stream(
            "customers", CUSTOMERS, source=Entity("Customer", is_name=True), to_unified=mapping.to_customer,
            from_unified=mapping.customer_body, writer=CustomerWriter, writable_fields=mapping.WRITABLE,
            mapping_version=2,
        ),
        Stream(
            "invoices", INVOICES, source=Entity("Invoice"), to_unified=mapping.to_invoice, customers="customers",
            control_total=ControlTotal(("TotalAmt",)), mapping_version=2,
        ),
        Stream(
            "vendors", RECORDS, source=Entity("Vendor", is_name=True), to_unified=mapping.to_record,
            mapping_version=2,
        ),
        Stream(
            "credit_memos", RECORDS, source=Entity("CreditMemo"), to_unified=mapping.to_record, mapping_version=2
        ),
        Stream("payments", RECORDS, source=Entity("Payment"), to_unified=mapping.to_record, mapping_version=2),
    )  # fmt: skip
    delivered_streams = (Stream("events", EVENTS, to_unified=webhooks.to_event),)
    decode = staticmethod(decode_exactly)
    # https://developer.intuit.com/app/developer/qbo/docs/develop/troubleshooting/error-codes. A refusal may come with
    # 200, and some have no more than a code to be known by.
    refusals: ClassVar[Refusals] = Refusals(
        codes_at=("Fault.Error.0.code", "fault.error.0.code", "error"),
        reasons_at=(
            "Fault.Error.*.Message", "Fault.Error.*.Detail", "fault.error.*.message", "fault.error.*.detail",
            "error_description",
        ),
        codes={
            "3200": Meaning(AuthenticationError), "003200": Meaning(AuthenticationError),
            "3100": Meaning(PermissionDeniedError), "003100": Meaning(PermissionDeniedError),
            "3001": Meaning(RateLimitedError, retry=True), "003001": Meaning(RateLimitedError, retry=True),
            "610": Meaning(NotFoundError),
        },
        fault_at=("Fault", PRESENT),
    )  # fmt: skip
    verifiers: ClassVar[tuple[Verifier, ...]] = (IntuitVerifier(),)
    subjects = staticmethod(webhooks.subjects)
    owner = staticmethod(webhooks.owner)

    def open_http(self) -> HttpClient:
        """The client; a sandbox's company is at an address of its own, and is authorized where all are."""
        if self.config.sandbox and self.config.base_url == _API:
            self.config = self.config.model_copy(update={"base_url": _SANDBOX})
        return super().open_http()

    def limits(self) -> Sequence[Limit]:
        """A company's, for each app: 500 a minute."""
        return (Limit(500 / 60, share=0.95, burst=10.0),)

    def headers(self) -> Mapping[str, str]:
        """Answers are XML without it."""
        return {"accept": "application/json"}

    async def connect(self) -> None:
        """Open the HTTP client.

        Raises:
            ConfigurationError: If the company is not known.
        """
        if self.config.realm_id is None and self.tokens is not None:
            raise ConfigurationError(
                f"{self.label}: realm_id is not set, so it is not known which company is meant; authorize it again"
            )
        await super().connect()

    async def test(self) -> Account:
        """Ask whose company it is, and for a record of each stream."""
        account = await self.account()
        await self.may_read(
            lambda stream: self.http.request(
                "GET",
                f"/v3/company/{self.config.realm_id}/query",
                _ANYTHING,
                params={"query": f"SELECT * FROM {_entity(stream)} MAXRESULTS 1"},  # noqa: S608 - a word of ours
            )
        )
        return account

    async def account(self) -> Account:
        """The company; its id is what events name."""
        realm = self.config.realm_id or ""
        found = await self.http.request("GET", f"/v3/company/{realm}/companyinfo/{realm}", _COMPANY)
        return Account(realm, found.company.name, not self.config.sandbox)


def _entity(stream: Stream) -> str:
    source: Any = stream.source
    return str(source.name)
