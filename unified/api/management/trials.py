"""Asks a provider whose account some credentials open, within a bounded time. A refusal is an answer like any other."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Account
from unified.kit.errors import AdapterError
from unified.store.connections.registry import presentable

TEST_SECONDS = 15.0
"""However often the connection's settings would try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedAccount:
    """Whose account the credentials open."""

    id: Annotated[str, Field(description="At the provider.", examples=["acct_1"])]
    name: Annotated[str | None, Field(description="For people, where the provider tells.")]
    livemode: Annotated[bool | None, Field(description="False for a test account; null where unknown.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of asking the provider."""

    ok: Annotated[bool, Field(description="Whether the credentials open an account.")]
    account: Annotated[TestedAccount | None, Field(description="Which one.")]
    reason: Annotated[str | None, Field(description="Why they open none, and what to do.")]

    @classmethod
    def opened(cls, account: Account) -> "Trial":
        """The credentials are good."""
        known = TestedAccount(id=account.id, name=account.name, livemode=account.livemode)
        return cls(ok=True, account=known, reason=None)

    @classmethod
    def failed(cls, reason: str) -> "Trial":
        """They are not, or that can't be said now."""
        return cls(ok=False, account=None, reason=presentable(reason))


async def tried(adapter: BaseAdapter[Any]) -> Trial:
    """Ask the provider."""
    try:
        async with asyncio.timeout(TEST_SECONDS), adapter:
            return Trial.opened(await adapter.test())
    except TimeoutError:
        return Trial.failed(f"{adapter.connection.key}: no answer within {TEST_SECONDS:.0f} s")
    except AdapterError as error:
        return Trial.failed(str(error))
