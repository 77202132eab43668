"""From page to page of a list, and what no list may do: repeat a page, lead in a circle, be out of order.

Not here: how a provider numbers its pages (``paging``).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from unified.kit.errors import ProtocolError
from unified.kit.reading.paging import Part, Position


async def read_pages(
    read: Callable[[Position | None], Awaitable[Part]],
    *,
    what: str,
    begin: Position | None = None,
    may_be_empty: bool = False,
) -> AsyncGenerator[Part, None]:
    """Go from page to page until none follows.

    Args:
        read: Asks for the page at a position.
        what: Names the connection and the list in errors.
        begin: Where to begin; by default with the first page.
        may_be_empty: Whether the provider documents pages without a record in the middle of a list.

    Yields:
        Pages, in their order; one whose answer is read as it comes in pieces.

    Raises:
        ProtocolError: If a page or a position comes twice, or an empty page has more behind it: the list would lose
            records or never end.
        ProviderError: As ``read`` raises it.
    """
    at, former, marked, steps, next_mark = begin, None, begin, 0, 1
    while True:
        part = await read(at)
        if former is not None and part.items and part.items == former.items:
            raise ProtocolError(f"{what} repeats a page")
        if not part.items and part.following is not None and not may_be_empty:
            raise ProtocolError(f"{what} has an empty page with more behind it")
        # Brent's way to notice any circle without remembering all positions: a mark that moves ever further on.
        if part.following is not None and part.following in (at, marked):
            raise ProtocolError(f"{what} leads back to where a page began before")
        async with aclosing(_pieces(part)) as pieces:
            async for piece in pieces:
                yield piece
        if part.following is None:
            return
        at, former, steps = part.following, part, steps + 1
        if steps == next_mark:
            marked, next_mark = at, next_mark * 2


async def _pieces(part: Part) -> AsyncGenerator[Part, None]:
    """A page, or the pieces of it where its answer is read as it comes: the last one says what follows."""
    if part.more is None:
        yield part
        return
    items = part.items
    async with aclosing(part.more) as rest:
        async for more in rest:
            yield Part(items, is_whole=False)
            items = more
    yield Part(items, part.following)


def misplaced(
    keys: Sequence[int], *, low: float = float("-inf"), high: float = float("inf"), descending: bool = False
) -> str | None:
    """Why the records of a page can't be those that were asked for: going on from it would lose some.

    Args:
        keys: What the list is ordered by, in the order of the page: times or ids.
        low: The lowest key that was asked for.
        high: The first one beyond the highest.
        descending: Whether the highest comes first.

    Returns:
        The reason, to follow the name of the page; None for a page that is right. Only the last key's place is held
        against the order, for only from there the next page begins.
    """
    if not keys:
        return None
    lowest, highest = min(keys), max(keys)
    if lowest < low or highest >= high:
        return "holds records outside the range that was asked for"
    if keys[-1] != (lowest if descending else highest):
        return "is not in the order that was asked for"
    return None
