"""HubSpot's generated records and associations, as pure functions of (seed, kind, index).

Property names are those of HubSpot's documentation
(https://developers.hubspot.com/docs/api-reference/latest/crm/objects: contacts, companies, invoices,
line-items); values are strings or null. Not here: changes (`unified.sandbox.hubspot.portal`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from unified.sandbox.clock import DAY, iso_ms
from unified.sandbox.data import (
    CURRENCY_BY_CODE,
    PRODUCTS,
    company_name,
    decimal_text,
    domain_of,
    person,
    price,
)
from unified.sandbox.draw import Draw, seed_of

Kind = Literal[
    "contacts", "companies", "invoices", "line_items", "deals", "tickets", "products", "quotes", "2-5001001",
    "2-5001002", "2-5001003",
]  # fmt: skip
Properties = dict[str, str | None]

FURTHER: tuple[Kind, ...] = ("deals", "tickets", "products", "quotes")
"""Objects that nothing else follows from."""
CUSTOM: tuple[Kind, ...] = ("2-5001001", "2-5001002", "2-5001003")
"""Custom objects that a portal may have: cars, visits, pets (`schemas`)."""
KINDS: tuple[Kind, ...] = ("contacts", "companies", "invoices", "line_items", *FURTHER, *CUSTOM)
SINGULAR: dict[Kind, str] = {
    "contacts": "contact", "companies": "company", "invoices": "invoice", "line_items": "line_item",
    "deals": "deal", "tickets": "ticket", "products": "product", "quotes": "quote",
    **{kind: kind for kind in CUSTOM},
}  # fmt: skip
LINES_PER_INVOICE = 256
"""Line item index = invoice index * this + number of the line."""

_ID_STEP = 37
_FIRST_ID: dict[Kind, int] = {
    "contacts": 101, "companies": 5_000_000_000, "invoices": 44_000_000_000, "line_items": 9_000_000_000_000,
    "deals": 700_000_001, "tickets": 800_000_001, "products": 900_000_001, "quotes": 600_000_001,
    **dict.fromkeys(CUSTOM, 300_000_001),
}  # fmt: skip
_HISTORY_MS = 730 * DAY * 1000
_CURRENCIES = ("usd",) * 5 + ("eur",) * 3 + ("gbp", "jpy", "kwd")
_STATUSES = ("paid",) * 60 + ("open",) * 22 + ("draft",) * 10 + ("voided",) * 8


class Line(NamedTuple):
    """A line item's amounts, in the currency's smallest unit."""

    name: str
    quantity: int
    unit_price: int
    discount: int
    tax: int

    @property
    def net(self) -> int:
        """After discount, before tax: HubSpot's `amount`."""
        return self.quantity * self.unit_price - self.discount


