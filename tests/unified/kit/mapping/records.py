"""Records and rules of these tests."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from unified.kit.mapping.compiled import FieldRules, StreamMapping
from unified.kit.mapping.rules import StreamRules, read_rules
from unified.kit.streams import Origin
from unified.schema import UnifiedCustomer, UnifiedEvent, UnifiedInvoice
from unified.schema.base import UnifiedBase

NOW = datetime(2026, 11, 28, tzinfo=UTC)
ORIGIN = Origin("demo", UUID(int=1), NOW, NOW)
EVENT = {"event_type": "made", "occurred_at": NOW}


def filled(
    raw: Any, *rules: dict[str, Any], model: type[UnifiedBase] = UnifiedInvoice, **known: Any
) -> UnifiedBase:
    """A record of the model, which an adapter mapped as ``known``, with its fields filled by rules."""
    more = EVENT if model is UnifiedEvent else {}
    record = model(**ORIGIN.identify("1"), **more, **known)
    return FieldRules(model, read_rules(list(rules))).apply(record, raw)


def mapped(raw: Any, model: type[UnifiedBase] = UnifiedCustomer, **declared: Any) -> UnifiedBase:
    """The record that a stream's rules make."""
    rules = StreamRules.model_validate({"id": {"paths": ["id"]}, "rules": [], **declared})
    return StreamMapping(model, rules).to_unified(raw, ORIGIN)
