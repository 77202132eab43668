"""Rules compiled once per connection: a few functions that fill a record's fields.

:class:`FieldRules` fill fields of a record that an adapter has mapped. :class:`StreamMapping` makes whole records, ids
and tombstones of raw ones, for streams that nobody mapped in Python.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from unified.kit.decoding import decode_exactly, lacks_fractions
from unified.kit.errors import MappingError
from unified.kit.mapping import readings, steps
from unified.kit.mapping.paths import Read, compile_path
from unified.kit.mapping.refusals import UNREADABLE, RuleError, because
from unified.kit.mapping.rules import Rule, StreamRules, digest
from unified.kit.mapping.targets import CUSTOM, Reader, Target, needed, plain, target_of
from unified.kit.mapping.transforms import PartlyRefused, compile_steps, items_of
from unified.kit.streams import Origin
from unified.schema.base import UnifiedBase, UnifiedModel
from unified.schema.unusable import Unusable

_Record = TypeVar("_Record", bound=UnifiedBase)

_CHOOSING = (steps.FirstOf, steps.First, steps.Omit)
"""Steps after which an object is one of the record's, or a part of one."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule, ready to run.

    Attributes:
        rule: As it was declared.
        target: What it fills.
        source: Reads the value before any step; None where a step makes it.
        value: Reads the value after the steps.
        read: Makes of it what the target holds.
        held: A type of which the target holds what is not empty as it is, so that most values are not read.
        lines: Of a list of objects, what fills each of them.
    """

    rule: Rule
    target: Target
    source: Read | None
    value: Read
    read: Reader
    held: type
    lines: "tuple[CompiledRule, ...]" = ()


class Filled:
    """What rules made of one record, or of one line of it.

    Attributes:
        fields: Values by the model's fields.
        parts: Parts of fields that are objects, by field.
        custom: Custom fields.
        unusable: What could not be read.
    """

    __slots__ = ("custom", "fields", "parts", "unusable")

    def __init__(self, unusable: Unusable | None = None) -> None:
        """Begin with nothing."""
        self.fields: dict[str, Any] = {}
        self.parts: dict[str, dict[str, Any]] = {}
        self.custom: dict[str, Any] = {}
        self.unusable = unusable or Unusable()


def compile_rules(model: type[UnifiedModel], rules: Iterable[Rule]) -> tuple[CompiledRule, ...]:
    """Rules, ready to run.

    Raises:
        RuleError: If one can't work for the model, or two fill the same place; it names every fault with its place.
    """
    compiled, faults = [], []
    filled: set[str] = set()
    for place, rule in enumerate(rules, 1):
        if rule.target in filled:
            faults.append(
                f"rule {place} ({rule.target}): another rule fills it; `first_of` takes several paths"
            )
        filled.add(rule.target)
        try:
            compiled.append(_compile(model, rule))
        except RuleError as error:
            faults.append(f"rule {place} ({rule.target}): {error}")
    faults += [
        f"a rule fills {name} as a whole, and another one {other}"
        for name in filled
        for other in sorted(filled)
        if other.startswith(f"{name}.") and name != CUSTOM
    ]
    if faults:
        raise RuleError("; ".join(faults))
    return tuple(compiled)


def check(model: type[UnifiedModel], rules: Iterable[Rule]) -> None:
    """Refuse rules that can't work for a model, before they are stored.

    Raises:
        RuleError: As :func:`compile_rules`.
    """
    compile_rules(model, rules)


def _compile(model: type[UnifiedModel], rule: Rule) -> CompiledRule:
    target = target_of(model, rule.target)
    source = None if rule.source is None else compile_path(rule.source)
    if source is None and not (
        rule.steps and rule.steps[0].do in ("constant", "first_of", "collect", "template")
    ):
        raise RuleError(
            "it needs a source, or a first step that makes the value: constant, first_of, collect, template"
        )
    if rule.lines and target.kind != "list":
        raise RuleError("only a list of objects, such as line_items, has rules for its lines")
    value = compile_steps(source or _nothing, rule.steps)
    is_amount = target.is_money and bool(rule.steps) and rule.steps[-1].do == "money"
    lines = compile_rules(target.model, rule.lines) if rule.lines and target.model else ()
    read, held = (_as_it_is, Decimal) if is_amount else (target.read, target.held)
    return CompiledRule(rule, target, source, value, read, held, lines)


def _passing_objects(one: CompiledRule) -> CompiledRule:
    """A rule as it runs on a record without fractions: an object out of it is plain as it stands."""
    is_from_record = all(isinstance(step, _CHOOSING) for step in one.rule.steps)
    return replace(one, held=dict) if one.target.is_object and is_from_record else one


def _as_it_is(value: Any) -> Any:
    return value


def _nothing(_item: Any, _record: Any) -> None:
    return None


def fill(rules: Sequence[CompiledRule], item: Any, record: Any, filled: Filled) -> None:
    """Run rules on a record, or on one line of it.

    Args:
        rules: From :func:`compile_rules`.
        item: The line, or the record.
        record: The record, decoded by :func:`unified.kit.decoding.decode_exactly`.
        filled: Where values and failures go.

    Raises:
        MappingError: If a rule that is marked as required fails.
    """
    for one in rules:
        target = one.target
        try:
            value = one.value(item, record)
            if one.lines:
                value = _lines(one, value, record, filled.unusable)
            elif value is not None and (type(value) is not one.held or not value):
                value = one.read(value)
        except PartlyRefused as error:
            _note(one, item, record, filled, error)
            value = _rest(one, error.value)
        except UNREADABLE as error:
            _note(one, item, record, filled, error)
            continue
        if value is None:
            continue
        if target.kind == "field" or target.kind == "list":  # noqa: PLR1714 - most are, and this is the quickest
            filled.fields[target.field] = value
        elif target.kind == "part":
            filled.parts.setdefault(target.field, {})[target.part] = value
        elif target.kind == "custom":
            filled.custom[target.field] = value
        else:
            filled.custom = {**value, **filled.custom}


def _rest(one: CompiledRule, value: list[Any]) -> Any:
    """The items that were not refused, if the field takes them."""
    try:
        return one.target.read(value) or None
    except UNREADABLE:
        return None


def _note(one: CompiledRule, item: Any, record: Any, filled: Filled, error: BaseException) -> None:
    """Keep aside what a rule could not read; a required one costs the record."""
    if one.rule.required:
        raise MappingError(f"{one.rule.target}: {because(error)}") from None
    name = one.target.field if one.target.kind == "custom" else one.rule.target
    filled.unusable.values[name] = _aside(one, item, record)


def _aside(one: CompiledRule, item: Any, record: Any) -> Any:
    try:
        return plain(None if one.source is None else one.source(item, record))
    except UNREADABLE:
        return None  # it is in the raw record


def _lines(one: CompiledRule, value: Any, record: Any, unusable: Unusable) -> tuple[UnifiedModel, ...] | None:
    if value is None:
        return None
    model = one.target.model
    assert model is not None  # noqa: S101 - of a list it is there

    def line(item: Any, part: Unusable) -> UnifiedModel:
        filled = Filled(part)
        fill(one.lines, item, record, filled)
        return part.model(model, filled.fields)

    return unusable.each(one.target.field, items_of(value), line)


class FieldRules:
    """A workspace's own rules for one stream, compiled: what fills fields of a record beside its adapter's mapping."""

    def __init__(self, model: type[UnifiedBase], rules: Sequence[Rule]) -> None:
        """Compile ``rules`` for a model.

        Raises:
            RuleError: If one can't work.
        """
        self.rules = tuple(rules)
        self.compiled = compile_rules(model, rules)
        self.digest = digest(rules)

    def apply(self, record: _Record, raw: Any) -> _Record:
        """A record with its fields filled.

        A rule that finds nothing, or fails, leaves its field as the adapter mapped it.

        Args:
            record: As the adapter mapped it.
            raw: The raw record, decoded by :func:`unified.kit.decoding.decode_exactly`.

        Raises:
            MappingError: If a required rule fails.
            pydantic.ValidationError: If the record can't have these fields.
        """
        filled = Filled()
        fill(self.compiled, raw, raw, filled)
        fields = {**dict(record), **filled.fields}
        for name, parts in filled.parts.items():
            fields[name] = _with_parts(type(record), name, fields[name], parts)
        fields[CUSTOM] = {**record.custom_fields, **filled.custom}
        return filled.unusable.record(type(record), **fields)


def _with_parts(model: type[UnifiedBase], name: str, known: Any, parts: dict[str, Any]) -> Any:
    inner = target_of(model, f"{name}.{next(iter(parts))}").model
    assert inner is not None  # noqa: S101 - only objects have parts
    return inner(**{**(dict(known) if known is not None else {}), **parts})


class StreamMapping:
    """The mapping of a whole stream, compiled."""

    def __init__(self, model: type[UnifiedBase], declared: StreamRules) -> None:
        """Compile ``declared`` for a model.

        Raises:
            RuleError: If a rule can't work, or a field that the model can't do without has none.
        """
        rules = [
            rule.model_copy(update={"required": True}) if rule.target in needed(model) else rule
            for rule in declared.rules
        ]
        if missing := sorted(needed(model) - {rule.target for rule in rules}):
            raise RuleError(f"no rule fills {' and '.join(missing)}, which {model.__name__} can't do without")
        self.model = model
        self.compiled = compile_rules(model, rules)
        self._without_fractions = tuple(map(_passing_objects, self.compiled))
        self.digest = digest(declared)
        self._id = [compile_path(path) for path in declared.id.paths]
        self._between = declared.id.by
        self._tombstone = declared.tombstone
        if declared.tombstone is not None:
            self._is_gone = compile_path(declared.tombstone.path)
            self._gone_at = None if declared.tombstone.at is None else compile_path(declared.tombstone.at)

    def source_id(self, raw: Any) -> str | None:
        """A record's id; None where a part of it is missing, or neither text nor a whole number."""
        parts = []
        for path in self._id:
            found = path(raw, raw)
            if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
                return None
            parts.append(str(found))
        return self._between.join(parts)

    def id_of(self, body: bytes | memoryview) -> str | None:
        """The id of a record by its JSON text; None where that can't be read either."""
        try:
            return self.source_id(decode_exactly(body))
        except (MappingError, *UNREADABLE):
            return None

    def deleted_at(self, raw: Any, observed_at: datetime) -> datetime | None:
        """When a record was deleted, if it is a deleted one; ``observed_at`` where it does not say."""
        if self._tombstone is None:
            return None
        found = self._is_gone(raw, raw)
        values = self._tombstone.values
        if found not in values if values else found in (None, False, ""):
            return None
        try:
            said = None if self._gone_at is None else readings.moment(self._gone_at(raw, raw))
        except UNREADABLE:
            said = None
        return said or observed_at

    def to_unified(self, raw: Any, origin: Origin) -> UnifiedBase:
        """The record of a raw one.

        Args:
            raw: Decoded by :func:`unified.kit.decoding.decode_exactly`.
            origin: Where and when it was read.

        Raises:
            MappingError: If it has no id, or a required rule fails.
            pydantic.ValidationError: If the model refuses it.
        """
        source_id = self.source_id(raw)
        if source_id is None:
            raise MappingError("the record has no readable id")
        filled = Filled()
        fill(self._without_fractions if lacks_fractions(raw) else self.compiled, raw, raw, filled)
        fields = filled.fields
        for name, parts in filled.parts.items():
            fields[name] = _with_parts(self.model, name, None, parts)
        if self._tombstone is not None:
            deleted_at = self.deleted_at(raw, origin.observed_at)
            if deleted_at is not None:
                fields |= {"deleted_at": deleted_at, "is_active": False}
        fields |= origin.identify(source_id)
        fields[CUSTOM] = filled.custom
        fields["raw_data"] = raw
        return filled.unusable.record(self.model, **fields)
