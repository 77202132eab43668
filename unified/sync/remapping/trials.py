"""Field rules tried on what is stored, before anything changes: per rule what it does, per field old and new.

API and command call :func:`try_rules`. Nothing is written and no provider is asked; `remap` applies rules to all
records.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.decoding import decode_exactly
from unified.kit.errors import ConfigurationError, MappingError
from unified.kit.factory import build_adapter
from unified.kit.mapping.compiled import FieldRules
from unified.kit.mapping.rules import Rule
from unified.kit.mapping.trial import Trial, Tryout
from unified.schema.base import UnifiedBase
from unified.schema.unusable import has_unusable
from unified.store.connections import field_rules
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.records import rejects, tables
from unified.store.records.counts import quality
from unified.store.records.tables import StreamKey

MOST_RECORDS = 10_000
MOST_EXAMPLES = 3

_CHUNK = 500


@dataclass(slots=True)
class FieldChange:
    """How one field would change.

    Attributes:
        name: The field's; of custom fields ``custom_fields.<key>``.
        filled: In how many records it would be filled and is not now.
        changed: In how many it would hold something else.
        cleared: In how many it would be empty and is not now.
        examples: Of some records: id, old value and new value.
    """

    name: str
    filled: int = 0
    changed: int = 0
    cleared: int = 0
    examples: list[tuple[str, Any, Any]] = field(default_factory=list)


@dataclass(slots=True)
class RulesPreview:
    """What new rules would do.

    Attributes:
        trial: What each of the new rules does to the records that were looked at.
        stored: How many live records the stream has; a remap maps all of them, and the rejects.
        changed: How many of those that were looked at would change.
        newly_rejected: How many would be set aside, and are records now.
        rescued: How many would be records, and are set aside now.
        unusable: How many would have a field that can't be read.
        fields: What would change, field by field.
    """

    trial: Trial
    stored: int = 0
    changed: int = 0
    newly_rejected: int = 0
    rescued: int = 0
    unusable: int = 0
    fields: dict[str, FieldChange] = field(default_factory=dict)


async def try_rules(
    db: Database, connection: Connection, stream: str, new: Sequence[Rule], *, limit: int = 1000
) -> RulesPreview:
    """Try rules on stored raw records.

    Args:
        db: Where the records are.
        connection: Whose records.
        stream: Which of them.
        new: Rules that would be set beside those that are; each replaces the one of its field. None tries those that
            are set.
        limit: How many records, and how many rejects, to look at; at most :data:`MOST_RECORDS`.

    Raises:
        InvalidSettingError: If the connector has no such stream, or a rule can't work.
    """
    adapter = build_adapter(connection.connector, connection.settings, {}, connection.ref)
    try:
        declared = adapter.stream(stream)
        old_rules = await field_rules.read(db, connection, stream)
        model = declared.entity.model
        before = FieldRules(model, old_rules)
        after = FieldRules(model, field_rules.with_new(old_rules, new))
        tried = FieldRules(model, new) if new else before
    except ConfigurationError as error:
        raise InvalidSettingError(str(error)) from None
    key = StreamKey.of(connection, declared)
    now = (await db.clock())()
    tryout = Tryout(tried.compiled, now)
    found = RulesPreview(tryout.result())
    async with aclosing(stored_bodies(db, key, min(limit, MOST_RECORDS))) as stored:
        async for source_id, body, observed_at in stored:
            old, _ = mapped(adapter, stream, body, observed_at, before)
            made, raw = mapped(adapter, stream, body, observed_at, after)
            _compare(found, source_id, old, made)
            tryout.see(raw, made)
    found.trial = tryout.result()
    async with db.workspace(connection.workspace_id) as conn:
        found.stored = await quality.live_records(conn, key)
    return found


async def stored_bodies(
    db: Database, key: StreamKey, limit: int
) -> AsyncGenerator[tuple[str, bytes | memoryview, datetime], None]:
    """Stored raw records, then rejects of others: id, body and when it was observed."""
    after, left = "", limit
    seen: set[str] = set()
    while left > 0:
        async with db.workspace(key.workspace_id) as conn:
            rows = await tables.read_raw(conn, key, after=after, limit=min(left, _CHUNK))
        seen.update(row.source_id for row in rows)
        for row in rows:
            yield row.source_id, row.body, row.observed_at
        left = left - len(rows) if len(rows) == min(left, _CHUNK) else 0
        after = rows[-1].source_id if rows else after
    async with db.workspace(key.workspace_id) as conn:
        for reject in await rejects.read(conn, key, limit=min(limit, _CHUNK)):
            if reject.source_id not in seen:
                yield reject.source_id or reject.key, reject.raw, reject.observed_at


def mapped(
    adapter: BaseAdapter[Any],
    stream: str,
    body: bytes | memoryview,
    observed_at: datetime,
    rules: FieldRules | None = None,
) -> tuple[UnifiedBase | str, Any]:
    """The record of a raw one, or why there is none; and the raw one, decoded."""
    try:
        raw = decode_exactly(body)
    except MappingError as error:
        return str(error), None
    try:
        return adapter.map_record(stream, body, adapter.origin(stream, observed_at, observed_at), rules), raw
    except MappingError as error:
        return str(error), raw


def _compare(found: RulesPreview, source_id: str, old: UnifiedBase | str, new: UnifiedBase | str) -> None:
    if isinstance(new, str):
        found.newly_rejected += not isinstance(old, str)
        return
    found.unusable += has_unusable(new)
    if isinstance(old, str):
        found.rescued += 1
        return
    was, is_now = flat(old), flat(new)
    names = [name for name in {**was, **is_now} if was.get(name) != is_now.get(name)]
    found.changed += bool(names)
    for name in names:
        before, after = was.get(name), is_now.get(name)
        change = found.fields.setdefault(name, FieldChange(name))
        change.filled += is_empty(before)
        change.cleared += is_empty(after)
        change.changed += not is_empty(before) and not is_empty(after)
        if len(change.examples) < MOST_EXAMPLES:
            change.examples.append((source_id, before, after))


def is_empty(value: Any) -> bool:
    """Whether a field holds nothing."""
    return value is None or value == ()


def flat(record: UnifiedBase) -> dict[str, Any]:
    """A record's fields, each custom field and each part of an address by itself."""
    flat: dict[str, Any] = {}
    for name, value in record:
        if name in ("raw_data", "synced_at", "payload"):
            continue
        if name == "custom_fields":
            flat |= {f"custom_fields.{key}": one for key, one in value.items()}
        elif hasattr(value, "model_dump"):
            flat |= {f"{name}.{part}": one for part, one in value}
        else:
            flat[name] = value
    return flat
