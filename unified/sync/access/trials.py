"""Asking a provider whose account a credential opens, away from whatever else this process does.

An adapter's test runs aside (``aside``), and its answers are small: neither what a provider sends nor an adapter that
blocks can hold up deliveries and probes. What follows from the answer: ``unified.sync.connections`` and
``unified.sync.access.consent``.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Account
from unified.kit.errors import UnavailableError
from unified.kit.http.authentication import TokenSource
from unified.kit.secrets import Secret
from unified.sync.access.aside import Aside

TEST_SECONDS = 15.0
"""How long a provider is waited for, however often the connection's settings would try again."""

TEST_BYTES = 2**20
"""What one answer may hold, decompressed: whose account it is takes a few kilobytes."""

TEST_ATTEMPTS = 2
"""How often a request is sent: by the usual five the time is over before anybody says why there is no answer."""

# More wait for a thread, within the same time.
_trials = Aside("trial", at_once=16)


async def account_of(adapter: BaseAdapter[Any]) -> Account:
    """Ask the provider, within a bounded time.

    Args:
        adapter: Not connected yet; it is used for this alone.

    Raises:
        AdapterError: As :meth:`unified.kit.adapter.BaseAdapter.test` raises it, or if there is no answer in time.
    """
    if adapter.tokens is not None:
        adapter.tokens = TokensElsewhere(adapter.tokens, asyncio.get_running_loop())
    try:
        return await _trials.run(lambda: _asked(adapter), seconds=TEST_SECONDS)
    except TimeoutError:
        raise UnavailableError(f"{adapter.connection.key}: no answer within {TEST_SECONDS:.0f} s") from None


async def _asked(adapter: BaseAdapter[Any]) -> Account:
    async with adapter:
        adapter.http.bound(TEST_BYTES, attempts=TEST_ATTEMPTS)
        return await adapter.test()


class TokensElsewhere:
    """Tokens whose source belongs to another event loop, where the database's connections are."""

    def __init__(self, source: TokenSource, loop: asyncio.AbstractEventLoop) -> None:
        """Have them fetched on ``loop``."""
        self._source = source
        self._loop = loop

    async def current(self) -> Secret:
        """As the source's."""
        return await self._there(self._source.current())

    async def renewed(self, rejected: Secret) -> Secret:
        """As the source's."""
        return await self._there(self._source.renewed(rejected))

    async def _there(self, asking: Coroutine[Any, Any, Secret]) -> Secret:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asking, self._loop))
