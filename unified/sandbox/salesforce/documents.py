"""Credit memos and payments, of Salesforce's own objects and of its older package; both hold the same.

Source: https://developer.salesforce.com/docs/platform/object-reference/references/standard-objects/ (object-creditmemo,
object-payment).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from unified.sandbox.draw import Draw, seed_of
from unified.sandbox.salesforce.fields import ALWAYS, FieldType, Record, many, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from unified.sandbox.tables.table import New

_CURRENCIES = ("USD",) * 3 + ("EUR",)

_MEMO = {
    "account": "BillingAccountId", "number": "DocumentNumber", "status": "Status", "date": "CreditDate",
    "amount": "TotalAmountWithTax", "balance": "Balance",
}  # fmt: skip
_NOTE = {
    "account": "blng__Account__c", "number": "Name", "status": "blng__Status__c", "date": "blng__CreditNoteDate__c",
    "amount": "blng__TotalAmount__c", "balance": "blng__Balance__c",
}  # fmt: skip
_PAYMENT = {
    "account": "AccountId", "number": "PaymentNumber", "status": "Status", "date": "Date", "amount": "Amount",
    "balance": "Balance",
}  # fmt: skip
_PAID = {
    "account": "blng__Account__c", "number": "Name", "status": "blng__Status__c", "date": "blng__PaymentDate__c",
    "amount": "blng__Amount__c", "balance": "blng__Balance__c",
}  # fmt: skip


def _fields(names: Mapping[str, str], *more: FieldType) -> Sequence[FieldType]:
    return (
        *ALWAYS,
        FieldType(names["account"], "reference", refers=("Account",), writable=False),
        *many(names["number"], names["status"], writable=False),
        FieldType(names["date"], "date", writable=False),
        *many(names["amount"], names["balance"], kind="currency", writable=False),
        *more,
    )


FIELDS: dict[str, Sequence[FieldType]] = {
    "CreditMemo": _fields(_MEMO),
    "Payment": _fields(_PAYMENT),
    "blng__CreditNote__c": _fields(_NOTE),
    # What nobody should read who only counts money.
    "blng__Payment__c": _fields(_PAID, *many("blng__BankAccountNumber__c", "blng__PaymentGatewayToken__c")),
}


def _made(names: Mapping[str, str], **more: str) -> Callable[[New], Record]:
    def make(new: New) -> Record:
        draw = Draw(seed_of("document", new.index))
        cents, status = draw.between(100, 99_999), draw.pick(("Posted", "Posted", "Draft"))
        said = {
            "account": new.account.rows["Account"].id_of(draw.below(40)), "number": f"D-{new.index:06}",
            "status": status, "date": f"{datetime.fromtimestamp(new.created, UTC):%Y-%m-%d}", "amount": cents / 100,
            "balance": 0.0 if draw.chance(500) else cents / 100,
        }  # fmt: skip
        return {
            **{theirs: said[ours] for ours, theirs in names.items()},
            **more,
            "CurrencyIsoCode": draw.pick(_CURRENCIES),
        }

    return make


PACKAGED = ("blng__CreditNote__c", "blng__Payment__c")
"""Objects that are there on request alone."""

TABLES = (
    table("CreditMemo", "50g", _made(_MEMO), 40),
    table("Payment", "0aX", _made(_PAYMENT), 80),
    table("blng__CreditNote__c", "a0C", _made(_NOTE), 0),
    table(
        "blng__Payment__c", "a0P",
        _made(_PAID, blng__BankAccountNumber__c="DE00 0000", blng__PaymentGatewayToken__c="tok_fake"), 0,
    ),
)  # fmt: skip
