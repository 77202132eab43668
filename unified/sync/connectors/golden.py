"""Golden exchanges: recorded answers of a provider, and the records that a connector has to make of them.

They come with a document and run offline, when it is installed, upgraded or tested: each stream is pulled as ever,
and every request is answered from what was recorded. A stream may be pulled several times, each from the cursor that
the pull before it left. Secrets in them are made up.
"""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from pydantic import ValidationError

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import ConnectionRef
from unified.kit.decoding import describe_faults
from unified.kit.errors import AdapterError, ConfigurationError, MappingError
from unified.kit.http.replay import Exchange, replaying
from unified.kit.secrets import Secret
from unified.kit.streams import Cursor, Page
from unified.schema.base import UnifiedBase

MOST_BYTES = 5_000_000
# Of where and when a record was read, and not of what it says.
_APART = {"source_system", "source_id", "unified_id", "observed_at", "synced_at", "raw_data"}
_MOST_FAULTS = 10
_SHOWN = 80
# Nobody has to be spared.
_PACE = {"requests_per_second": 1_000.0, "retry_count": 0}


class GoldenError(ConfigurationError):
    """A connector does not make of recorded exchanges what it should."""


class Pull(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One pull of a stream.

    Attributes:
        exchanges: What it asks, and is answered.
        records: What has to come of it, by source id: all fields that are not empty, as JSON.
        deleted: Ids of records that have to be known as deleted.
        rejects: Ids of records that can't be mapped.
    """

    exchanges: list[Exchange]
    records: dict[str, dict[str, Any]]
    deleted: list[str] = []
    rejects: list[str] = []


class Golden(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What was recorded of a connector.

    Attributes:
        now: The time at which it is pulled.
        settings: Of the connection.
        secrets: By field; made up.
        streams: The pulls of each stream, in order.
    """

    now: datetime
    streams: dict[str, list[Pull]]
    settings: dict[str, Any] = {}
    secrets: dict[str, str] = {}


def read_golden(text: bytes, name: str) -> Golden:
    """Recorded exchanges from a file.

    Args:
        text: JSON.
        name: The file's, for errors.

    Raises:
        GoldenError: If it is too large, or not in the form above.
    """
    if len(text) > MOST_BYTES:
        raise GoldenError(f"{name} is larger than {MOST_BYTES:,} bytes; record less")
    try:
        golden = msgspec.json.decode(text, type=Golden)
    except (ValueError, RecursionError) as error:
        raise GoldenError(f"{name} has no recorded exchanges that can be read: {error}") from None
    if golden.now.tzinfo is None:
        raise GoldenError(f"{name}: now has no time zone")
    return golden


async def rehearse(adapter: type[BaseAdapter[Any]], golden: Golden) -> int:
    """Pull what was recorded, and compare what comes of it.

    Args:
        adapter: The connector.
        golden: What was recorded of it.

    Returns:
        How many records agree.

    Raises:
        GoldenError: With each difference.
    """
    faults: list[str] = []
    count = 0
    for stream, pulls in golden.streams.items():
        cursor: Cursor | None = None
        for number, pull in enumerate(pulls, 1):
            place = stream if len(pulls) == 1 else f"{stream}, pull {number}"
            try:
                cursor, made, deleted, rejected = await _pulled(adapter, golden, stream, pull, cursor)
            except (AdapterError, ValidationError) as error:
                reason = describe_faults(error) if isinstance(error, ValidationError) else str(error)
                faults.append(f"{place}: {reason}")
                break
            faults += [f"{place}: {fault}" for fault in _differences(pull, made)]
            faults += _missing(place, "deleted", pull.deleted, deleted)
            faults += [f"{place}: {one} is not set aside" for one in pull.rejects if one not in rejected]
            faults += [
                f"{place}: {one} is set aside: {why}"
                for one, why in rejected.items()
                if one not in pull.rejects
            ]
            count += len(made)
    if faults:
        more = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
        said = "; ".join([*faults[:_MOST_FAULTS], *more])
        raise GoldenError(f"{adapter.name} does not make of its recorded exchanges what it should: {said}")
    return count


async def _pulled(
    adapter: type[BaseAdapter[Any]], golden: Golden, stream: str, pull: Pull, cursor: Cursor | None
) -> tuple[Cursor | None, dict[str, dict[str, Any]], list[str], dict[str, str]]:
    """The cursor after a pull, what its records are, which are gone, and which can't be mapped, with the reason."""
    config = adapter.config_model.model_validate({**_PACE, **golden.settings})
    secrets = {name: Secret(value) for name, value in golden.secrets.items()}
    ref = ConnectionRef(UUID(int=1), UUID(int=0), "golden/exchanges")
    made: dict[str, dict[str, Any]] = {}
    deleted: list[str] = []
    rejected: dict[str, str] = {}
    with replaying(pull.exchanges) as replay:
        async with (
            adapter(config, secrets, ref, clock=lambda: golden.now) as connected,
            aclosing(connected.pull(stream, cursor)) as pages,
        ):
            async for page in pages:
                cursor = page.cursor or cursor
                deleted += [tombstone.source_id for tombstone in page.tombstones]
                _map(connected, stream, page, golden.now, made, rejected)
        replay.finish()
    return cursor, made, deleted, rejected


def _map(
    adapter: BaseAdapter[Any],
    stream: str,
    page: Page,
    now: datetime,
    made: dict[str, dict[str, Any]],
    rejected: dict[str, str],
) -> None:
    origin = adapter.origin(stream, page.observed_at, now)
    for record in page.records:
        name = record.source_id or "(without id)"
        try:
            made[name] = _said(adapter.map_record(stream, record.body, origin))
        except MappingError as error:
            rejected[name] = str(error)


def _said(record: UnifiedBase) -> dict[str, Any]:
    """What a record says, as JSON: every field that is not empty."""
    return record.model_dump(mode="json", exclude=_APART, exclude_defaults=True)


def _differences(pull: Pull, made: dict[str, dict[str, Any]]) -> list[str]:
    faults = _missing("", "read", list(pull.records), list(made))
    for source_id, expected in pull.records.items():
        for field in sorted(expected.keys() | made.get(source_id, expected).keys()):
            got, wanted = made.get(source_id, expected).get(field), expected.get(field)
            if got != wanted:
                faults.append(f"{source_id}: {field} is {_short(got)} instead of {_short(wanted)}")
    return [fault.removeprefix(": ") for fault in faults]


def _missing(place: str, what: str, wanted: Sequence[str], got: Sequence[str]) -> list[str]:
    """Which records were, or were not, read or deleted against what was recorded."""
    return [
        *(f"{place}: {one} is not {what}" for one in wanted if one not in got),
        *(f"{place}: {one} is {what}, and should not be" for one in got if one not in wanted),
    ]


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
