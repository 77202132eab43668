"""Believable names, addresses, products and prices, and how fine each currency's amounts can be.

Not here: any provider's record shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from unified.sandbox.draw import Draw

FIRST_NAMES = (
    "Ana", "Björn", "Chloé", "Dmitri", "Ewa", "François", "Grace", "Hiroko", "Inés", "José", "Kwame",
    "Liam", "Mei", "Nadia", "Olusegun", "Priya", "Quentin", "Ruth", "Søren", "Thị Hoa", "Uma", "Víctor",
    "Wanjiru", "美咲", "Ólöf",
)  # fmt: skip
LAST_NAMES = (
    "Andersson", "Brown", "Castillo", "Dupont", "Eriksen", "Fischer", "García", "Hoffmann", "Ivanova",
    "Jansen", "Kowalska", "Lee", "Müller", "Nowak", "O'Neil", "Okafor", "Patel", "Quispe", "Rossi",
    "Silva", "Tanaka", "Ünal", "van der Berg", "Wójcik", "佐藤",
)  # fmt: skip
COMPANY_WORDS = (
    "Alder", "Bluebird", "Cobalt", "Delta", "Ember", "Fjord", "Granite", "Harbour", "Iris", "Juniper",
    "Kestrel", "Lumen", "Meridian", "Nordwind", "Orchard", "Pioneer", "Quarry", "Ridge", "Sakura",
    "Tundra", "Umbra", "Velvet", "Willow", "Zenith",
)  # fmt: skip
COMPANY_TRADES = (
    "Analytics", "Bakery", "Clinics", "Design", "Foods", "Labs", "Logistics", "Robotics", "Systems",
    "Textil",
)  # fmt: skip
COMPANY_FORMS = ("GmbH", "Inc.", "Ltd", "S.A.", "B.V.", "KK", "AB", "LLC")
PRODUCTS = (
    "Pro plan", "Starter plan", "Team plan", "Enterprise plan", "Extra seat", "API calls",
    "Data storage (GB)", "Priority support", "Onboarding", "Consulting day", "Espresso beans 1 kg",
    "Übersetzung (Seite)", "T-shirt «Köln»",
)  # fmt: skip
STREETS = (
    "Main Street",
    "Rue des Lilas",
    "Bahnhofstraße",
    "Calle Mayor",
    "Ulica Długa",
    "Sakura-dori",
    "King's Road",
)
PRICE_POINTS = (5, 9, 19, 29, 49, 79, 99, 149, 299, 499, 1200)


class City(NamedTuple):
    """A place with what an address there needs."""

    name: str
    state: str | None
    country: str
    dial: str
    locale: str


CITIES = (
    City("San Francisco", "CA", "US", "1415", "en"),
    City("Austin", "TX", "US", "1512", "en"),
    City("Toronto", "ON", "CA", "1416", "en"),
    City("London", None, "GB", "4420", "en-GB"),
    City("Zürich", "ZH", "CH", "4144", "de"),
    City("Łódź", None, "PL", "4842", "pl"),
    City("São Paulo", "SP", "BR", "5511", "pt-BR"),
    City("東京", "東京都", "JP", "813", "ja"),
    City("Köln", None, "DE", "4922", "de"),
    City("Reykjavík", None, "IS", "3545", "en"),
    City("Kampala", None, "UG", "2564", "en"),
    City("المنامة", None, "BH", "9731", "ar"),
)


class Currency(NamedTuple):
    """How a currency's amounts look at Stripe.

    `decimals` are those of the API's integer amounts; `step` is the smallest amount that may be charged, in
    those units: 10 for three-decimal currencies, 100 for ISK and UGX, which Stripe represents with two
    decimals that are always 00. `unit` prices one price point. See https://docs.stripe.com/currencies.
    """

    code: str
    decimals: int
    step: int
    unit: int


CURRENCIES = (
    *(Currency("usd", 2, 1, 100),) * 40,
    *(Currency("eur", 2, 1, 92),) * 20,
    *(Currency("gbp", 2, 1, 79),) * 10,
    *(Currency("jpy", 0, 1, 150),) * 6,
    *(Currency("krw", 0, 1, 1320),) * 4,
    *(Currency("kwd", 3, 10, 310),) * 4,
    *(Currency("bhd", 3, 10, 380),) * 3,
    *(Currency("isk", 2, 100, 13_800),) * 3,
    *(Currency("ugx", 2, 100, 371_000),) * 3,
    *(Currency("huf", 2, 1, 36_100),) * 4,
    *(Currency("twd", 2, 1, 3230),) * 3,
)
CURRENCY_BY_CODE = {currency.code: currency for currency in CURRENCIES}


@dataclass(frozen=True)
class Person:
    """Who a customer or contact is; `email`, `phone` and the names may be missing, and emails repeat."""

    first: str
    last: str
    email: str | None
    phone: str | None
    company: str
    city: City
    street: str
    postal_code: str


def company_name(draw: Draw) -> str:
    """Such as `Kestrel Robotics GmbH`."""
    return f"{draw.pick(COMPANY_WORDS)} {draw.pick(COMPANY_TRADES)} {draw.pick(COMPANY_FORMS)}"


def domain_of(company: str) -> str:
    """A reserved (RFC 2606) domain for a company."""
    word, trade, *_ = company.lower().split()
    return f"{word}-{trade}.example"


def person(draw: Draw, *, no_email: int = 80, shared_mailbox: int = 60) -> Person:
    """Draw a person; of 1,000, `no_email` have none and `shared_mailbox` a group's."""
    first, last = draw.pick(FIRST_NAMES), draw.pick(LAST_NAMES)
    company = company_name(draw)
    city = draw.pick(CITIES)
    fate = draw.below(1000)
    if fate < no_email:
        email = None
    elif fate < no_email + shared_mailbox:
        # Few enough that they repeat: an e-mail address is not an identity.
        email = f"billing@{COMPANY_WORDS[draw.below(8)].lower()}-group.example"
    else:
        email = f"{_ascii(first)}.{_ascii(last)}{draw.below(90) + 10}@{domain_of(company)}"
    return Person(
        first=first,
        last=last,
        email=email,
        phone=None if draw.chance(350) else f"+{city.dial}{draw.below(9_000_000) + 1_000_000}",
        company=company,
        city=city,
        street=f"{draw.between(1, 240)} {draw.pick(STREETS)}",
        postal_code=str(draw.between(10_000, 99_999)),
    )


def price(draw: Draw, currency: Currency) -> int:
    """A unit price in the currency's API units, a multiple of its step."""
    amount = draw.pick(PRICE_POINTS) * currency.unit + draw.below(currency.unit)
    return max(currency.step, snap(amount, currency))


def snap(amount: int, currency: Currency) -> int:
    """Round down to an amount that the currency allows."""
    return amount - amount % currency.step


def decimal_text(amount: int, decimals: int) -> str:
    """`-1234` with 2 decimals as `-12.34`; 0 decimals as they are."""
    if decimals == 0:
        return str(amount)
    whole, fraction = divmod(abs(amount), 10**decimals)
    return f"{'-' if amount < 0 else ''}{whole}.{fraction:0{decimals}d}"


_ASCII: dict[str, str] = {}


def _ascii(name: str) -> str:
    known = _ASCII.get(name)
    if known is None:
        folded = "".join(letter for letter in name.lower() if "a" <= letter <= "z")
        known = _ASCII[name] = folded or f"user{len(name)}"
    return known
