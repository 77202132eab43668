"""QuickBooks' entities as the stand-in generates and settles them, and the events that changes make.

Source: https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities (``customer``, ``vendor``,
``invoice``, ``creditmemo``, ``payment``), .../docs/develop/webhooks. Not here: how they are read and written (`api`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.clock import DAY
from unified.sandbox.data import PRODUCTS, person
from unified.sandbox.draw import Draw, seed_of
from unified.sandbox.webhooks import Endpoint, Record, WebhookForm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unified.sandbox.tables.table import New, Table

_CURRENCIES = ("USD",) * 6 + ("EUR", "GBP", "AUD")
_RATES = {"EUR": 1.0843, "GBP": 1.2671, "AUD": 0.6528}
# The company's time, to the second.
_ZONE = timezone(timedelta(hours=-7))

# What customers and vendors have alike; None is not shown.
_NAME: dict[str, Any] = {
    "Title": None, "GivenName": None, "MiddleName": None, "FamilyName": None, "Suffix": None, "DisplayName": "",
    "CompanyName": None, "PrintOnCheckName": None, "Active": True, "PrimaryPhone": None, "AlternatePhone": None,
    "Mobile": None, "Fax": None, "PrimaryEmailAddr": None, "WebAddr": None, "BillAddr": None, "ShipAddr": None,
    "Notes": None, "AcctNum": None, "Balance": 0, "OpenBalanceDate": None,
    "CurrencyRef": {"value": "USD", "name": "United States Dollar"}, "SyncToken": "0", "domain": "QBO",
    "sparse": False,
}  # fmt: skip
BLANK: dict[str, Any] = {
    **_NAME, "FullyQualifiedName": "", "Taxable": True, "Job": False, "IsProject": False, "BillWithParent": False,
    "BalanceWithJobs": 0, "ParentRef": None, "Level": None, "DefaultTaxCodeRef": None, "SalesTermRef": None,
    "PaymentMethodRef": None, "PreferredDeliveryMethod": "None", "ResaleNum": None, "PrimaryTaxIdentifier": None,
    "ARAccountRef": None,
}  # fmt: skip
"""A customer of whom nothing is known."""
_VENDOR: dict[str, Any] = {
    **_NAME, "Vendor1099": False, "BillRate": None, "TaxIdentifier": None, "TermRef": None, "APAccountRef": None,
}  # fmt: skip


def company_time(seconds: float) -> str:
    """A time as QuickBooks shows it: to the second, at the company's offset."""
    return datetime.fromtimestamp(int(seconds), _ZONE).isoformat()


