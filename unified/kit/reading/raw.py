"""Raw records: how they are cut out of the answers that hold them, and read one by one.

A raw record is JSON text as the provider sent it, next to its id. Nothing here knows what it means.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from unified.kit.reading.windows import as_far_as_done, side_by_side
from unified.kit.streams import Page, RawRecord, Tombstone


def raw_record(source_id: Any, body: msgspec.Raw | bytes) -> RawRecord:
    """A raw record under its id; under none, and so a reject, where that is not a text with something in it.

    The text is copied: one record must not keep its whole page in memory.
    """
    return RawRecord(source_id if isinstance(source_id, str) and source_id else None, bytes(body))


class _Head(msgspec.Struct):
    id: Any = None


_HEAD = msgspec.json.Decoder(_Head)


def id_of(record: msgspec.Raw) -> Any:
    """What stands in a record's ``id``; None where that can't be read."""
    try:
        return _HEAD.decode(record).id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def found_once(
    look_ups: Sequence[Callable[[], Coroutine[Any, Any, Iterable[msgspec.Raw]]]],
    *,
    clock: Callable[[], datetime],
    at_once: int,
) -> AsyncGenerator[Page, None]:
    """Records that several look-ups find, each once.

    Args:
        look_ups: Each sends requests and returns what they find.
        clock: Says when they were asked.
        at_once: Look-ups under way at once.

    Yields:
        Pages without a cursor.
    """
    met: set[str | None] = set()
    for at in range(0, len(look_ups), at_once):
        observed_at = clock()
        found = await side_by_side(look_up() for look_up in look_ups[at : at + at_once])
        records = [raw_record(id_of(raw), raw) for some in found for raw in some]
        new = {record.source_id: record for record in records if record.source_id not in met}
        yield Page(list(new.values()), observed_at, None)
        met.update(new)


async def each_by_id(
    ids: Iterable[str],
    read: Callable[[str], Coroutine[Any, Any, RawRecord | None]],
    *,
    clock: Callable[[], datetime],
    size: int,
    missing_is_gone: bool = True,
) -> AsyncGenerator[Page, None]:
    """Read single records with one request each: each id once, as a record or as a tombstone.

    Args:
        ids: Of the records; one that comes several times is read once.
        read: Reads one of them; None where it is no longer there.
        clock: Says when a batch was asked for.
        size: Ids in one page.
        missing_is_gone: Whether what is not there was deleted; no tombstones otherwise.

    Yields:
        A page without a cursor for each batch, in the order of the ids. Where a request fails, those before it make up
        the last page.

    Raises:
        ProviderError: As ``read`` raises it, once what was read before is handed over.
    """
    unique = list(dict.fromkeys(ids))
    for at in range(0, len(unique), size):
        batch = unique[at : at + size]
        observed_at = clock()
        found, failure = await as_far_as_done(read(one) for one in batch)
        gone = [one for one, record in zip(batch, found, strict=False) if record is None]
        yield Page(
            [record for record in found if record is not None],
            observed_at,
            None,
            [Tombstone(one, observed_at) for one in gone] if missing_is_gone else (),
        )
        if failure is not None:
            raise failure


async def by_ids(
    ids: Iterable[str],
    read: Callable[[Sequence[str]], Awaitable[Sequence[RawRecord]]],
    *,
    clock: Callable[[], datetime],
    size: int,
    at_once: int = 1,
    missing_is_gone: bool = True,
    known: Mapping[str, Tombstone] = MappingProxyType({}),
) -> AsyncGenerator[Page, None]:
    """Read single records, many with one request: each id once, as a record or as a tombstone.

    Args:
        ids: Of the records; one that comes several times is read once.
        read: Reads some of them, and leaves out those that are no longer there.
        clock: Says when a batch was asked for.
        size: Ids in one call of ``read``.
        at_once: Calls under way at once.
        missing_is_gone: Whether what is left out was deleted; no tombstones otherwise, nor beside a record whose id
            can't be read, as it may be any of them.
        known: What ``read`` has found out about deleted ones, by their ids: when they were, and what became of them.

    Yields:
        A page without a cursor for each call, in the order of the ids.

    Raises:
        ProviderError: As ``read`` raises it.
    """
    unique = list(dict.fromkeys(ids))
    batches = [unique[at : at + size] for at in range(0, len(unique), size)]

    async def page(batch: Sequence[str]) -> Page:
        observed_at = clock()
        records = await read(batch)
        met = {record.source_id for record in records}
        is_certain = missing_is_gone and None not in met
        gone = [one for one in batch if one not in met] if is_certain else ()
        stones = [known.get(one) or Tombstone(one, observed_at) for one in gone]
        return Page(records, observed_at, None, stones)

    for at in range(0, len(batches), at_once):
        for done in await side_by_side(page(batch) for batch in batches[at : at + at_once]):
            yield done
