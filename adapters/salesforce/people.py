"""Accounts and contacts: which of them make a stream, and how a company's new name reaches its contacts."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from functools import partial

from adapters.salesforce.api import Opened
from adapters.salesforce.pull import Records
from adapters.salesforce.rows import Head, written
from unified.kit.declarations import Stream
from unified.kit.reading.changes import Step
from unified.kit.streams import Page


class Accounts(Records):
    """Companies, and people that an org keeps as person accounts."""

    def __init__(self, adapter: Opened, stream: Stream) -> None:
        """Read accounts."""
        super().__init__(adapter, stream, "Account")


class Contacts(Records):
    """People. Those that are person accounts as well are read there, once."""

    def __init__(self, adapter: Opened, stream: Stream) -> None:
        """Read contacts."""
        super().__init__(adapter, stream, "Contact")

    async def wanted(self) -> list[str]:
        """Without person accounts, where the org has them."""
        return ["IsPersonAccount = false"] if await self.object.has("IsPersonAccount") else []

    def is_wanted(self, head: Head) -> bool:
        """Whether it is not a person account, or has not become one."""
        return head.is_person is not True

    async def related(self) -> list[str]:
        """The name of the company."""
        relationship = await self.object.relationship("AccountId")
        return [f"{relationship}.Name"] if relationship else []

    async def steps(self, since: datetime) -> dict[str, Step]:
        """Contacts carry their company's name, which changes without them."""
        relationship = await self.object.relationship("AccountId")
        return {"renamed": partial(self._renamed, relationship, written(since))} if relationship else {}

    async def _renamed(self, account: str, since: str, at: str | None) -> AsyncGenerator[Page, None]:
        where = [f"{account}.SystemModstamp >= {since}", f"SystemModstamp < {since}", *await self.wanted()]
        async with aclosing(self.by_key(where, at)) as pages:
            async for rows, observed_at in pages:
                records = await self.completed(list(zip(rows.heads, rows.records, strict=True)))
                yield Page(records, observed_at, {"at": rows.last_id} if rows.more else None)