def instant(text: str) -> datetime:
    """A time in a request: without an offset it is the company's."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=_ZONE)


def numbered(first: int) -> Any:
    """Number in the table → id, a number as text."""
    return lambda index, _: str(first + index)


def customer(new: New) -> Record:
    """A customer; some are jobs of an earlier one, and some are inactive."""
    made, draw = _named(new), Draw(seed_of("qb job", new.index))
    of = new.index and draw.chance(60) and new.account.rows["Customer"].find(str(1 + draw.below(new.index)))
    job = {
        "Job": True, "BillWithParent": True, "ParentRef": {"value": of.id}, "Level": (of.fields["Level"] or 0) + 1,
        "FullyQualifiedName": f"{of.fields['FullyQualifiedName']}:{made['FullyQualifiedName']}",
    } if of else {}  # fmt: skip
    return {**BLANK, **made, **job}


def vendor(new: New) -> Record:
    """A vendor; some are inactive. It has no full name, as there are none below it."""
    made = _named(new)
    return {**_VENDOR, **{name: value for name, value in made.items() if name in _VENDOR}}


def _named(new: New) -> Record:
    who, draw = person(new.draw), Draw(seed_of("qb customer", new.index))
    name = f"{who.first} {who.last} {new.index}"
    is_active = not draw.chance(30)
    lines = {
        "Id": str(10_000 + new.index),
        "Line1": who.street,
        "City": who.city.name,
        "PostalCode": who.postal_code,
    }
    free = {"Id": str(10_000 + new.index), "Line1": name, "Line2": who.street, "Line3": who.city.name}
    return {
        "GivenName": who.first, "FamilyName": who.last,
        "CompanyName": who.company if draw.chance(400) else None, "Active": is_active,
        "DisplayName": name if is_active else f"{name} (deleted)", "FullyQualifiedName": name,
        "PrimaryEmailAddr": {"Address": who.email} if who.email else None,
        "PrimaryPhone": {"FreeFormNumber": who.phone} if who.phone else None,
        "BillAddr": draw.pick((lines, lines, {**lines, "Country": "USA"}, free)),
    }  # fmt: skip


def invoice(new: New) -> Record:
    """An invoice: items, a group, a text, a discount, and the subtotal that is no line."""
    draw, customers = new.draw, new.account.rows["Customer"]
    owner, code = draw.below(max(1, len(customers))), draw.pick(_CURRENCIES)
    items = [_item(new, at) for at in range(draw.between(1, 4))]
    lines = items if draw.chance(800) else [{
        "Id": "50", "LineNum": 9, "Amount": 0, "DetailType": "GroupLineDetail", "Description": "Bundle",
        "GroupLineDetail": {"Line": items, "GroupItemRef": {"value": "7"}, "Quantity": 1},
    }]  # fmt: skip
    off = [{"Amount": 1.5, "DetailType": "DiscountLineDetail", "DiscountLineDetail": {"PercentBased": False}}]
    note = [
        {"Id": "60", "DetailType": "DescriptionOnly", "Description": "Thanks", "DescriptionLineDetail": {}}
    ]
    crew = {
        "DefinitionId": "1",
        "Name": "Crew #",
        "Type": "StringType",
        "StringValue": str(100 + new.index % 7),
    }
    day = datetime.fromtimestamp(new.created, UTC).date()
    return {
        "DocNumber": str(1000 + new.index), "TxnDate": day.isoformat(),
        "DueDate": (day + timedelta(days=30)).isoformat(), "CurrencyRef": {"value": code, "name": code},
        **({"ExchangeRate": _RATES[code]} if code in _RATES else {}),
        "Line": [*lines, *(note if draw.chance(200) else []), *(off if draw.chance(300) else [])],
        "TxnTaxDetail": {"TotalTax": draw.between(0, 900) / 100}, "CustomerRef": {"value": customers.id_of(owner)},
        "PrivateNote": "Voided" if draw.chance(40) else None, "GlobalTaxCalculation": "TaxExcluded",
        "Balance": draw.pick((0, 0, 0, None, None)), "EmailStatus": "NotSet", "PrintStatus": "NotSet",
        "CustomField": [crew] if new.index % 4 == 0 else [], "LinkedTxn": [], "SyncToken": "0", "domain": "QBO",
        "sparse": False,
    }  # fmt: skip


def credit_memo(new: New) -> Record:
    """A credit memo: an invoice that is never due."""
    return {name: value for name, value in invoice(new).items() if name != "DueDate"}


def credited(document: Record) -> Record:
    """A credit memo's amounts: its balance is what is left to be used."""
    made = settled(document)
    return {**made, "RemainingCredit": made["Balance"]}


def _item(new: New, at: int) -> Record:
    draw = Draw(seed_of("qb line", new.index), at)
    cents, quantity = draw.between(200, 99_999), draw.pick((1, 1, 2, 3))
    return {
        "Id": str(at + 1), "LineNum": at + 1, "Description": draw.pick(PRODUCTS), "Amount": cents * quantity / 100,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {"ItemRef": {"value": "1"}, "UnitPrice": cents / 100, "Qty": quantity},
    }  # fmt: skip


def items(document: Record) -> list[Record]:
    """The lines that are items or texts; those of a group one by one."""
    none = ("SubTotalLineDetail", "DiscountLineDetail")
    lines = [one for one in document["Line"] if one["DetailType"] not in none]
    return [inner for one in lines for inner in one.get("GroupLineDetail", {}).get("Line", [one])]


