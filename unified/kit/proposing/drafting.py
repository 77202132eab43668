"""Rules written for matches: with the steps that their fields need, and what a person should look at.

What stays uncertain is a remark of the proposal. Whether cents were taken for whole units is the costliest one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unified.kit.mapping.rules import Rule
from unified.kit.proposing.evidence import ACTIVE, INACTIVE
from unified.kit.proposing.fields import ForeignField
from unified.kit.proposing.matching import Confidence, Match, matches
from unified.kit.proposing.words import name_words, prose_words
from unified.schema.invoice import InvoiceStatus

IDENTITY = ("source_id", "deleted_at")
"""Places that rules do not fill: a document's id and tombstone say them, and an adapter in Python does."""

_STATUSES = {
    "draft": "draft created new pending_draft unsent",
    "submitted": "submitted pending_approval awaiting_approval approval",
    "open": "open sent unpaid authorised authorized approved issued posted finalized overdue past_due viewed due "
    "awaiting_payment not_paid not_payed payment_due outstanding invoiced pending processing",
    "partially_paid": "partially_paid partial partiallypaid partly_paid in_payment partial_payment",
    "paid": "paid closed complete completed settled fully_paid paidoff auto_paid",
    "uncollectible": "uncollectible bad_debt written_off writeoff write_off failed collections",
    "void": "void voided canceled cancelled cancel deleted reversed refunded",
}
_STATUS_OF = {word: ours for ours, words in _STATUSES.items() for word in words.split()}
_KINDS_OF = {
    "customers": {"person": "person individual contact natural private human", "company": "company business "
                  "organization organisation corporate legal firm"},
    "invoices": {"receivable": "receivable accrec invoice sales sale out_invoice ar", "payable": "payable accpay bill "
                 "purchase in_invoice ap"},
}  # fmt: skip
_MINOR = frozenset(("cent", "minor", "smallest", "pence", "penny"))
_ENOUGH_AMOUNTS = 2
_A_WHOLE_UNIT = 100
"""Minor units of most currencies that make a whole one: amounts that never reach it say nothing."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule that is proposed.

    Attributes:
        target: What it fills.
        source: Where it reads.
        rule: The rule; None for what no rule fills (:data:`IDENTITY`).
        confidence: How sure it is, in parts.
        reason: Why, in words.
        remarks: What a person should look at before accepting it.
    """

    target: str
    source: str
    rule: Rule | None
    confidence: Confidence
    reason: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposals:
    """What is proposed for an object, and which of its fields fill nothing."""

    rules: tuple[Proposal, ...]
    unmatched: tuple[str, ...]

    def identity(self, target: str) -> Proposal | None:
        """The field that is the record's id, or the time of its deletion."""
        return next((one for one in self.rules if one.target == target and one.rule is None), None)


def propose(entity: str, fields: Sequence[ForeignField], found: Sequence[Match] | None = None) -> Proposals:
    """Propose rules that fill an entity's records from an object's fields.

    Args:
        entity: ``customers``, ``invoices``, ``events`` or ``records``.
        fields: The object's, from :mod:`unified.kit.proposing.fields`.
        found: Which field fits what; as the matcher finds it unless given.
    """
    found = matches(entity, fields) if found is None else found
    drafts = _Drafts(entity, found)
    proposals = [drafted for match in found if (drafted := drafts.of(match)) is not None]
    proposals += [_in_their_word(one) for one in proposals if entity == "invoices" and one.target == "status"]
    used = {one.field.path for one in found}
    inside = tuple(f"{one.source}[0]" for one in proposals if one.target == "line_items")
    unmatched = [
        one.path for one in fields if one.path not in used and not one.path.startswith(inside or ("\0",))
    ]
    return Proposals(tuple(proposals), tuple(unmatched))


def _in_their_word(status: Proposal) -> Proposal:
    """Beside a status in our words, the same in theirs."""
    rule = Rule(target="remote_status", source=status.source)
    return Proposal("remote_status", status.source, rule, status.confidence, "the status in its own word")


