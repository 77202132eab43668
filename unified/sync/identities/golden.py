"""Golden customers: of all that the sources say about one customer, the best of each field, and why it is the best."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from unified.store.identities.records import Customer
from unified.store.identities.scopes import Golden

# Chosen one by one. An address is one value: half of one and half of another lead nowhere.
FIELDS = (
    "email",
    "name",
    "phone",
    "company",
    "kind",
    "billing_address",
    "shipping_address",
    "tax_number",
    "currency",
)
# Gathered from all records, the best one's first.
LISTS = ("emails", "phones")

_EVER = datetime.min.replace(tzinfo=UTC)

_getters = {name: attrgetter(name) for name in FIELDS}


def merge(identity_id: UUID, customers: Sequence[Customer], priority: Sequence[str]) -> Golden:
    """The golden customer of an identity.

    A value of a source of higher priority wins, then that of the record that was changed last, then that of the record
    that says most. Which of these decided is noted with each field: ``only`` where no other record has a value,
    ``agreement`` where all say the same, else ``source_priority``, ``recency`` or ``completeness``.

    Args:
        identity_id: The identity.
        customers: Its records, one at least, in any order.
        priority: Connectors, the best first; those not named are alike and come last.
    """
    rank = {name: place for place, name in enumerate(priority)}
    criteria: tuple[tuple[str, Callable[[Customer], Any]], ...] = (
        ("source_priority", lambda one: -rank.get(one.source_system, len(rank))),
        ("recency", _changed_at),
        ("completeness", _filled),
    )
    ranked = sorted(customers, key=attrgetter("unified_id"))
    if len(ranked) > 1:
        ranked.sort(key=lambda one: [criterion(one) for _, criterion in criteria], reverse=True)
    values: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    for name, value_of in _getters.items():
        have = [one for one in ranked if value_of(one)]
        values[name] = value_of(have[0]) if have else None
        if have:
            provenance[name] = {
                "source": have[0].source_system,
                "record": str(have[0].unified_id),
                "why": _reason(have, value_of, criteria),
            }
    for name in LISTS:
        gathered = (
            value for one in ranked for value in (getattr(one, name.removesuffix("s")), *getattr(one, name))
        )
        values[name] = [value for value in dict.fromkeys(gathered) if value]
    return Golden(
        identity_id=identity_id,
        records=len(ranked),
        sources=sorted({one.source_system for one in ranked}),
        provenance=provenance,
        **values,
    )


def _reason(
    have: Sequence[Customer],
    value_of: Callable[[Customer], Any],
    criteria: Sequence[tuple[str, Callable[[Customer], Any]]],
) -> str:
    """What put the first of these records before those that say otherwise."""
    best, *others = have
    if not others:
        return "only"
    if all(value_of(one) == value_of(best) for one in others):
        return "agreement"
    rival = next(one for one in others if value_of(one) != value_of(best))
    for name, criterion in criteria:
        if criterion(best) != criterion(rival):
            return name
    return "first_record"


def _changed_at(customer: Customer) -> datetime:
    return customer.updated_at or customer.created_at or _EVER


def _filled(customer: Customer) -> int:
    return sum(bool(value_of(customer)) for value_of in _getters.values())
