"""The fields of ours that may be filled, each with the phrases that mean it, ready to be compared with names.

Words that an entity or a kind of value brings along (``at`` of a time, ``amount`` of money, ``invoice`` in an invoice)
say nothing more. The phrases themselves stand in ``phrases``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from unified.kit.proposing import phrases

Words = frozenset[str]


def wordset(text: str) -> Words:
    """The words of a text."""
    return frozenset(text.split())


@dataclass(frozen=True, slots=True)
class Place:
    """A field of ours that may be filled.

    Attributes:
        target: As rules name it.
        kind: What it holds: a key of ``evidence.KINDS``.
        phrases: Sets of words that mean it, each with its weight.
        free: Words beside a phrase that say nothing more.
        needs: Words of which at least one has to be there as well.
        never: Words of which none may be there.
        context: Words that make it surer: a bare ``state`` may be another one than an address's.
    """

    target: str
    kind: str
    phrases: tuple[tuple[Words, float], ...]
    free: Words
    needs: Words = frozenset()
    never: Words = frozenset()
    context: Words = frozenset()


SAME = {
    short: full.replace("_", " ") for short, full in (pair.split("=") for pair in phrases.SPELLINGS.split())
}
"""Other spellings of a word, and abbreviations, with the usual words."""

WEAK = wordset(
    "total full main primary default current official display original preferred formatted 1 all eu raw free form "
    "international detail registration meta registered"
)
"""Words beside a phrase that make it a little less sure."""

SECRET = wordset(
    "password passwd pwd passphrase passcode secret token hash apikey salt cvc cvv pin otp ssn credential iban"
)
_SECRET_KEYS = wordset("api private access signing encryption auth ssh")


def is_secret(words: Words) -> bool:
    """Whether a field of these words holds a secret: it is proposed for nothing, and shown to nobody."""
    return bool(words & SECRET) or ("key" in words and bool(words & _SECRET_KEYS))


_FREE = wordset(
    "the a an of is was it its this that which has in for and value field when who where text string"
)
_BY_KIND = {
    "moment": wordset(
        "at on date time datetime timestamp utc gmt epoch unix iso ms millisecond second day last"
    ),
    "money": wordset("amount sum value money price total cent minor unit decimal currency s"),
    "bool": wordset("is flag has"),
    "id": wordset("reference"),
    "url": wordset("url link uri href web page"),
    "list": wordset("list array name"),
    "lines": wordset("list array data collection"),
    "currency": wordset("code iso reference price total amount money"),
    "word": wordset("code name"),
    "digits": wordset("code"),
    "postcode": wordset("code"),
}
_BY_ENTITY = {
    "customers": wordset(
        "customer contact person client subscriber member lead profile patron buyer party payer"
    ),
    "invoices": wordset("invoice bill document doc transaction sale sales receipt voucher"),
    "events": wordset("event activity log notification webhook audit entry"),
    "records": wordset(""),
    "lines": wordset("line item invoice row entry position detail"),
}
_NEVER = {
    ("customers", "name"): wordset("user file domain product"),
    ("invoices", "is_active"): wordset("status state"),
    ("records", "is_active"): wordset("status state"),
}

_BILLING = wordset("bill billing billed invoice invoicing")
_SHIPPING = wordset("ship shipping shipped delivery deliver")
_ADDRESSED = wordset("address postal mailing")
_ANY_ADDRESS = _ADDRESSED | wordset(
    "home physical location residential registered headquarter office business legal main default primary"
)


def _read(table: str) -> Iterator[tuple[str, str, tuple[tuple[Words, float], ...]]]:
    """The fields of a table of phrases: name, kind, phrases."""
    for paragraph in table.strip().replace("\n    ", " ").splitlines():
        head, _, said = paragraph.partition(":")
        target, kind = head.split()
        yield target, kind, tuple(map(_weighted, said.split(",")))


def _weighted(phrase: str) -> tuple[Words, float]:
    said, _, weight = phrase.strip().partition(":")
    return frozenset(usual for word in said.split() for usual in SAME.get(word, word).split()), float(
        weight or 1
    )


_TABLES = {
    "customers": phrases.BASE + phrases.CUSTOMERS.lstrip("\n"),
    "invoices": phrases.BASE + phrases.INVOICES.lstrip("\n"),
    "events": phrases.BASE + phrases.EVENTS.lstrip("\n"),
    "records": phrases.BASE + phrases.RECORDS.lstrip("\n"),
    "lines": phrases.LINES,
}
_ABSENT = {"events": wordset("is_active deleted_at")}
"""What an entity has and nothing of it is proposed for: what happened stays so."""


@cache
def places(entity: str) -> tuple[Place, ...]:
    """What may be filled of an entity, or of the ``lines`` of an invoice."""
    found = [
        _place(entity, *said) for said in _read(_TABLES[entity]) if said[0] not in _ABSENT.get(entity, ())
    ]
    if entity != "customers":
        return tuple(found)
    for address, own, others in (
        ("billing_address", _BILLING, _SHIPPING),
        ("shipping_address", _SHIPPING, _BILLING),
    ):
        is_usual = own is _BILLING  # an address of which nobody says what it is for
        for part, kind, said in _read(phrases.ADDRESS):
            place = _place(entity, f"{address}.{part}", kind, said)
            needs = own | _ADDRESSED if is_usual and part in ("name", "phone") else wordset("")
            found.append(
                replace(
                    place,
                    free=place.free | own | _ANY_ADDRESS | {"to"},
                    needs=needs if is_usual else own,
                    never=others,
                    context=own | _ANY_ADDRESS,
                )
            )
    return tuple(found)


def _place(entity: str, target: str, kind: str, said: tuple[tuple[Words, float], ...]) -> Place:
    free = _FREE | _BY_ENTITY[entity] | _BY_KIND.get(kind, frozenset())
    return Place(target, kind, said, free, never=_NEVER.get((entity, target), frozenset()))


def _all_words() -> Words:
    tables = (*_TABLES.values(), phrases.ADDRESS)
    said = [phrase for table in tables for _, _, each in _read(table) for phrase, _ in each]
    sets = [*said, WEAK, SECRET, _BILLING, _SHIPPING, _ANY_ADDRESS, *_BY_KIND.values(), *_BY_ENTITY.values()]
    return frozenset(SAME).union(wordset("last first name owner parent external group next open"), *sets)


KNOWN = _all_words()
"""Every word that is known: a name without gaps is taken apart into these."""
