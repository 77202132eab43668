"""What a route can be set to do, and whether that works between two connections. Nothing is stored here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, get_args

from unified.kit.errors import ConfigurationError
from unified.kit.registry import get_adapter
from unified.schema.conditions import CUSTOM, Condition, check_field
from unified.schema.customer import UnifiedCustomer
from unified.schema.entities import CUSTOMERS
from unified.store.connections.rows import Connection
from unified.store.errors import InvalidSettingError

Direction = Literal["one_way", "two_way"]
Policy = Literal["source_wins", "target_wins", "newest_wins"]
OnDelete = Literal["ignore", "archive"]
OnMissing = Literal["unlink", "recreate"]

MATCH_KEYS = ("phone", "tax_number", "domain_name")
"""What a record can be matched by besides its e-mail address; ``custom_fields.<key>`` as well."""

# Never travel by themselves: what is the source's own, or repeats what is said elsewhere.
_NOT_BY_DEFAULT = frozenset(("custom_fields", "emails", "phones", "kind", "is_active", "currency"))
_LONGEST_INTERVAL = 31 * 24 * 60


@dataclass(frozen=True, slots=True)
class RouteField:
    """One field that travels.

    Attributes:
        source: Its name at the source: a field of the model or ``custom_fields.<key>``.
        target: Its name at the target.
        policy: Who wins where both sides changed it; None leaves that to the route.
    """

    source: str
    target: str
    policy: Policy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """What a route is to do; an empty ``fields`` stands for all that the connectors can hold.

    Attributes:
        fields: Which fields travel.
        direction: Whether changes at the target travel back.
        filter: Conditions that a record meets which travels.
        conflict_policy: Who wins where both sides changed a field.
        match_keys: What to look for after the e-mail address before a record is created.
        on_delete: Whether a record that is deleted is archived on the other side.
        on_missing: What to do where the other side's record is gone.
        interval: How often to run; None as soon as something changed.
    """

    fields: Sequence[RouteField] = ()
    direction: Direction = "one_way"
    filter: Sequence[Condition] = ()
    conflict_policy: Policy = "source_wins"
    match_keys: Sequence[str] = ()
    on_delete: OnDelete = "ignore"
    on_missing: OnMissing = "unlink"
    interval: timedelta | None = None


def stream_of(connection: Connection, name: str | None) -> str:
    """The stream of a connection's customers that a route means; the connector's first one unless it is named.

    Raises:
        InvalidSettingError: If there is no such stream; the message names those there are.
    """
    try:
        adapter = get_adapter(connection.connector)
    except ConfigurationError as error:
        raise InvalidSettingError(str(error)) from None
    names = [stream.name for stream in adapter.all_streams() if stream.entity is CUSTOMERS]
    if not names:
        raise InvalidSettingError(
            f"{connection.connector} has no customers, so {connection.key} can't be in a route"
        )
    if name is None:
        return names[0]
    if name not in names:
        raise InvalidSettingError(
            f"{connection.connector} has no stream of customers {name!r}; it has {', '.join(names)}"
        )
    return name


def checked(
    settings: RouteSettings, source: Connection, target: Connection, streams: tuple[str, str]
) -> RouteSettings:
    """Settings with all fields named, after a look whether they can work between two connections.

    Args:
        settings: Which.
        source: Where records come from.
        target: Where they go to.
        streams: The streams of the two, as :func:`stream_of` names them.

    Raises:
        InvalidSettingError: If they can't; the message says what to change.
    """
    if source.id == target.id:
        raise InvalidSettingError(
            f"a route from {source.key} to itself has nothing to do; name another target"
        )
    if source.workspace_id != target.workspace_id:
        raise InvalidSettingError(
            f"{source.key} and {target.key} belong to two workspaces; a route stays inside one"
        )
    _check_whole((source, target), streams)
    _check_words(settings)
    is_two_way = settings.direction == "two_way"
    into_target = _writable(target, streams[1])
    into_source = _writable(source, streams[0]) if is_two_way else None
    fields = tuple(settings.fields) or tuple(
        RouteField(name, name)
        for name in sorted(into_target - _NOT_BY_DEFAULT)
        if into_source is None or name in into_source
    )
    try:
        for rule in fields:
            _check_writable(rule.target, into_target, target)
            check_field(UnifiedCustomer, rule.source)
            if into_source is not None:
                _check_writable(rule.source, into_source, source)
        for condition in settings.filter:
            condition.check(UnifiedCustomer)
    except ValueError as error:
        raise InvalidSettingError(str(error)) from None
    for names in ([rule.source for rule in fields], [rule.target for rule in fields]):
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InvalidSettingError(f"{', '.join(twice)} has several rules; a field travels to one place")
    return replace(settings, fields=fields)


def _check_whole(ends: Sequence[Connection], streams: Sequence[str]) -> None:
    """Refuse streams of which columns are left out: a route would take what is missing for empty."""
    for end, stream in zip(ends, streams, strict=True):
        if cut := end.columns.get(stream):
            raise InvalidSettingError(
                f"a route needs whole customers, to find them and to write what they hold, and {end.key} leaves out or "
                f"hashes {', '.join(cut)} of {stream}"
            )


def _check_words(settings: RouteSettings) -> None:
    """Refuse words that a setting does not know, and settings that do not go together."""
    for kind, value, literal in (
        ("direction", settings.direction, Direction),
        ("conflict policy", settings.conflict_policy, Policy),
        ("deletion policy", settings.on_delete, OnDelete),
        ("policy for missing records", settings.on_missing, OnMissing),
        *(("conflict policy", rule.policy, Policy) for rule in settings.fields if rule.policy),
    ):
        if value not in get_args(literal):
            raise InvalidSettingError(
                f"there is no {kind} {value!r}; use one of {', '.join(get_args(literal))}"
            )
    if settings.direction == "two_way" and settings.on_missing == "recreate":
        raise InvalidSettingError(
            "a two-way route can't recreate what is missing: a deletion looks the same as a loss to it; use unlink"
        )
    for key in settings.match_keys:
        if key not in MATCH_KEYS and not (key.startswith(CUSTOM) and len(key) > len(CUSTOM)):
            raise InvalidSettingError(
                f"records can't be matched by {key!r}; use {', '.join(MATCH_KEYS)} or custom_fields.<key>"
            )
    if settings.interval is not None:
        minutes, rest = divmod(settings.interval, timedelta(minutes=1))
        if rest or not 1 <= minutes <= _LONGEST_INTERVAL:
            raise InvalidSettingError(
                f"a route's interval is 1 minute to 31 days in whole minutes, not {settings.interval}"
            )


def _writable(connection: Connection, name: str) -> frozenset[str]:
    stream = get_adapter(connection.connector).stream(name)
    if not stream.writable_fields:
        others = [one.name for one in get_adapter(connection.connector).streams if one.writable_fields]
        hint = f"; it takes {', '.join(others)}" if others else ""
        raise InvalidSettingError(
            f"{connection.connector} takes no {name}, so {connection.key} can't be a target{hint}"
        )
    return stream.writable_fields


def _check_writable(name: str, writable: frozenset[str], connection: Connection) -> None:
    check_field(UnifiedCustomer, name)
    if (CUSTOM.rstrip(".") if name.startswith(CUSTOM) else name) not in writable or name == CUSTOM.rstrip(
        "."
    ):
        names = ", ".join(sorted(writable - {"custom_fields"}))
        custom = " or custom_fields.<key>" if "custom_fields" in writable else ""
        raise ValueError(
            f"{connection.connector} keeps no {name!r} that is written to it; it keeps {names}{custom}"
        )


def read_settings(document: Mapping[str, Any]) -> RouteSettings:
    """Settings from a JSON document, where an interval is in minutes.

    Raises:
        InvalidSettingError: If it has something that is not a setting.
    """
    values = dict(document)
    try:
        values["fields"] = tuple(RouteField(**rule) for rule in values.get("fields") or ())
        values["filter"] = tuple(Condition(**condition) for condition in values.get("filter") or ())
        values["match_keys"] = tuple(values.get("match_keys") or ())
        if values.get("interval") is not None:
            values["interval"] = timedelta(minutes=values["interval"])
        return RouteSettings(**values)
    except TypeError as error:
        raise InvalidSettingError(f"a route's settings can't be read: {error}") from None