class HubSpotRecords:
    """Records of one portal before anything was changed.

    Args:
        seed: same seed, same records.
        counts: generated contacts, companies and invoices; line items follow from invoices.
        until: Unix milliseconds of the newest record and change.
    """

    def __init__(self, seed: int, counts: dict[Kind, int], until: int) -> None:
        self.counts = counts
        self._until = until
        # Records of two custom objects have the same ids, as they may.
        self._seeds = {kind: seed_of(seed, "custom" if kind in CUSTOM else kind) for kind in KINDS}
        self.line_counts: dict[int, int] = {}
        """Number of lines of invoices that were created with a given number."""

    def record_id(self, kind: Kind, index: int) -> str:
        """Ids ascend with the index and leave gaps, as HubSpot's do."""
        return str(_FIRST_ID[kind] + _ID_STEP * index + self._offset(kind, index))

    def index_of(self, kind: Kind, record_id: str) -> int | None:
        """The index whose id, or whose merged-away id, this is."""
        if not (record_id.isascii() and record_id.isdigit()):
            return None
        index = (int(record_id) - _FIRST_ID[kind]) // _ID_STEP
        if index < 0:
            return None
        known = record_id == self.record_id(kind, index)
        return index if known or (kind == "contacts" and record_id in self.merged_ids(index)) else None

    def first_after(self, kind: Kind, record_id: int) -> int:
        """The first index whose id is greater; it need not exist."""
        index, offset = divmod(record_id - _FIRST_ID[kind], _ID_STEP)
        return max(0, index if self._offset(kind, index) > offset else index + 1)

    def merged_ids(self, index: int) -> list[str]:
        """Ids of the two contacts that were merged into this one, for about 1 in 200."""
        if index >= self.counts["contacts"] or not Draw(self._seeds["contacts"] ^ 1, index).chance(5):
            return []
        own, first = self._offset("contacts", index), _FIRST_ID["contacts"] + _ID_STEP * index
        return [str(first + (own + more) % _ID_STEP) for more in (1, 2)]

    def is_archived(self, kind: Kind, index: int) -> bool:
        """About 2 % of contacts, companies and invoices are in the bin already."""
        return kind != "line_items" and Draw(self._seeds[kind] ^ 2, index).chance(20)

    def created_ms(self, kind: Kind, index: int) -> int:
        """When the record was created: later for higher indexes; line items with their invoice."""
        if kind == "line_items":
            return self.created_ms("invoices", index // LINES_PER_INVOICE)
        step = _HISTORY_MS // max(self.counts[kind], 1)
        jitter = Draw(self._seeds[kind] ^ 3, index).below(min(900, step))
        return min(self._until, self._until - _HISTORY_MS + (index + 1) * step) - jitter

    def modified_ms(self, kind: Kind, index: int) -> int:
        """When it was last modified; a third were never touched, and imports share a millisecond."""
        created = self.created_ms(kind, index)
        draw = Draw(self._seeds[kind] ^ 4, index)
        if draw.chance(330):
            return created
        later = created + draw.below(max(1, self._until - created))
        return max(created, later // 3_600_000 * 3_600_000) if draw.chance(200) else later

    def line_count(self, invoice: int) -> int:
        """Lines of an invoice: mostly a few, 3 % between 11 and 250."""
        given = self.line_counts.get(invoice)
        if given is not None:
            return given
        draw = Draw(self._seeds["line_items"] ^ 5, invoice)
        if draw.chance(30):
            return draw.pick((11, 12, 100, 101, draw.between(11, 250)))
        return draw.between(1, 10) if draw.chance(150) else draw.between(1, 4)

    def line(self, invoice: int, number: int) -> Line:
        """One line of an invoice."""
        draw = Draw(self._seeds["line_items"], invoice * LINES_PER_INVOICE + number)
        quantity, unit = draw.pick((1, 1, 1, 2, 5, 12)), price(draw, CURRENCY_BY_CODE[self.currency(invoice)])
        discount = quantity * unit // 10 if draw.chance(150) else 0
        tax = (quantity * unit - discount) * 19 // 100 if draw.chance(500) else 0
        return Line(draw.pick(PRODUCTS), quantity, unit, discount, tax)

    def currency(self, invoice: int) -> str:
        """Lower-case code of an invoice's currency."""
        return Draw(self._seeds["invoices"], invoice).pick(_CURRENCIES)

    def companies_of(self, contact: int) -> list[int]:
        """Companies of a contact, the primary first: most have one, some several, some none."""
        count = self.counts["companies"]
        draw = Draw(self._seeds["contacts"] ^ 6, contact)
        if not count or draw.chance(120):
            return []
        wanted = draw.between(2, 3) if draw.chance(80) else 1
        return list(dict.fromkeys(draw.below(count) for _ in range(wanted)))

    def contact_of(self, invoice: int) -> int | None:
        """The contact that an invoice is for; a few have none."""
        count = self.counts["contacts"]
        draw = Draw(self._seeds["invoices"] ^ 7, invoice)
        return None if not count or draw.chance(20) else draw.below(count)

    def properties(self, kind: Kind, index: int) -> Properties:
        """All properties but id and dates, which the portal adds."""
        make = {
            "contacts": self._contact, "companies": self._company, "invoices": self._invoice,
            "line_items": self._line_item, "deals": self._deal, "tickets": self._ticket, "products": self._product,
            "quotes": self._quote, "2-5001001": self._car, "2-5001002": self._visit, "2-5001003": self._pet,
        }[kind]  # fmt: skip
        return make(index)

    def _offset(self, kind: Kind, index: int) -> int:
        return Draw(self._seeds[kind] ^ 8, index).below(_ID_STEP)

    def _contact(self, index: int) -> Properties:
        who = person(Draw(self._seeds["contacts"], index))
        draw = Draw(self._seeds["contacts"] ^ 9, index)
        return {
            "address": who.street if draw.chance(600) else None,
            "city": who.city.name,
            # Free text that nobody keeps up to date: the company itself comes by association.
            "company": who.company if draw.chance(500) else None,
            "country": who.city.country,
            "email": who.email,
            "firstname": None if draw.chance(60) else who.first,
            "hs_additional_emails": f"old.{index}@{domain_of(who.company)}" if draw.chance(40) else None,
            "hs_language": who.city.locale.lower(),
            "hs_merged_object_ids": ";".join(self.merged_ids(index)) or None,
            "jobtitle": draw.pick(("CFO", "Engineer", "Owner", None)),
            "lastname": None if draw.chance(60) else who.last,
            "lifecyclestage": draw.pick(("lead", "customer", "subscriber", "opportunity")),
            "mobilephone": None,
            "phone": who.phone,
            "state": who.city.state,
            "website": f"https://{domain_of(who.company)}" if draw.chance(400) else None,
            "zip": who.postal_code,
            **self._defined_of_contacts(index, who.city.country),
        }

    def _defined_of_contacts(self, index: int, country: str) -> Properties:
        """Properties that the portal has defined itself, which HubSpot shows to those who name them."""
        draw = Draw(self._seeds["contacts"] ^ 10, index)
        return {
            "billing_currency": draw.pick(("EUR", "USD", "GBP", "JPY")).lower(),
            "lead_score_2024": str(draw.below(100)),
            "vat_number": f"{country}{draw.between(100_000_000, 999_999_999)}" if draw.chance(700) else None,
        }

    def _company(self, index: int) -> Properties:
        draw = Draw(self._seeds["companies"], index)
        name, who = company_name(draw), person(draw)
        return {
            "address": who.street,
            "address2": None,
            "annualrevenue": str(draw.between(1, 900) * 100_000) if draw.chance(500) else None,
            "city": who.city.name,
            "country": who.city.country,
            "description": None,
            "domain": None if draw.chance(100) else domain_of(name),
            "hs_additional_domains": None,
            "hs_merged_object_ids": None,
            "industry": draw.pick(("COMPUTER_SOFTWARE", "RETAIL", "HOSPITAL_HEALTH_CARE", None)),
            "lifecyclestage": draw.pick(("lead", "customer")),
            "name": None if draw.chance(20) else name,
            "numberofemployees": str(draw.between(1, 5000)) if draw.chance(500) else None,
            "phone": who.phone,
            "state": who.city.state,
            "website": f"https://{domain_of(name)}",
            "zip": who.postal_code,
        }

    def _invoice(self, index: int) -> Properties:
        draw = Draw(self._seeds["invoices"] ^ 9, index)
        code = self.currency(index)
        decimals = CURRENCY_BY_CODE[code].decimals
        lines = [self.line(index, number) for number in range(self.line_count(index))]
        net, tax = sum(line.net for line in lines), sum(line.tax for line in lines)
        status = draw.pick(_STATUSES)
        paid = (
            net + tax
            if status == "paid"
            else (net + tax) // 4
            if status == "open" and draw.chance(150)
            else 0
        )
        owed = 0 if status == "voided" else net + tax - paid
        issued = self.created_ms("invoices", index)
        contact = self.contact_of(index)
        who = None if contact is None else person(Draw(self._seeds["contacts"], contact))
        return {
            "hs_amount_billed": decimal_text(net + tax, decimals),
            "hs_amount_billed_pre_tax": decimal_text(net, decimals),
            "hs_amount_paid": decimal_text(paid, decimals),
            "hs_balance_due": decimal_text(owed, decimals),
            "hs_comments": "Merci, ありがとう" if draw.chance(100) else None,
            "hs_currency": code.upper(),
            "hs_discounts_total": decimal_text(sum(line.discount for line in lines), decimals),
            "hs_due_date": iso_ms(issued + 30 * DAY * 1000) if status != "draft" else None,
            "hs_fees_total": decimal_text(0, decimals),
            "hs_invoice_billable": "true",
            "hs_invoice_date": iso_ms(issued) if status != "draft" else None,
            "hs_invoice_latest_contact_email": who.email if who else None,
            "hs_invoice_link": f"https://invoices.hubspot.example/{index}" if status != "draft" else None,
            "hs_invoice_status": status,
            "hs_language": "en",
            "hs_number": f"INV-{1000 + index}" if status != "draft" else None,
            "hs_payment_date": iso_ms(min(self._until, issued + 9 * DAY * 1000))
            if status == "paid"
            else None,
            "hs_pdf_download_link": None,
            "hs_purchase_order_number": f"PO-{draw.below(9000)}" if draw.chance(200) else None,
            "hs_recipient_company_address": who.street if who else None,
            "hs_recipient_company_address2": None,
            "hs_recipient_company_city": who.city.name if who else None,
            "hs_recipient_company_country": who.city.country if who else None,
            "hs_recipient_company_state": who.city.state if who else None,
            "hs_recipient_company_zip": who.postal_code if who else None,
            "hs_subtotal": decimal_text(net, decimals),
            "hs_taxes_total": decimal_text(tax, decimals),
            "hs_title": f"Invoice {1000 + index}",
        }

    def _deal(self, index: int) -> Properties:
        draw = Draw(self._seeds["deals"], index)
        return {
            "amount": f"{draw.between(1, 90_000)}.{draw.below(100):02d}",
            "closedate": iso_ms(self.created_ms("deals", index) + 40 * DAY * 1000),
            "deal_currency_code": draw.pick(("USD", "EUR", "GBP")),
            "dealname": f"{company_name(draw)} renewal",
            "dealstage": draw.pick(("appointmentscheduled", "closedwon", "closedlost")),
            "dealtype": draw.pick((None, "newbusiness")),
            "description": None,
            "hubspot_owner_id": str(draw.between(1, 9)),
            "pipeline": "default",
        }

    def _ticket(self, index: int) -> Properties:
        draw = Draw(self._seeds["tickets"], index)
        return {
            "closed_date": None,
            "content": "It does not print.",
            "hs_pipeline": "0",
            "hs_pipeline_stage": draw.pick(("1", "2", "4")),
            "hs_ticket_category": None,
            "hs_ticket_priority": draw.pick((None, "HIGH", "LOW")),
            "hubspot_owner_id": None,
            "source_type": "EMAIL",
            "subject": f"Printer {draw.below(900)}",
        }

    def _product(self, index: int) -> Properties:
        draw = Draw(self._seeds["products"], index)
        return {
            "description": None,
            "hs_cost_of_goods_sold": None,
            "hs_sku": f"SKU-{index}",
            "hs_url": None,
            "name": draw.pick(PRODUCTS),
            "price": f"{draw.between(1, 900)}.{draw.below(100):02d}",
            "recurringbillingfrequency": draw.pick((None, "monthly")),
        }

    def _quote(self, index: int) -> Properties:
        draw = Draw(self._seeds["quotes"], index)
        return {
            "hs_currency": "USD",
            "hs_expiration_date": iso_ms(self.created_ms("quotes", index) + 90 * DAY * 1000),
            "hs_quote_amount": f"{draw.between(1, 90_000)}.00",
            "hs_quote_number": f"Q-{index}",
            "hs_status": draw.pick(("DRAFT", "APPROVED")),
            "hs_title": f"Offer {index}",
            "hubspot_owner_id": None,
        }

    def _car(self, index: int) -> Properties:
        draw = Draw(self._seeds["2-5001001"], index)
        return {
            "hs_merged_object_ids": None,
            "hubspot_owner_id": str(draw.between(1, 9)),
            "model": draw.pick(("Ranger", "Frontier", "Élan")),
            "price": f"{draw.between(9, 90)}000.00",
            "vin": f"VIN{index:014d}",
            "year": draw.pick((None, "2019", "2024")),
        }

    def _visit(self, index: int) -> Properties:
        return {
            "visit_title": f"Visit {index}",
            "visited_on": iso_ms(self.created_ms("2-5001002", index))[:10],
        }

    def _pet(self, index: int) -> Properties:
        return {"pet_name": f"Pet {index}"}

    def _line_item(self, index: int) -> Properties:
        invoice, number = divmod(index, LINES_PER_INVOICE)
        line, code = self.line(invoice, number), self.currency(invoice)
        decimals = CURRENCY_BY_CODE[code].decimals
        return {
            "amount": decimal_text(line.net, decimals),
            "description": None,
            "discount": decimal_text(line.discount // line.quantity, decimals) if line.discount else None,
            "hs_discount_percentage": None,
            "hs_line_item_currency_code": code.upper(),
            "hs_position_on_quote": str(number),
            "hs_post_tax_amount": decimal_text(line.net + line.tax, decimals),
            "hs_pre_discount_amount": decimal_text(line.quantity * line.unit_price, decimals),
            "hs_product_id": str(800_000 + PRODUCTS.index(line.name)),
            "hs_sku": None,
            "hs_tax_amount": decimal_text(line.tax, decimals) if line.tax else None,
            "hs_total_discount": decimal_text(line.discount, decimals),
            "name": line.name,
            "price": decimal_text(line.unit_price, decimals),
            "quantity": str(line.quantity),
        }
