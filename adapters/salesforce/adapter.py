"""Salesforce: accounts and contacts as customers; invoices, credit memos and payments where an org has them.

Here: what the adapter declares, its account and its daily limit. Reading is in ``pull`` (order), ``objects`` (fields)
and ``api`` (endpoints); mapping in ``mapping``.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import msgspec
from pydantic import Field, ValidationInfo, field_validator

from adapters.salesforce import invoice_objects, mapping, webhooks
from adapters.salesforce.api import REFUSALS, DailyUse, SalesforceApi
from adapters.salesforce.documents import OBJECTS, Kind
from adapters.salesforce.invoice_objects import FIELDS, LINE_FIELDS
from adapters.salesforce.invoices import TOTAL, Invoices
from adapters.salesforce.people import Accounts, Contacts
from adapters.salesforce.pull import Records
from adapters.salesforce.writing import SalesforceWriter
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Assertion,
    Capability,
    ControlTotal,
    CredentialField,
    CredentialKind,
    OAuth,
    Stream,
)
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import Limit
from unified.kit.http.refusals import Refusals
from unified.kit.registry import register_adapter
from unified.kit.streams import Origin
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.owners import Owner
from unified.kit.webhooks.signatures import Verifier
from unified.schema.base import UnifiedBase
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS

# No rate is documented, only that at most 25 requests may be under way that take longer than 20 seconds, 5 in a
# Developer Edition (https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta/). The
# setting ``concurrency`` keeps to the former.
_REQUESTS_PER_SECOND = 50.0

_PEOPLE = {"accounts": ("Account",), "contacts": ("Contact",)}
_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"


class SalesforceConfig(AdapterConfig):
    """Settings of a Salesforce connection."""

    hosts: ClassVar[tuple[str, ...]] = ("my.salesforce.com", "my.salesforce.mil")

    reads: ClassVar[frozenset[str]] = AdapterConfig.reads | {
        "invoice_object", "invoice_fields", "invoice_line_object", "invoice_line_parent", "invoice_line_fields",
    }  # fmt: skip

    base_url: str = Field(
        description="The org's My Domain: https://acme.my.salesforce.com, of a sandbox "
        "https://acme--uat.sandbox.my.salesforce.com."
    )
    username: str | None = Field(
        default=None,
        description="The user to act for, where the app proves itself by a private key (JWT bearer).",
    )
    daily_share: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Share of the org's requests of a rolling day, those of all its programs, from which nothing more "
        "is asked.",
    )
    key_field: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9_]*__c$",
        description="An external id of accounts and contacts (text, unique), made for this purpose: it takes the key "
        "of a creation, which may then be sent again when no answer came.",
    )
    allow_duplicates: bool = Field(
        default=False, description="Whether duplicate rules that only warn let a record pass."
    )
    currency: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{3}$",
        description="The currency of an org that has only one, as ISO 4217: its records do not say it.",
    )
    invoice_object: str | None = Field(
        default=None,
        pattern=_NAME,
        description="The object that holds the org's invoices, where it is neither Invoice nor blng__Invoice__c.",
    )
    invoice_fields: dict[str, str] = Field(
        default={},
        description="By field of ours (total, customer_id, due_date, …), the field of the invoice object that has it.",
    )
    invoice_line_object: str | None = Field(
        default=None, pattern=_NAME, description="The object that holds the lines of the org's own invoices."
    )
    invoice_line_parent: str | None = Field(
        default=None, pattern=_NAME, description="The field of a line that names its invoice."
    )
    invoice_line_fields: dict[str, str] = Field(
        default={},
        description="By field of ours (amount, quantity, description, …), the field of the line object that fills it.",
    )

    @field_validator("invoice_object")
    @classmethod
    def _is_the_orgs(cls, name: str | None) -> str | None:
        if name == "SalesforceInvoice":
            msg = "SalesforceInvoice holds what the org owes Salesforce, not what its customers owe"
            raise ValueError(msg)
        return name

    @field_validator("invoice_fields", "invoice_line_fields", mode="before")
    @classmethod
    def _of_a_form(cls, names: Any) -> Any:
        """A web form sends text."""
        try:
            return json.loads(names) if isinstance(names, str) else names
        except ValueError:
            msg = 'it takes an object in JSON, such as {"total": "Total__c"}'
            raise ValueError(msg) from None

    @field_validator("invoice_fields", "invoice_line_fields")
    @classmethod
    def _name_fields(cls, names: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        known = FIELDS if info.field_name == "invoice_fields" else LINE_FIELDS
        if unknown := names.keys() - known:
            msg = f"there is no field {min(unknown)!r}; there are {', '.join(sorted(known))}"
            raise ValueError(msg)
        if odd := [name for name in names.values() if not re.fullmatch(_NAME, name)]:
            msg = f"{odd[0]!r} is not the name of a field of Salesforce's"
            raise ValueError(msg)
        return names


class _Organization(msgspec.Struct):
    id: str = msgspec.field(name="Id")
    name: str | None = msgspec.field(name="Name", default=None)
    is_sandbox: bool | None = msgspec.field(name="IsSandbox", default=None)


_ORGANIZATION = msgspec.json.Decoder(_Organization)


@register_adapter
class SalesforceAdapter(BaseAdapter[SalesforceConfig]):
    """Accounts, contacts and invoices of a Salesforce org."""

    name = "salesforce"
    display_name = "Salesforce"
    capabilities = frozenset(
        (Capability.READ, Capability.WRITE, Capability.DELETE, Capability.BATCH, Capability.WEBHOOK)
    )
    identifying: ClassVar[frozenset[str]] = frozenset(("Id", "SystemModstamp"))
    config_model = SalesforceConfig
    credential_kind = CredentialKind.OAUTH_TOKEN
    credential_fields: ClassVar[tuple[CredentialField, ...]] = ()
    # https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm: token and API at My Domain both, as
    # an External Client App is not known at login.salesforce.com. No answer says how long a token lasts.
    oauth = OAuth(
        token_url="/services/oauth2/token",  # noqa: S106 - a path
        authorize_url="/services/oauth2/authorize",
        revoke_url="/services/oauth2/revoke",
        grants=("authorization_code", "client_credentials"),
        client_authentication="client_secret_post",
        answer_settings={"instance_url": "base_url"},
        assertion=Assertion(audience="/", subject_setting="username"),
        reuse_revokes=True,  # where the app rotates them, which it must if several customers use it
    )
    streams = (
        Stream(
            "accounts", CUSTOMERS, source=Accounts, to_unified=mapping.account, writer=SalesforceWriter,
            writable_fields=mapping.ACCOUNT_FIELDS, from_unified=mapping.account_body,
        ),
        Stream(
            "contacts", CUSTOMERS, source=Contacts, to_unified=mapping.contact, writer=SalesforceWriter,
            writable_fields=mapping.CONTACT_FIELDS, from_unified=mapping.contact_body,
        ),
        # Most orgs have none: who has them chooses the stream.
        Stream(
            "invoices", INVOICES, source=Invoices, customers="accounts", is_usual=False,
            control_total=ControlTotal((TOTAL,)),
        ),
        *(
            Stream(name, RECORDS, source=Kind(objects), to_unified=mapping.document, is_usual=False)
            for name, objects in OBJECTS.items()
        ),
    )  # fmt: skip
    delivered_streams: ClassVar[tuple[Stream, ...]] = (
        Stream("events", EVENTS, to_unified=webhooks.to_event),
    )
    refusals: ClassVar[Refusals] = REFUSALS
    verifiers: ClassVar[tuple[Verifier, ...]] = (webhooks.OutboundMessageVerifier(), webhooks.FlowVerifier())

    @property
    def day(self) -> DailyUse:
        """How much of the day's requests is used, by the answers to this adapter's."""
        return self._day

    def open_http(self) -> HttpClient:
        """The client, whose answers say how much of the day is used."""
        http = super().open_http()
        self._day = DailyUse(self.config.daily_share)
        http.noted = self._day.note
        return http

    def limits(self) -> Sequence[Limit]:
        """One for all requests."""
        return (Limit(_REQUESTS_PER_SECOND, burst=10.0),)

    async def test(self) -> Account:
        """Ask whose org the token opens, and whether its user may see every object that a stream needs."""
        account = await self.account()
        await self.may_read(self._describe)
        return account

    async def _describe(self, stream: Stream) -> None:
        """Ask what the user may see of a stream's object."""
        source = self._source(stream.name)
        assert isinstance(source, Records)  # noqa: S101 - all of them are
        await source.prepare()

    @classmethod
    def owner(cls, event: ReceivedEvent) -> Owner:
        """The organization that an event names, as nothing else proves whose it is."""
        return Owner(webhooks.organization(event))

    def subjects(self, event: ReceivedEvent) -> Iterable[Subject]:
        """The record that changed, or the invoice that a changed line belongs to."""
        own = (self.config.invoice_object,) if self.config.invoice_object else ()
        objects = [invoice_objects.declared(self.config, name) for name in (*invoice_objects.KNOWN, *own)]
        streams = {name: stream for stream, names in (_PEOPLE | OBJECTS).items() for name in names} | {
            one.name: "invoices" for one in objects
        }
        parents = {one.line_name: one.line_parent for one in objects if one.line_name and one.line_parent}
        return webhooks.subjects(event, streams, parents)

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Origin) -> UnifiedBase:
        """Map a record; an invoice as the settings and the object that it is from say."""
        if stream != "invoices":
            return super().to_unified(stream, raw, origin)
        declared = invoice_objects.declared(self.config, raw["attributes"]["type"])
        return mapping.invoice(raw, origin, declared.fields, declared.line_fields, self.config.currency)

    async def account(self) -> Account:
        """Whose org the token opens."""
        api = SalesforceApi(self)
        found = (await api.query("SELECT Id, Name, IsSandbox FROM Organization LIMIT 1")).records
        try:
            org = _ORGANIZATION.decode(found[0])
        except (IndexError, msgspec.MsgspecError):
            raise api.fault("does not say whose org it is") from None
        return Account(org.id, org.name, None if org.is_sandbox is None else not org.is_sandbox)
