"""The store as Dagster resources: the database with its tables and registry, and the encrypted credentials.

Resources hold no configuration that is secret: addresses and master keys come from the environment of the process
that uses them, decrypted credentials live in private attributes and locals only.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import dagster as dg
from pydantic import PrivateAttr

from resources import kept
from unified.store.connectors import installed
from unified.store.database import Database
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import KeyProvider
from unified.store.secrets.providers import load_provider

_Answer = TypeVar("_Answer")


class DatabaseResource(dg.ConfigurableResource["DatabaseResource"]):
    """The PostgreSQL database that ``DATABASE_URL`` names, or the embedded one."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Database]:
        """A pool of connections for the length of an ``async with``, with the connectors that are installed by then.

        Raises:
            StoreError: If the database can't be reached, is not migrated or is set up unsafely.
        """
        async with Database.open() as db:
            await installed.refresh(db)
            yield db

    def ask(self, question: Callable[[Database], Awaitable[_Answer]]) -> _Answer:
        """What a tick asks, on connections that this process keeps; see :func:`resources.kept.ask`."""
        return kept.ask(question)


class CredentialStoreResource(dg.ConfigurableResource["CredentialStoreResource"]):
    """The encrypted credentials. A run without a usable master key fails before its first step."""

    _provider: KeyProvider = PrivateAttr()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """Load the master keys."""
        self._provider = load_provider()

    def open(self, db: Database) -> CredentialStore:
        """The credential store in ``db``."""
        return CredentialStore(db, self._provider)
