"""Looks for the record on the other side that is the same customer, before a route creates one.

The e-mail address first, then the keys that the route names; in our table, and at the other system itself, which knows
what came a moment ago. One free candidate is the one. Several, one that is linked with another record, or one that only
a shared mailbox speaks for, wait for a person.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from unified.kit.errors import ConfigurationError
from unified.schema.conditions import CUSTOM, field_value
from unified.schema.customer import UnifiedCustomer
from unified.store.database import Database
from unified.store.records import lookups
from unified.sync.identities import normalize
from unified.sync.identities.tax_numbers import spellings, tax_number
from unified.sync.routes.end import RouteEnd

Linked = Callable[[Collection[str]], Awaitable[Collection[str]]]
"""Returns which of some records of the other side are linked."""

_PHONE_DIGITS = 8
_MOST_CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for a record; nothing at all where it is to be created.

    Attributes:
        record: The one that it is.
        rule: Which key found it.
        candidates: Those that it may be; then a person decides.
        reason: Why that is not certain.
    """

    record: UnifiedCustomer | None = None
    rule: str | None = None
    candidates: Sequence[UnifiedCustomer] = ()
    reason: str | None = None


def key_value(record: UnifiedCustomer, key: str) -> str | None:
    """What a key compares of a record, for :func:`unified.store.records.lookups.by_key`; None where it is empty."""
    match key:
        case "email":
            return record.email and record.email.strip().lower()
        case "phone":
            digits = "".join(filter(str.isdigit, record.phone or ""))
            return digits[-_PHONE_DIGITS:] if len(digits) >= _PHONE_DIGITS else None
        case "tax_number":
            return tax_number(record.tax_number or "", _country(record), _text(record, "tax_number_type"))
        case "domain_name":
            domain = (record.email or "").rpartition("@")[2].lower()
            if not record.name or not normalize.company_domain(domain):
                return None
            return f"{domain}|{record.name.lower()}"
        case _:
            value = field_value(record, key)
            return None if value is None else str(value)


def _country(record: UnifiedCustomer) -> str | None:
    address = record.billing_address or record.shipping_address
    return address.country if address else None


def _text(record: UnifiedCustomer, custom: str) -> str | None:
    value = record.custom_fields.get(custom)
    return None if value is None else str(value)


def stored_forms(key: str, values: Sequence[str], held: Sequence[str]) -> list[str]:
    """What our table is asked for: a tax number may stand there in many forms."""
    if key != "tax_number":
        return list(values)
    return sorted({*held, *(one for value in values for one in spellings(value))})


def _held(record: UnifiedCustomer, key: str) -> str:
    """What another system is asked for: the value as it is written."""
    return str(field_value(record, key)) if key != "domain_name" else ""


async def look_up(
    db: Database,
    there: RouteEnd,
    records: Sequence[UnifiedCustomer],
    keys: Sequence[str],
    linked: Linked,
) -> dict[str, Found]:
    """Look for some records on the other side.

    Args:
        db: Where our tables are.
        there: The other side.
        records: What to look for, through the other side's eyes: with the fields that would be written there.
        keys: By what, after the e-mail address.
        linked: Returns which of some records there are linked with another record.

    Returns:
        What was found, by the records' ids.

    Raises:
        AdapterError: If the other system can't be asked.
    """
    found: dict[str, Found] = {}
    for key in ("email", *keys):
        wanted = {
            record.source_id: value
            for record in records
            if record.source_id not in found and (value := key_value(record, key)) is not None
        }
        if not wanted:
            continue
        held = {_held(record, key) for record in records if record.source_id in wanted}
        candidates = await _candidates(db, there, key, sorted(set(wanted.values())), sorted(held))
        taken = await linked({record.source_id for same in candidates.values() for record in same})
        for record_id, value in wanted.items():
            if same := candidates.get(value):
                found[record_id] = _judge(key, value, same, taken)
    return found


async def _candidates(
    db: Database, there: RouteEnd, key: str, values: Sequence[str], held: Sequence[str]
) -> dict[str, list[UnifiedCustomer]]:
    """Live records of the other side by the key's value."""
    async with db.workspace(there.connection.workspace_id) as conn:
        known: dict[str, Any] = {
            one.source_id: one
            for one in await lookups.by_key(conn, there.key, key, stored_forms(key, values, held))
        }
    if key in ("email", "phone") or key.startswith(CUSTOM):
        with suppress(ConfigurationError):  # it finds nothing by this key; our table has what was pulled
            # A system may regard case: what it holds in another spelling is asked for by that one as well.
            written = {str(field_value(one, key)) for one in known.values()}
            known |= {one.source_id: one for one in await there.find(key, sorted({*held, *written}))}
    by_value: dict[str, list[UnifiedCustomer]] = {}
    for record in known.values():
        value = key_value(record, key)
        if value is not None and record.deleted_at is None:
            by_value.setdefault(value, []).append(record)
    return by_value


def _judge(key: str, value: str, same: Sequence[UnifiedCustomer], taken: Collection[str]) -> Found:
    first = same[0]
    if len(same) > 1:
        reason = f"{len(same)} records have the same {key.replace('_', ' and ')}"
    elif first.source_id in taken:
        reason = f"the record with the same {key.replace('_', ' and ')} is linked with another one"
    elif key == "email" and (address := normalize.email(value)) and address.is_role:
        reason = "only a mailbox that an office reads speaks for it"
    else:
        return Found(record=first, rule=key)
    return Found(candidates=same[:_MOST_CANDIDATES], reason=reason)


def describe(candidates: Sequence[UnifiedCustomer]) -> list[Mapping[str, Any]]:
    """Candidates as the outbox keeps them for a person to look at."""
    return [
        {
            "id": one.source_id,
            "name": one.name,
            "email": one.email,
            "company": one.company,
            "phone": one.phone,
        }
        for one in candidates
    ]
