"""Accounts and contacts as unified customers: which field is taken from where, and what may be missing."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from adapters.salesforce.adapter import SalesforceAdapter
from unified.kit.declarations import ConnectionRef
from unified.schema.customer import CustomerKind, UnifiedCustomer

NOW = datetime(2026, 9, 21, tzinfo=UTC)
_REF = ConnectionRef(UUID(int=1), UUID(int=2), "acme/salesforce")
ACCOUNT = {
    "Id": "001", "Name": "Acme GmbH", "IsPersonAccount": False, "Phone": "+4930123", "Fax": "+4930999",
    "BillingStreet": "Hauptstraße 1\r\nHinterhaus\nLinks", "BillingCity": "Köln", "BillingPostalCode": "50667",
    "BillingCountry": "Germany", "BillingCountryCode": "DE", "BillingState": "Nordrhein-Westfalen",
    "BillingStateCode": "NW", "ShippingCity": "Bonn", "CurrencyIsoCode": "EUR", "Description": "Pays late",
    "CreatedDate": "2026-01-02T03:04:05.000+0000", "SystemModstamp": "2026-02-03T04:05:06.000+0000",
    "Tier__c": "Gold", "Empty__c": None, "Website": "https://acme.example",
}  # fmt: skip
CONTACT = {
    "Id": "003", "Name": "Ada King", "FirstName": "Ada", "LastName": "King", "Email": "ada@acme.example",
    "Phone": None, "MobilePhone": "+49170", "AccountId": "001", "Account": {"Name": "Acme GmbH"},
    "MailingStreet": "Ring 2", "MailingCountry": "Deutschland", "OtherCity": "Bonn", "Title": "CFO",
}  # fmt: skip


def mapped(stream: str, raw: dict[str, Any]) -> UnifiedCustomer:
    adapter = SalesforceAdapter(
        SalesforceAdapter.config_model(base_url="https://acme.my.salesforce.com"),
        {},
        _REF,
    )
    record = adapter.map_record(stream, msgspec.json.encode(raw), adapter.origin(stream, NOW, NOW))
    assert isinstance(record, UnifiedCustomer)
    return record


def test_a_company() -> None:
    record = mapped("accounts", ACCOUNT)
    assert (record.kind, record.name, record.company) == (CustomerKind.COMPANY, "Acme GmbH", "Acme GmbH")
    assert (record.email, record.phones, record.currency) == (None, ("+4930123",), "EUR")
    assert record.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert record.updated_at == datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert record.billing_address is not None
    assert record.billing_address.model_dump(exclude_none=True) == {
        "line1": "Hauptstraße 1", "line2": "Hinterhaus, Links", "city": "Köln", "postal_code": "50667",
        "state": "NW", "country": "DE",
    }  # fmt: skip
    assert record.shipping_address is not None
    assert record.custom_fields == {"Tier__c": "Gold", "Website": "https://acme.example"}
    assert record.description == "Pays late"


def test_a_person_account() -> None:
    person = {**ACCOUNT, "IsPersonAccount": True, "Name": "Ada King", "PersonEmail": "ada@acme.example"}
    record = mapped("accounts", person)
    assert (record.kind, record.company, record.email) == (CustomerKind.PERSON, None, "ada@acme.example")


def test_a_contact_has_the_name_of_its_account_as_company() -> None:
    record = mapped("contacts", CONTACT)
    assert (record.kind, record.name, record.company) == (CustomerKind.PERSON, "Ada King", "Acme GmbH")
    assert (record.email, record.phone) == ("ada@acme.example", "+49170")
    assert record.custom_fields == {"AccountId": "001", "Title": "CFO"}


def test_without_picklists_of_countries_their_text_is_taken() -> None:
    record = mapped("contacts", CONTACT)
    assert record.billing_address is not None
    assert record.billing_address.country == "Deutschland"


@pytest.mark.parametrize("stream", ["accounts", "contacts"])
def test_a_record_of_which_the_user_may_see_the_id_alone_is_a_record(stream: str) -> None:
    assert mapped(stream, {"Id": "001"}).source_id == "001"


def test_what_cannot_be_read_is_kept_aside() -> None:
    record = mapped("contacts", {**CONTACT, "Email": "nobody", "CurrencyIsoCode": "EURO"})
    assert record.email is None
    assert record.custom_fields["invalid_email"] == "nobody"
    assert record.custom_fields["invalid_currency"] == "EURO"
