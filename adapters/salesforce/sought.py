"""Records whose object differs from org to org: invoices, credit memos, payments."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from adapters.salesforce.pull import Records
from unified.kit.streams import Cursor, Page


class Sought(Records):
    """Records whose object differs from org to org: ``prepare`` finds it when they are first asked for."""

    async def pull(self, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """All of them, or what changed; see :meth:`unified.kit.adapter.BaseAdapter.pull`."""
        await self.prepare()
        async with aclosing(super().pull(cursor)) as pages:
            async for page in pages:
                yield page

    async def fetch(self, ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Single ones; see :meth:`unified.kit.adapter.BaseAdapter.fetch`."""
        await self.prepare()
        async with aclosing(super().fetch(ids)) as pages:
            async for page in pages:
                yield page