def settled(document: Record) -> Record:
    """The amounts that follow from the lines; all of them are 0 of a void one."""
    if document.get("PrivateNote") == "Voided":
        lines = [
            {**one, "Amount": 0} for one in document["Line"] if one["DetailType"] == "SalesItemLineDetail"
        ]
        return {**document, "Line": lines, "TxnTaxDetail": {"TotalTax": 0}, "TotalAmt": 0, "Balance": 0}
    lines = [one for one in document["Line"] if one["DetailType"] != "SubTotalLineDetail"]
    items = [inner for one in lines for inner in one.get("GroupLineDetail", {}).get("Line", [one])]
    cents = sum(round(one["Amount"] * 100) for one in items if one["DetailType"] == "SalesItemLineDetail")
    off = sum(round(one["Amount"] * 100) for one in items if one["DetailType"] == "DiscountLineDetail")
    total = (cents - off + round(document["TxnTaxDetail"]["TotalTax"] * 100)) / 100
    rate = {"HomeTotalAmt": round(total * document["ExchangeRate"], 2)} if "ExchangeRate" in document else {}
    subtotal = {"Amount": cents / 100, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}
    balance = 0 if document["Balance"] == 0 else total
    return {**document, **rate, "Line": [*lines, subtotal], "TotalAmt": total, "Balance": balance}


def payment(new: New) -> Record:
    """A payment of a customer."""
    customers = new.account.rows["Customer"]
    owner = customers.id_of(new.draw.below(max(1, len(customers))))
    return {
        "CustomerRef": {"value": owner}, "TotalAmt": 12.5, "UnappliedAmt": 0, "PaymentRefNum": None,
        "TxnDate": datetime.fromtimestamp(new.created, UTC).date().isoformat(), "Line": [], "SyncToken": "0",
        "CurrencyRef": {"value": "USD"}, "domain": "QBO", "sparse": False,
    }  # fmt: skip


def announced(change: str, table: Table, record: Record) -> Record:
    """A CloudEvent, without its id and time."""
    word = {"create": "created", "update": "updated", "delete": "deleted", "merge": "merged"}[change]
    loser = {"data": {"deletedid": record["deletedid"]}} if change == "merge" else {}
    return {
        "specversion": "1.0", "source": "intuit.dsnBgbseACLLRZNxo2dfc4evmEJdxde58xeeYcZliOU=",
        "type": f"qbo.{table.name.lower()}.{word}.v1", "datacontenttype": "application/json",
        "intuitentityid": record["Id"], "noun": table.name, **loser,
    }  # fmt: skip


class IntuitWebhooks(WebhookForm):
    """CloudEvents of all companies that connected the app, signed over the body."""

    batch = 100
    timeout = 3.0

    def pauses(self, key: str) -> Sequence[float]:
        """20, 30 and 50 minutes; later events wait behind."""
        del key
        return (1200, 1800, 3000)

    def body(self, events: Sequence[Record], attempt: int) -> bytes:
        """A list; an id ends in the kind and the number of the record."""
        del attempt
        return msgspec.json.encode(
            [
                {
                    **{name: value for name, value in one.items() if name != "noun"},
                    "id": f"88cd52aa-33b6-4351-9aa4-47572edbd068-{one['noun']}-{one['intuitentityid']}",
                }
                for one in events
            ]
        )

    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:
        """``intuit-signature``: HMAC-SHA256 of the body in base64."""
        del now
        digest = hmac.digest(endpoint.secret.encode(), body, hashlib.sha256)
        return {"content-type": "application/json", "intuit-signature": base64.b64encode(digest).decode()}


def sent_time(seconds: float) -> str:
    """An event's time, with nanoseconds."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.179851517Z"


LONGEST_DAYS = 30 * DAY
"""For how long change data are kept, in seconds."""