class _Drafts:
    """The matches of one object, as rules are written for them: one may need the path of another."""

    def __init__(self, entity: str, found: Sequence[Match], around: "_Drafts | None" = None) -> None:
        self._entity = entity
        self._by_target: dict[str, list[Match]] = {}
        for match in found:
            self._by_target.setdefault(match.place.target, []).append(match)
        own = self._by_target.get("currency")
        self._currency = own[0].field.path if own else None
        money = [match.field for match in found if match.place.kind == "money"]
        self._all_whole = (
            len(money) >= _ENOUGH_AMOUNTS
            and all(one.type == "integer" for one in money)
            and any(not one.samples or max(map(_size, one.samples)) >= _A_WHOLE_UNIT for one in money)
        )
        if around is not None:
            self._currency = around.currency_from_lines()
            self._all_whole = around.counts_cents()

    def of(self, match: Match) -> Proposal | None:
        """The proposal that a match becomes; None where another one says it already."""
        target, field = match.place.target, match.field
        if self._by_target[target][0] is not match:
            return None  # a further part of what the first one fills
        if target in IDENTITY:
            return Proposal(target, field.path, None, match.confidence, match.reason)
        lines = self._lines(field) if target == "line_items" else []
        if target == "line_items" and not lines:
            return None
        remarks: list[str] = []
        rule = self.rule(match, remarks, lines)
        if field.samples and not field.values():
            remarks.append("no sample holds a value")
        return Proposal(target, field.path, rule, match.confidence, match.reason, tuple(remarks))

    def currency_from_lines(self) -> str | None:
        """The path of the currency, as the rules of a line write it."""
        if self._currency is None:
            return None
        return f"${self._currency}" if self._currency.startswith("[") else f"$.{self._currency}"

    def counts_cents(self) -> bool:
        """Whether amounts are taken for minor units, whatever their names say."""
        return self._all_whole

    def _steps(self, match: Match, remarks: list[str]) -> list[Any]:
        field, place = match.field, match.place
        others = [one.field.path for one in self._by_target[place.target][1:]]
        if place.kind == "money":
            return self._money(match, remarks)
        if place.target in ("emails", "phones"):
            return [{"do": "collect", "paths": others}] if others else []
        if place.target == "name" and others:
            return [{"do": "collect", "paths": others}, {"do": "join", "by": " "}]
        if place.kind in ("email", "phone") and field.type == "array":
            return ["first"]
        if place.kind == "list" and field.type == "string":
            return ["split"]
        if place.kind == "bool":
            return _truth(field, remarks)
        if place.target == "status":
            return _table(match, _STATUS_OF, tuple(InvoiceStatus), remarks)
        if place.target == "kind":
            words = {word: ours for ours, all_ in _KINDS_OF[self._entity].items() for word in all_.split()}
            return _table(match, words, tuple(_KINDS_OF[self._entity]), remarks)
        return []

    def _money(self, match: Match, remarks: list[str]) -> list[Any]:
        field = match.field
        said = (
            bool((name_words(field.path) | prose_words(field.description)) & _MINOR) or match.unit == "minor"
        )
        if not said and (match.unit == "major" or not (field.type == "integer" and self._all_whole)):
            if match.unit != "major" and field.type == "integer" and not field.samples:
                remarks.append(
                    "whole numbers, taken for whole units: compare one with its source, which may count cents"
                )
            return []
        if self._currency is None:
            remarks.append("it may count cents, and no field says the currency: name its code")
            return []
        if not said:
            remarks.append("all amounts are whole numbers and taken for cents: compare one with its source")
        elif match.unit == "minor":
            remarks.append("the model takes it for cents: compare one with its source")
        return [{"do": "money", "unit": "minor", "currency": self._currency}]

    def _lines(self, field: ForeignField) -> list[Rule]:
        """The rules of a line's fields; its id is a field like others."""
        found = matches("lines", field.items)
        drafts = _Drafts("lines", found, self)
        return [drafts.rule(match, []) for match in found]

    def rule(self, match: Match, remarks: list[str], lines: Sequence[Rule] = ()) -> Rule:
        """The rule of one match."""
        said: dict[str, Any] = {"target": match.place.target, "source": match.field.path}
        if lines:
            said["lines"] = lines
        if steps := self._steps(match, remarks):
            said["steps"] = steps
        return Rule.model_validate(said)


def _size(value: Any) -> int:
    return abs(value) if isinstance(value, int) else 0


def _words_of(field: ForeignField) -> list[str]:
    """The words that a field holds, each once, in the order of their coming."""
    return list(dict.fromkeys(str(value) for value in field.values() if isinstance(value, str | int)))


def _usual(word: str) -> str:
    return word.strip().casefold().replace(" ", "_").replace("-", "_")


def _table(match: Match, known: dict[str, str], ours: Sequence[str], remarks: list[str]) -> list[Any]:
    """A table of the words that a field holds; none where they are ours already, or nothing is known of them."""
    words = _words_of(match.field)
    known = {**known, **{_usual(theirs): one for theirs, one in match.words if one in ours}}
    table = {word: known[_usual(word)] for word in words if _usual(word) in known}
    unknown = [word for word in words if _usual(word) not in known]
    if unknown:
        remarks.append(f"say what these mean: {', '.join(word[:30] for word in unknown[:10])}")
    if not words:
        remarks.append("no sample shows its words")
    if not table or all(word.casefold() in ours for word in table):
        return []
    return [{"do": "enum", "table": table}]


def _truth(field: ForeignField, remarks: list[str]) -> list[Any]:
    """True or false, the other way round for what is deleted, archived or a test."""
    words = name_words(field.path)
    if words & {
        "deleted",
        "archived",
        "disabled",
        "inactive",
        "removed",
        "deactivated",
        "hidden",
        "test",
        "sandbox",
    }:
        return ["boolean", "not"] if field.type == "string" else ["not"]
    if not words & {"status", "state"} or field.type == "boolean":
        return []
    seen = _words_of(field)
    said = {
        "yes": [word for word in seen if word.casefold() in ACTIVE],
        "no": [word for word in seen if word.casefold() in INACTIVE],
    }
    unknown = [word for word in seen if word not in (*said["yes"], *said["no"])]
    if unknown:
        remarks.append(f"say whether these are active: {', '.join(word[:30] for word in unknown[:10])}")
    return [{"do": "boolean", "yes": said["yes"] or ["active"], "no": said["no"] or ["inactive"]}]
