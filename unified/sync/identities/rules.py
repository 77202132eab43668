"""The rules: what two records have in common if they are one customer.

A rule turns a record into keys; records with the same key are linked. All rules are equalities of keys, so links can be
found by an index and do not depend on the order in which records come. How links make clusters is
:mod:`unified.sync.identities.clusters`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import xxhash

from unified.store.identities.records import Customer
from unified.store.identities.settings import IdentitySettings
from unified.sync.identities import normalize
from unified.sync.identities.tax_numbers import tax_number

VERSION = 2
"""Raise it when the keys of a record change: all are then made anew."""

RULE_BITS = 4

KEY_FIELDS = ("name", "company", "street", "postal_code", "tax_number")
"""Fields that a workspace's own keys are made of, besides ``custom_fields.<key>``."""


@dataclass(frozen=True, slots=True, eq=False)  # each is itself, and quick to look up
class Rule:
    """Why two records are one.

    Attributes:
        number: Its place in the order of strength, the strongest first; part of each key, so it never changes.
        name: As stored and shown.
        confidence: That records linked by it are one customer. Not measured but set: it orders and explains.
        most: How many records may carry one of its keys. What more of them carry is a switchboard, a placeholder or an
            agency, and no key.
        same_name: Whether a key holds only if the records that carry it, where they have a name, have the same.
        meaning: For people.
    """

    number: int
    name: str
    confidence: float
    most: int
    meaning: str
    same_name: bool = False


MANUAL = Rule(0, "manual", 1.0, 0, "a person said so")
ROUTE = Rule(1, "route", 1.0, 0, "a route keeps the two alike")
TAX_NUMBER = Rule(2, "tax_number", 0.99, 25, "same tax number of the same country")
EMAIL = Rule(3, "email", 0.98, 25, "same e-mail address, not one of an office")
PHONE_AND_NAME = Rule(4, "phone_and_name", 0.97, 25, "same telephone number and name")
DOMAIN_AND_NAME = Rule(5, "domain_and_name", 0.95, 25, "same name at the same company's domain")
NAME_AND_ADDRESS = Rule(
    6, "name_and_address", 0.95, 25, "same name at the same street, number and postal code"
)
CONFIGURED = Rule(7, "configured", 0.95, 25, "same values in fields that the workspace chose")
PHONE = Rule(8, "phone", 0.9, 5, "same telephone number, and no different name", same_name=True)
PROBABILISTIC = Rule(15, "probabilistic", 0.0, 0, "a statistical model finds them alike")

RULES = (
    MANUAL,
    ROUTE,
    TAX_NUMBER,
    EMAIL,
    PHONE_AND_NAME,
    DOMAIN_AND_NAME,
    NAME_AND_ADDRESS,
    CONFIGURED,
    PHONE,
    PROBABILISTIC,
)
BY_NUMBER = {rule.number: rule for rule in RULES}
EXPLICIT = frozenset((MANUAL.number, ROUTE.number))
"""Links that somebody made on purpose."""


class Key(NamedTuple):
    """What a record can have in common with another.

    Attributes:
        rule: Of which rule.
        value: In one form.
    """

    rule: Rule
    value: str

    @property
    def hash(self) -> int:
        """A signed 64-bit number, the rule's in its last bits."""
        return _signed(
            xxhash.xxh3_64_intdigest(self.value.encode()) >> RULE_BITS << RULE_BITS | self.rule.number
        )


def rule_of(key: int) -> Rule:
    """The rule of a key's hash."""
    return BY_NUMBER[key & ((1 << RULE_BITS) - 1)]


def name_of(customer: Customer) -> str | None:
    """The name that identifies a customer: a company's without legal form, a person's whichever way round."""
    name = customer.name or customer.company
    if name is None:
        return None
    if customer.kind == "company" or customer.name in (None, customer.company):
        return normalize.company_name(name)
    if customer.kind == "person":
        return normalize.person_name(name)
    # Not known which: without its legal form, and as a person's if there is more than one word to it.
    bare = normalize.company_name(name)
    return bare and (normalize.person_name(bare) or bare)


