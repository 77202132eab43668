"""Where a stream lands by its name, and the rules that its fields are proposed to be mapped by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unified.kit.errors import ConfigurationError
from unified.kit.mapping.compiled import StreamMapping
from unified.kit.mapping.rules import StreamRules
from unified.kit.mapping.targets import needed
from unified.kit.proposing.drafting import Proposals, propose
from unified.kit.proposing.fields import ForeignField
from unified.kit.proposing.matching import Match
from unified.kit.proposing.words import name_words, split
from unified.schema.entities import ENTITIES, RECORDS

_NAMED = {
    "customers": frozenset(("customer", "contact", "client", "company", "organization", "people", "person", "lead",
                            "subscriber", "buyer", "patron")),
    "invoices": frozenset(("invoice", "bill")),
    "events": frozenset(("event", "activity", "audit")),
}  # fmt: skip
_TELLING = {
    "customers": {"name", "email", "company"},
    "invoices": {"total", "invoice_number", "amount_due", "amount_remaining"},
    "events": {"event_type"},
}
"""What a stream has to fill at least, before it is taken for more than a record."""


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a stream lands, and how it is mapped.

    Attributes:
        entity: ``customers``, ``invoices``, ``events`` or ``records``.
        mapping: The stream's rules, as a document says them.
        remarks: What a person should look at.
    """

    entity: str
    mapping: dict[str, Any]
    remarks: tuple[str, ...]


def landing(
    name: str,
    fields: Sequence[ForeignField],
    ids: Sequence[str],
    by: str = ":",
    *,
    entity: str = "",
    matched: tuple[str, Sequence[Match]] | None = None,
) -> Landing | None:
    """Where a stream lands.

    Args:
        name: The stream's.
        fields: Of its records; there may be none.
        ids: Paths of what makes a record's id; without any, one is looked for among the fields.
        by: What stands between them.
        entity: Where it is said to belong; else its name says so.
        matched: Which field is which, for an entity; else the matcher finds that.

    Returns:
        None where nothing says what a record's id is.
    """
    ids = ids or _own_id(name, fields)
    matches = dict([matched] if matched else [])
    place = entity or entity_named(name)
    if place in _NAMED:
        found = propose(place, fields, matches.get(place))
        filled = {one.target for one in found.rules if one.rule is not None}
        model = next(one.model for one in ENTITIES if one.name == place)
        if filled & _TELLING[place] and needed(model) <= filled:
            return _landed(place, found, ids, by)
    return _landed(RECORDS.name, propose(RECORDS.name, fields), ids, by)


def entity_named(stream: str) -> str:
    """The entity that a stream's name speaks of: ``customers`` of ``all_contacts``; ``records`` where it is none."""
    words = set(split(stream)[-1:])
    return next((place for place, names in _NAMED.items() if words & names), RECORDS.name)


def _own_id(name: str, fields: Sequence[ForeignField]) -> list[str]:
    """The field that is called after its stream, such as ``BankTransactionID`` of bank transactions."""
    wanted = {*split(name), "id"}
    return [one.path for one in fields if name_words(one.path) == wanted and "." not in one.path][:1]


def _landed(entity: str, found: Proposals, ids: Sequence[str], by: str) -> Landing | None:
    known = found.identity("source_id")
    paths = list(ids) or ([known.source] if known else [])
    if not paths:
        return None
    remarks = [f"{one.target}: {remark}" for one in found.rules for remark in one.remarks]
    unsure = [one.target for one in found.rules if one.rule is not None and one.confidence.score < _SURE]
    if unsure:
        remarks.append(f"less than sure: {', '.join(unsure)}")
    model = next(one.model for one in ENTITIES if one.name == entity)
    rules = [one.rule.as_json() for one in found.rules if one.rule is not None]
    said: dict[str, Any] = {"id": {"paths": paths, **({"by": by} if len(paths) > 1 else {})}, "rules": rules}
    deleted = found.identity("deleted_at")
    if deleted is not None:
        said["tombstone"] = {"path": deleted.source, "at": deleted.source}
    try:
        StreamMapping(model, StreamRules.model_validate(said))
    except (ConfigurationError, ValueError):
        return None
    return Landing(entity, said, tuple(remarks))


_SURE = 0.75
