"""Times in expressions: functions that read, write and move them. Names and meanings are Airbyte's where it has them.

A time is a value between two functions; as text it is ISO 8601, in UTC. What time it is now is known only where a
document says what is asked for (:data:`CLOCK`): what a record is mapped to never depends on it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from unified.kit.mapping import readings
from unified.kit.mapping.refusals import Refused, kind

_DIRECTIVES = r"%(?:ms|_ms|epoch_microseconds|epoch|-?[dmHMSIjy]|[YfzZbBaApsuVGwU%])"
_PATTERN = re.compile(rf"(?:[^%]|{_DIRECTIVES})*")
_COUNTS: Mapping[str, int] = {
    "%s": 1, "%epoch": 1, "%ms": 1_000, "%epoch_microseconds": 1_000_000, "epoch": 1, "epoch_ms": 1_000,
}  # fmt: skip
_WORDS = {"iso": "%Y-%m-%dT%H:%M:%SZ", "date": "%Y-%m-%d"}
_LONGEST = 100
_DURATION = re.compile(
    r"P(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?"
    r"(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})(?:\.\d+)?S)?)?"
)
_UNITS = (31_536_000, 2_592_000, 604_800, 86_400, 3_600, 60, 1)


def is_format(form: str) -> bool:
    """Whether times can be written so: a word, or a pattern of ``strftime`` whose parts have a fixed size."""
    return form in _COUNTS or form in _WORDS or (len(form) <= _LONGEST and bool(_PATTERN.fullmatch(form)))


def written(moment: date, form: str) -> str:
    """A time as text.

    Args:
        moment: The time; a date is its midnight in UTC.
        form: ``iso``, ``date``, ``epoch``, ``epoch_ms``, or a pattern of ``strftime``, in UTC.

    Raises:
        Refused: If it is not one of these.
    """
    if not is_format(form):
        raise Refused("the expression writes a time in a pattern that is not known")
    found = _moment(moment)
    if form in _COUNTS:
        return str(int(found.timestamp() * _COUNTS[form]))
    pattern = _WORDS.get(form, form).replace("%_ms", f"{found.microsecond // 1_000:03}")
    return found.astimezone(UTC).strftime(pattern.replace("%s", str(int(found.timestamp()))))


def duration(value: Any) -> timedelta:
    """A span of ISO 8601, such as ``P1DT2H``; a year is 365 days, a month 30.

    Raises:
        Refused: If it is not one.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        raise Refused("the expression takes for a duration what is none of ISO 8601, such as P1D")
    counts = zip(match.groups(), _UNITS, strict=True)
    return timedelta(seconds=sum(int(count) * unit for count, unit in counts if count))


def text_of_time(value: date) -> str:
    """What a time is where text is needed."""
    return written(value, "iso") if isinstance(value, datetime) else value.isoformat()


@dataclass(frozen=True, slots=True)
class Clocked:
    """A function that is given what time it is now, before its arguments."""

    of_now: Callable[..., Any]


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time(tzinfo=UTC))
    found = None if isinstance(value, list | dict) else readings.moment(value)
    if found is None:
        raise Refused(f"the expression takes {kind(value)} for a time")
    return found


def _format(value: Any, form: Any, given: Any = None) -> str:
    if not isinstance(form, str) or not (given is None or isinstance(given, str)):
        raise Refused("the expression writes a time in a pattern that is not text")
    if given is None or given in _COUNTS:
        return written(_moment(value), form)
    if len(given) > _LONGEST:
        raise Refused("the expression reads a time in a pattern that is too long")
    try:
        found = readings.date(value, given, UTC)
    except Refused:
        raise Refused("the expression takes for a time what is not written in its pattern") from None
    return written(_moment(found), form)


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def chosen(first: Any, *others: Any) -> Any:
        values = [first, *others] if others else list(first) if isinstance(first, list) else [first]
        if values and all(isinstance(one, date) for one in values):
            return choose(values, key=_moment)
        if values and (
            all(isinstance(one, str) for one in values)
            or all(readings.number(one) is not None and not isinstance(one, str) for one in values)
        ):
            return choose(values)
        raise Refused("the expression compares what is neither texts, numbers nor times")

    return chosen


def _days_on(now: datetime, days: Any, form: Any = "%Y-%m-%dT%H:%M:%S.%f%z") -> str:
    if isinstance(days, bool) or not isinstance(days, int):
        raise Refused("the expression counts days by what is not a whole number")
    return _format(now + timedelta(days=days), form)


DATES: Mapping[str, Callable[..., Any]] = {
    "duration": duration,
    "format_datetime": _format,
    "max": _extreme(max),
    "min": _extreme(min),
    "str_to_datetime": _moment,
    "timestamp": lambda value: int(_moment(value).timestamp()),
}
"""Functions that all expressions have."""

CLOCK: Mapping[str, Any] = {
    "day_delta": Clocked(_days_on),
    "now_utc": Clocked(lambda now: now),
    "today_utc": Clocked(lambda now: now.date()),
}
"""Functions that know what time it is: the scope's ``now``."""