def name_hash(customer: Customer) -> int | None:
    """What distinguishes people who share a telephone number."""
    name = name_of(customer) or (customer.name and normalize.company_name(customer.name))
    return _signed(xxhash.xxh3_64_intdigest(name.encode())) if name else None


def keys_of(customer: Customer, settings: IdentitySettings) -> list[Key]:
    """All keys of a record, each once.

    Args:
        customer: A live record.
        settings: The workspace's: which rules are on, region of telephone numbers, keys of its own.

    Returns:
        None for what is missing: a record without e-mail has no e-mail in common with another such.
    """
    enabled = settings.rules
    found = (key for key in _keys(customer, settings) if enabled is None or key.rule.name in enabled)
    return list(dict.fromkeys(found))


def _keys(customer: Customer, settings: IdentitySettings) -> Iterator[Key]:
    name = name_of(customer)
    yield from _tax_keys(customer, name, settings)
    yield from _mail_keys(customer, name)
    yield from _phone_keys(customer, name, settings)
    street, postal_code = _place(customer)
    if name and street and postal_code:
        yield Key(NAME_AND_ADDRESS, f"{postal_code}|{street}|{name}")
    for fields in settings.keys:
        values = [value_of(customer, field, settings) for field in fields]
        if all(values):
            yield Key(CONFIGURED, "|".join([*fields, *map(str, values)]))


def _tax_keys(customer: Customer, name: str | None, settings: IdentitySettings) -> Iterator[Key]:
    number = tax_number_of(customer, settings)
    if not number:
        return
    # Colleagues in a CRM carry their company's number.
    if customer.kind != "person":
        yield Key(TAX_NUMBER, number)
    elif name:
        yield Key(TAX_NUMBER, f"{number}|{name}")


def tax_number_of(customer: Customer, settings: IdentitySettings) -> str | None:
    """A customer's tax number with its country; None where it has none, or none that can be one."""
    kind = _text(customer.custom_fields.get("tax_number_type")) or None
    return tax_number(customer.tax_number or "", _region(customer, settings), kind)


def _mail_keys(customer: Customer, name: str | None) -> Iterator[Key]:
    domains = [_text(customer.custom_fields.get(field)) for field in ("website", "domain")]
    for text in _each(customer.email, customer.emails):
        if email := normalize.email(text):
            domains.append(email.domain)
            if not email.is_role:
                yield Key(EMAIL, email.address)
    if name:
        for text in domains:
            if domain := normalize.company_domain(text):
                yield Key(DOMAIN_AND_NAME, f"{domain}|{name}")


def _phone_keys(customer: Customer, name: str | None, settings: IdentitySettings) -> Iterator[Key]:
    region = _region(customer, settings)
    for text in _each(customer.phone, customer.phones):
        if number := normalize.phone(text, region):
            yield Key(PHONE, number)
            if name:
                yield Key(PHONE_AND_NAME, f"{number}|{name}")


def _place(customer: Customer) -> tuple[str | None, str | None]:
    """Street with number, and postal code."""
    address = customer.billing_address or customer.shipping_address or {}
    return normalize.street(_text(address.get("line1"))), normalize.code(_text(address.get("postal_code")))


def value_of(customer: Customer, field: str, settings: IdentitySettings) -> str | None:
    """What a record has for a part of a key of the workspace's own, in one form."""
    match field:
        case "name":
            return name_of(customer)
        case "company":
            return normalize.company_name(customer.company or "")
        case "street":
            return _place(customer)[0]
        case "postal_code":
            return _place(customer)[1]
        case "tax_number":
            return tax_number_of(customer, settings)
        case _:
            return normalize.code(_text(customer.custom_fields.get(field.removeprefix("custom_fields."))))


def _region(customer: Customer, settings: IdentitySettings) -> str | None:
    """Where a telephone or tax number without country is: in the address's country, or else in the workspace's region.

    A country that is not written as its code is another than the region for all we know.
    """
    country = _text((customer.billing_address or customer.shipping_address or {}).get("country")).strip()
    if not country:
        return settings.default_region
    return country.upper() if len(country) == len("DE") and country.isalpha() else None


def _each(one: str | None, many: list[str]) -> list[str]:
    return many if one is None or one in many else [one, *many]


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
