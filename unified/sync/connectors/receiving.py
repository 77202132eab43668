"""A stream of a generic webhook, set up from what was received: which events carry its records, and what fills fields.

A draft of it is text that a person writes and clicks together. It is tried on the newest deliveries, which the inbox
keeps for some days anyway; nothing is stored before :func:`activate`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unified.kit.errors import AdapterError, ConfigurationError
from unified.kit.factory import build_adapter
from unified.kit.mapping.compiled import FieldRules
from unified.kit.mapping.rules import Rule, read_rules
from unified.kit.mapping.trial import shape
from unified.kit.registry import get_adapter
from unified.store.connections import field_rules
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.inbox import events as inbox
from unified.store.inbox.events import StoredEvent
from unified.sync.connectors import building
from unified.sync.connectors.building import FoundField, FoundList
from unified.sync.connectors.sampling import LONGEST_RECORD, Sampled, sampled, too_long
from unified.sync.remapping.trials import mapped

CONNECTOR = "webhook"
MOST_DELIVERIES = 20
_MOST_BYTES = 100_000
_CARRIED = ("types", "records", "id", "tombstone")
_FIRST: Mapping[str, Any] = {"types": [], "records": "", "id": "id", "rules": []}


@dataclass(frozen=True, slots=True)
class Draft:
    """What is said of a stream.

    Attributes:
        carried: The connection's setting of it: which events carry its records, and where.
        rules: What fills the records' fields.
    """

    carried: Mapping[str, Any]
    rules: Sequence[Rule]


@dataclass(frozen=True, slots=True)
class Received:
    """A draft, tried on what was received.

    Attributes:
        events: The newest first.
        types: Types that these have, and those that the draft names.
        places: Objects and lists of objects in events of the draft's types.
        fields: Values of the records that the draft finds, and what each fills.
        sampled: What its rules make of them.
    """

    events: Sequence[StoredEvent]
    types: Mapping[str, bool]
    places: Sequence[FoundList]
    fields: Sequence[FoundField]
    sampled: Sampled


def streams() -> list[str]:
    """The streams that events of a generic webhook may carry."""
    adapter = get_adapter(CONNECTOR)
    return [one.name for one in adapter.delivered_streams if one.name in adapter.config_model.model_fields]


def targets(stream: str, path: str) -> list[str]:
    """What a value may fill in records of a stream."""
    entity = next(one.entity for one in get_adapter(CONNECTOR).delivered_streams if one.name == stream)
    return building.targets_of(entity.name, path)


async def stored(db: Database, connection: Connection, stream: str) -> str:
    """What is in force for a stream, as the text of a draft; or a beginning.

    Raises:
        InvalidSettingError: If a stored rule is not one of this release's language.
    """
    rules = [rule.as_json() for rule in await field_rules.read(db, connection, stream)]
    carried = connection.settings.get(stream) or {}
    return building.written({**_FIRST, **carried, "rules": rules})


def read(text: str) -> Draft:
    """What a text says.

    Raises:
        ConfigurationError: If it is not a draft.
    """
    value = building.read_text(text)
    if unknown := sorted(map(str, value.keys() - {*_CARRIED, "rules"})):
        raise ConfigurationError(
            f"a stream has no {' and no '.join(unknown)}; it has {', '.join(_FIRST)}, tombstone"
        )
    carried = {name: value[name] for name in _CARRIED if value.get(name) is not None}
    return Draft(carried, read_rules(value.get("rules") or []))


def with_picks(
    text: str, stream: str, types: Sequence[str], keys: Sequence[str], picks: Mapping[str, str]
) -> str:
    """A text with what was picked.

    Args:
        text: The draft.
        stream: Of which stream.
        types: Types of the events that carry its records; none takes all.
        keys: From the event down to the records. Where they are others than before, `picks` are of other records, and
            are left out.
        picks: Of each path of a record that was shown, what it fills; ``id``, or nothing.

    Raises:
        ConfigurationError: If the text is not a draft.
    """
    read(text)
    said = {**_FIRST, **building.read_text(text)}
    is_same = said["records"] == ".".join(keys)
    changed = building.with_picks(_as_document(stream, said), stream, keys, picks if is_same else {})
    made = changed["streams"][stream]
    return building.written(
        {
            **said,
            "types": list(types),
            "records": ".".join(made["records"]),
            "id": _shortest(made["mapping"]["id"]),
            "rules": made["mapping"]["rules"],
        }
    )


async def try_draft(
    db: Database, connection: Connection, stream: str, draft: Draft, *, masked: bool
) -> Received:
    """Try a draft on the newest deliveries. Nothing is stored.

    Args:
        db: Where they are.
        connection: To which they came.
        stream: The stream that the draft is of.
        draft: What it says.
        masked: Whether fields show what values look like and not the values, as in all that is counted.

    Raises:
        ConfigurationError: If the draft can't work.
    """
    now = (await db.clock())()
    async with db.workspace(connection.workspace_id) as conn:
        found = await inbox.latest(conn, connection, limit=MOST_DELIVERIES, most_bytes=_MOST_BYTES)
    adapter = build_adapter(
        connection.connector, {**connection.settings, stream: draft.carried}, {}, connection.ref
    )
    declared = adapter.stream(stream)
    rules = FieldRules(declared.entity.model, draft.rules)
    carrying: list[StoredEvent] = []
    bodies: list[tuple[bytes, StoredEvent]] = []
    for one in found:
        try:
            states = adapter.changes([one.event]).states.get(stream, ())
        except AdapterError:
            continue  # not JSON; the drain makes a dead letter of it, with the reason
        carrying += [one] if states else []
        bodies += [(bytes(state.record.body), one) for state in states]
    tried = sampled(
        rules.compiled,
        (
            mapped(adapter, stream, body, one.event.occurred_at or one.received_at, rules)
            for body, one in bodies
            if len(body) <= LONGEST_RECORD
        ),
        now,
    )
    values = tried.values
    if masked:
        values = {one.target: [after for _, after in one.examples] for one in tried.trial.rules}
    records = [shapes(one) for one in tried.records] if masked else tried.records
    said = {**_FIRST, **draft.carried, "rules": [rule.as_json() for rule in draft.rules]}
    fields = building.fields_in(records, _as_document(stream, said)["streams"][stream])
    wanted = draft.carried.get("types") or []
    types = {kind: kind in wanted for kind in [*wanted, *sorted({one.event.event_type for one in found})]}
    trial = replace(tried.trial, remarks=[*tried.trial.remarks, *too_long(body for body, _ in bodies)])
    return Received(found, types, _places(carrying or found), fields, Sampled(records, trial, values))


async def activate_rules(
    db: Database, connection: Connection, stream: str, draft: Draft, *, actor: str
) -> None:
    """Have a draft's rules be those of its stream, once the draft was tried. Its setting is the connection's to change.

    Raises:
        ConfigurationError, InvalidSettingError: If the draft can't work; nothing is changed then.
    """
    if not draft.rules:
        raise InvalidSettingError(
            f"no rule fills a field of {stream}, so its records would be ids alone: pick some"
        )
    await try_draft(db, connection, stream, draft, masked=True)
    await field_rules.replace(db, connection, stream, draft.rules, actor=actor)


def shapes(value: Any) -> Any:
    """A JSON value in which only keys are said: of text and numbers no more than what they look like."""
    if isinstance(value, dict):
        return {name: shapes(below) for name, below in value.items()}
    if isinstance(value, list):
        return [shapes(below) for below in value]
    return value if value is None or isinstance(value, bool) else shape(value)


def _places(events: Sequence[StoredEvent]) -> list[FoundList]:
    """Where records may be in events, each place once; those that a setting can name."""
    found: dict[tuple[str, ...], FoundList] = {}
    for one in events:
        for place in building.lists_in(one.event.body, or_objects=True):
            if all(key and "." not in key for key in place.keys):
                found.setdefault(place.keys, place)
    return list(found.values())


def _as_document(stream: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """A draft in the form in which documents say the same."""
    keys = [key for key in str(said["records"]).split(".") if key]
    named = {"paths": [said["id"]]} if isinstance(said["id"], str) else said["id"]
    return {"streams": {stream: {"records": keys, "mapping": {"id": named, "rules": said["rules"]}}}}


def _shortest(named: Any) -> Any:
    """One path by itself. What is not an id stays as it was written, for the trial to refuse."""
    paths = named.get("paths") if isinstance(named, dict) else None
    return paths[0] if isinstance(paths, list) and len(paths) == 1 else named
