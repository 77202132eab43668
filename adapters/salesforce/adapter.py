"""Salesforce: accounts and contacts as customers.

Here: what the adapter declares, its account and its daily limit. Reading is in ``pull`` (order), ``objects`` (fields)
and ``api`` (endpoints); mapping in ``mapping``.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from pydantic import Field

from adapters.salesforce import mapping
from adapters.salesforce.api import REFUSALS, DailyUse, SalesforceApi
from adapters.salesforce.objects import SObject
from adapters.salesforce.pull import Accounts, Contacts
from adapters.salesforce.writing import SalesforceWriter
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Assertion,
    Capability,
    CredentialField,
    CredentialKind,
    OAuth,
    Stream,
)
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import Limit
from unified.kit.http.refusals import Refusals
from unified.kit.reading.windows import side_by_side
from unified.kit.registry import register_adapter
from unified.schema.entities import CUSTOMERS

# No rate is documented, only that at most 25 requests may be under way that take longer than 20 seconds, 5 in a
# Developer Edition (https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta/). The
# setting ``concurrency`` keeps to the former.
_REQUESTS_PER_SECOND = 50.0


class SalesforceConfig(AdapterConfig):
    """Settings of a Salesforce connection."""

    hosts: ClassVar[tuple[str, ...]] = ("my.salesforce.com", "my.salesforce.mil")

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


class _Organization(msgspec.Struct):
    id: str = msgspec.field(name="Id")
    name: str | None = msgspec.field(name="Name", default=None)
    is_sandbox: bool | None = msgspec.field(name="IsSandbox", default=None)


_ORGANIZATION = msgspec.json.Decoder(_Organization)


@register_adapter
class SalesforceAdapter(BaseAdapter[SalesforceConfig]):
    """Accounts and contacts of a Salesforce org."""

    name = "salesforce"
    display_name = "Salesforce"
    capabilities = frozenset((Capability.READ, Capability.WRITE, Capability.DELETE, Capability.BATCH))
    config_model = SalesforceConfig
    credential_kind = CredentialKind.OAUTH_TOKEN
    credential_fields: ClassVar[tuple[CredentialField, ...]] = ()
    # https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm: token and API at My Domain both, as
    # an External Client App is not known at login.salesforce.com. No answer says how long a token lasts.
    oauth = OAuth(
        token_url="/services/oauth2/token",  # noqa: S106 - a path
        authorize_url="/services/oauth2/authorize",
        revoke_url="/services/oauth2/revoke",
        grants=("client_credentials", "authorization_code"),
        client_authentication="client_secret_post",
        answer_settings={"instance_url": "base_url"},
        assertion=Assertion(audience="/", subject_setting="username"),
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
    )  # fmt: skip
    refusals: ClassVar[Refusals] = REFUSALS

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
        api = SalesforceApi(self)
        await side_by_side(SObject(api, name).described() for name in ("Account", "Contact"))
        return account

    async def account(self) -> Account:
        """Whose org the token opens."""
        api = SalesforceApi(self)
        found = (await api.query("SELECT Id, Name, IsSandbox FROM Organization LIMIT 1")).records
        try:
            org = _ORGANIZATION.decode(found[0])
        except (IndexError, msgspec.MsgspecError):
            raise api.fault("does not say whose org it is") from None
        return Account(org.id, org.name, None if org.is_sandbox is None else not org.is_sandbox)
