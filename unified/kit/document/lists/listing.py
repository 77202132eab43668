"""From what a document says of a stream to the kit's list, with a connection's settings and a partition in it."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec

from unified.kit.document.asking.changes import Changes
from unified.kit.document.asking.paging import OnePage
from unified.kit.document.filling import Filler
from unified.kit.document.lists.jobs import DocumentJob
from unified.kit.document.lists.results import results_of
from unified.kit.document.streams import DocumentStream, Many
from unified.kit.errors import NotFoundError
from unified.kit.mapping import readings
from unified.kit.mapping.expressions.times import written as in_format
from unified.kit.mapping.rules import Id
from unified.kit.reading.changes import Since
from unified.kit.reading.jobs import JobEndpoint
from unified.kit.reading.listing import Listing
from unified.kit.reading.lists import Asked, Parameters
from unified.kit.reading.paging import Path, Taker

# Stands for a record's id while settings are filled in, which may hold braces.
_ID = "00000000id00000000"

# A path of keys alone: such an id is cut out of a record without decoding it.
_KEYS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


def listing_of(
    said: DocumentStream,
    filler: Filler,
    may_ask: Callable[[httpx.URL], bool],
    clock: Callable[[], datetime],
) -> Listing:
    """How a stream, or one partition of it, is read.

    Args:
        said: The stream.
        filler: Of the connection, and the partition.
        may_ask: Whether a file at a URL that an answer names may be asked for.
        clock: Says what time it is.
    """
    one, changes = said.single, said.changes
    if said.job is None:
        endpoint = results_of(said, said, filler)
    else:
        job = DocumentJob(said, said.job, filler, may_ask, clock)
        endpoint = JobEndpoint(filler.path(said.path), OnePage(), limit=said.limit or "default", job=job)
    return Listing(
        endpoint,
        record=said.record,
        id=id_keys(said.mapping.id) or ("id",),
        refresh=filler.parameters(said.refresh),
        since=None if changes is None else _since(changes, filler.parameters(changes.parameters)),
        until=None if changes is None or changes.end_parameter is None else _until(changes),
        step=None if changes is None or not changes.step_seconds else timedelta(seconds=changes.step_seconds),
        begin=None if changes is None or changes.start is None else filler.moment(changes.start),
        times=Since(timedelta(minutes=5)) if changes is None else _times(changes),
        changed_at=None if changes is None or changes.changed_at is None else _reads_time(changes.changed_at),
        one=None if one is None else filler.path(one.path.replace("{id}", _ID)).replace(_ID, "{id}"),
        one_params=() if one is None else filler.parameters(one.parameters),
        one_record=() if one is None else one.record,
        one_limit=None if one is None else one.limit,
        many=None if said.many is None else _many(said.many, filler.parameters(said.many.parameters)),
        batch=said.many.size if said.many else 100,
        is_gone=_is_missing if said.missing_is_gone else lambda _: False,
    )


def id_keys(said: Id) -> Path | None:
    """The keys of an id that is one value under plain keys; None of any other."""
    if len(said.paths) == 1 and _KEYS.fullmatch(said.paths[0]):
        return tuple(said.paths[0].split("."))
    return None


def _is_missing(_: NotFoundError) -> bool:
    return True


def _times(said: Changes) -> Since:
    return Since(
        lag=timedelta(seconds=said.lag_seconds),
        overlap=timedelta(seconds=said.lookback_seconds),
        keeps=None if said.keeps_days is None else timedelta(days=said.keeps_days),
    )


def _since(said: Changes, besides: Parameters) -> Callable[[datetime], Asked]:
    def since(moment: datetime) -> Asked:
        seconds = int(moment.timestamp())
        start = datetime.fromtimestamp(seconds - seconds % max(said.granularity_seconds, 1), UTC)
        return [_bound(said.parameter, start, said.format), *besides]

    return since


def _until(said: Changes) -> Callable[[datetime], Asked]:
    taker = said.end_parameter
    assert taker is not None  # noqa: S101 - else nothing calls this
    return lambda moment: [_bound(taker, moment, said.format)]


def _bound(taker: Taker, moment: datetime, form: str) -> tuple[Taker, str | int]:
    """A time, as what takes it; one that counts since 1970 is a number in a body."""
    said = in_format(moment, form)
    return taker, said if isinstance(taker, str) or not form.startswith("epoch") else int(said)


def _reads_time(keys: Sequence[str]) -> Callable[[dict[str, Any]], datetime | None]:
    def changed_at(raw: dict[str, Any]) -> datetime | None:
        found: Any = raw
        for key in keys:
            found = found[key]
        return readings.moment(found)

    return changed_at


def _many(said: Many, besides: Parameters) -> Callable[[Sequence[str]], Asked]:
    def many(ids: Sequence[str]) -> Asked:
        if said.format == "repeat":
            return [*((said.parameter, one) for one in ids), *besides]
        if said.format == "json" and not isinstance(said.parameter, str):
            return [(said.parameter, list(ids)), *besides]
        value = msgspec.json.encode(list(ids)).decode() if said.format == "json" else ",".join(ids)
        return [(said.parameter, value), *besides]

    return many
