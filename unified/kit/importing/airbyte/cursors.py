"""A manifest's cursor by time as a document's `changes`."""

import re
from typing import Any

from unified.kit.importing.airbyte.expressions import Unconvertible
from unified.kit.importing.airbyte.requests import Asked, Taker
from unified.kit.mapping.expressions.times import is_format

Said = dict[str, Any]

_FORMATS = {"%s": "epoch", "%ms": "epoch_ms", "%Y-%m-%d": "date"}
_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_SECONDS = (604_800, 86_400, 3_600, 60, 1)


def changes(found: Any, asked: Asked) -> tuple[Said | None, list[str]]:
    """The cursor by time; None, with the reason as a remark, where every pull reads all."""
    if not isinstance(found, dict):
        return None, []
    if found.get("type") != "DatetimeBasedCursor":
        return None, ["its cursor is not a time, so every pull reads all of it"]
    try:
        start = _taker(found, "start_time_option", "partition_field_start", "start_time", asked)
        if start is None:
            return None, [
                "its cursor has no parameter of the query or the body, so every pull reads all of it"
            ]
        said: Said = {"parameter": start, "format": _format(found.get("datetime_format"))}
        end = _taker(found, "end_time_option", "partition_field_end", "end_time", asked)
        if end is not None:
            said["end_parameter"] = end
        for key, ours in (
            ("lookback_window", "lookback_seconds"),
            ("cursor_granularity", "granularity_seconds"),
        ):
            if found.get(key):
                said[ours] = seconds(found[key])
    except Unconvertible as error:
        return None, [f"every pull reads all of it: {error}"]
    cursor = found.get("cursor_field")
    if isinstance(cursor, str) and cursor and "{{" not in cursor:
        said["changed_at"] = cursor.split(".")
    return said, []


def _taker(found: Said, option: str, named: str, usual: str, asked: Asked) -> Taker | None:
    """What takes a bound: as an option says, or where the request names it."""
    if isinstance(found.get(option), dict):
        return asked.taker(found[option], "a window of time")
    name = found.get(named) or usual
    return asked.bounds.get(name) if isinstance(name, str) else None


def _format(said: Any) -> str:
    if not isinstance(said, str) or "{{" in said:
        raise Unconvertible("the format of its times is not fixed")
    if said in _FORMATS:
        return _FORMATS[said]
    if not is_format(said):
        raise Unconvertible(f"times in the format {said!r} are not written")
    return said


def seconds(said: Any) -> int:
    """An ISO 8601 duration of weeks to seconds."""
    match = _DURATION.fullmatch(said) if isinstance(said, str) else None
    if match is None or not any(match.groups()):
        if isinstance(said, str) and re.fullmatch(r"PT0\.0*1S", said):
            return 1
        raise Unconvertible("a duration is not one of weeks, days, hours, minutes and seconds")
    return sum(int(count) * unit for count, unit in zip(match.groups(), _SECONDS, strict=True) if count)
