"""A manifest's cursor by time as a document's `changes`."""

from typing import Any

from unified.kit.importing.airbyte.expressions import Translator, Unconvertible, only_expression
from unified.kit.importing.airbyte.manifest import PARAMETERS
from unified.kit.importing.airbyte.requests import Asked, Taker
from unified.kit.mapping.expressions.times import duration, is_format
from unified.kit.mapping.refusals import Refused

Said = dict[str, Any]

_FORMATS = {"%s": "epoch", "%ms": "epoch_ms", "%Y-%m-%d": "date"}


def changes(found: Any, asked: Asked, translator: Translator) -> tuple[Said | None, list[str]]:
    """The cursor by time; None, with the reason as a remark, where every pull reads all."""
    if not isinstance(found, dict):
        return None, []
    if found.get("type") != "DatetimeBasedCursor":
        return None, ["its cursor is not a time, so every pull reads all of it"]
    remarks: list[str] = []
    try:
        said = _asked(found, asked, translator, remarks)
    except Unconvertible as error:
        return None, [f"every pull reads all of it: {error}"]
    if said is None:
        return None, ["its cursor has no parameter of the query or the body, so every pull reads all of it"]
    cursor = found.get("cursor_field")
    if isinstance(cursor, str) and cursor and "{{" not in cursor:
        said["changed_at"] = cursor.split(".")
    return said, remarks


def _asked(found: Said, asked: Asked, translator: Translator, remarks: list[str]) -> Said | None:
    """How times are asked for, and what to look at; None where nothing takes one."""
    start = _taker(found, "start_time_option", "partition_field_start", "start_time", asked)
    if start is None:
        return None
    said: Said = {"parameter": start, "format": _format(found.get("datetime_format"))}
    for key, ours in (("lookback_window", "lookback_seconds"), ("cursor_granularity", "granularity_seconds")):
        if found.get(key):
            said[ours] = seconds(found[key])
    end = _taker(found, "end_time_option", "partition_field_end", "end_time", asked)
    if end is not None:
        said["end_parameter"] = end
        try:
            said["start"] = _start(found, translator)
        except Unconvertible as error:
            remarks.append(f"its first load asks for all of the list, not from its start on: {error}")
        if found.get("step"):
            said["step_seconds"] = max(seconds(found["step"]), said.get("granularity_seconds", 1) + 1)
    return said


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
    """An ISO 8601 duration to whole seconds, of which there is at least one."""
    try:
        return max(1, int(duration(said).total_seconds()))
    except Refused:
        raise Unconvertible("a duration is not one of ISO 8601") from None


def _start(found: Said, translator: Translator) -> str:
    """Where the first load begins, as an expression that gives a time of ISO 8601."""
    said = found.get("start_datetime")
    given = found.get(PARAMETERS, {})
    form = found.get("datetime_format")
    if isinstance(said, dict):
        given = said.get(PARAMETERS, given)
        form = said.get("datetime_format") or form
        if said.get("min_datetime") or said.get("max_datetime"):
            raise Unconvertible("its start is the later or the earlier of several times")
        said = said.get("datetime")
    text = translator.text(said, given, what="start_datetime")
    if form in (None, "%Y-%m-%d", "%s") or str(form).startswith("%Y-%m-%dT%H:%M:%S"):
        return text
    inner = only_expression(text)
    if inner is None or not is_format(str(form)) or "'" in str(form):
        raise Unconvertible("its start is not one expression")
    return f"{{{{ format_datetime({inner}, 'iso', '{form}') }}}}"
