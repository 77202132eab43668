"""What the demo knows of each system: the account that it opens, what its stand-in counts, adds up and changes.

Not here: the steps that use it (``steps``, ``outward``, ``books``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        keys: By workspace, the key of its account at the stand-in. Keys open nothing else.
        create: What makes a customer at the stand-in: the word of its control API, and what goes before the fields.
        update: What changes one.
        delete: What deletes one.
        counts: By what the demo counts, our streams and the stand-in's kinds that hold as many records.
        sums: By column of our invoices, the stand-in's word for its sum.
        phone: The fields of a customer that hold a telephone number.
        customers: The stream whose customers are changed.
        streams: What a connection reads, where those are not the usual ones.
        settings: By key, what a connection needs beside its address.
    """

    keys: Mapping[str, str]
    create: tuple[str, ...]
    update: tuple[str, ...]
    delete: tuple[str, ...]
    counts: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    sums: Mapping[str, str]
    phone: Callable[[str], dict[str, Any]]
    customers: str = "customers"
    streams: tuple[str, ...] = ()
    settings: Callable[[str], dict[str, Any]] = field(default=lambda _: {})


def _alike(**kinds: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Counts of which each is of one stream and one kind."""
    return {stream: ((stream,), (kind,)) for stream, kind in kinds.items()}


def _company(key: str) -> dict[str, Any]:
    """Which company of QuickBooks a key opens."""
    from unified.sandbox.quickbooks import QuickBooksSandbox  # noqa: PLC0415 - imports a web server

    return {"realm_id": QuickBooksSandbox.realm(key)}


_TWO = {
    "stripe": System(
        {"demo-acme": "sk_test_fake_acme", "demo-globex": "sk_test_fake_globex"},
        ("create_customer",), ("update_customer",), ("delete_customer",),
        _alike(customers="customers", invoices="invoices", invoice_lines="invoice_lines", events="events"),
        {"total": "total", "amount_due": "amount_due", "amount_paid": "amount_paid", "tax": "tax"},
        lambda phone: {"phone": phone},
    ),
    "hubspot": System(
        {"demo-acme": "pat-fake-acme", "demo-globex": "pat-fake-globex"},
        ("create_contact",), ("update_contact",), ("archive_contact",),
        _alike(customers="contacts", invoices="invoices", invoice_lines="line_items"),
        {"total": "hs_amount_billed", "amount_paid": "hs_amount_paid", "amount_remaining": "hs_balance_due"},
        lambda phone: {"phone": phone},
        # The sandbox's search does not lag. Which field of ours the portal's own properties fill, `unified mappings
        # propose` says.
        settings=lambda _: {
            "search_lag": 0, "properties": ["billing_currency", "lead_score_2024", "vat_number"],
        },
    ),
}  # fmt: skip
_FURTHER = {
    "salesforce": System(
        {"demo-acme": "00D-fake-acme"},
        ("create", "Contact"), ("update", "Contact"), ("delete", "Contact"),
        {
            "customers": (("accounts", "contacts"), ("Account", "Contact")),
            **_alike(invoices="Invoice", invoice_lines="InvoiceLine"),
        },
        {"total": "TotalAmountWithTax", "subtotal": "TotalAmount", "tax": "TotalTaxAmount"},
        lambda phone: {"Phone": phone},
        customers="contacts",
        streams=("accounts", "contacts", "invoices"),
    ),
    "quickbooks": System(
        {"demo-acme": "qb_fake_acme"},
        ("create", "Customer"), ("update", "Customer"), ("delete", "Customer"),
        _alike(
            customers="Customer", invoices="Invoice", invoice_lines="Line", vendors="Vendor",
            credit_memos="CreditMemo", payments="Payment",
        ),
        {"total": "TotalAmt", "amount_due": "Balance", "tax": "TotalTax"},
        lambda phone: {"PrimaryPhone": {"FreeFormNumber": phone}},
        settings=_company,
    ),
    "xero": System(
        {"demo-acme": "xero_fake_acme"},
        ("create", "Contacts"), ("update", "Contacts"), ("delete", "Contacts"),
        {
            "customers": (("contacts",), ("Contacts",)),
            **_alike(
                invoices="Invoices", invoice_lines="LineItems", credit_notes="CreditNotes", payments="Payments"
            ),
        },
        {"total": "Total", "amount_due": "AmountDue", "amount_paid": "AmountPaid", "tax": "TotalTax"},
        lambda phone: {"Phones": [{"PhoneType": "DEFAULT", "PhoneNumber": phone}]},
        customers="contacts",
    ),
}  # fmt: skip
SYSTEMS: Mapping[str, System] = {**_TWO, **_FURTHER}
"""By connector; the first two are those of each demo."""


def shown(*, everything: bool) -> Mapping[str, System]:
    """The systems of a demo."""
    return SYSTEMS if everything else _TWO
