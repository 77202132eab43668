"""What most commands work with: open database and registry, credentials, adapters, connection by name."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer

from unified.cli.installation import ready_database
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.connectors import installed
from unified.store.database import Database

if TYPE_CHECKING:
    from unified.kit.factory import AdapterFactory
    from unified.store.secrets.credentials.store import CredentialStore
    from unified.store.workspaces.rows import Workspace
    from unified.sync.connections.changing import Connections

ACTOR = "cli"
"""How the audit log names this command's user."""
DEFAULT_WORKSPACE = "default"
"""The workspace that is made by the first connection, and meant where none is named."""

_NAMED = 20

_P = ParamSpec("_P")
_R = TypeVar("_R")


class CommandError(typer.TyperException):
    """A command can't be carried out; the message says what to do."""


class UsageError(CommandError):
    """A command was not given what it needs."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Session:
    """An open database and what stands on it.

    Attributes:
        db: The database.
        registry: Workspaces and connections.
    """

    db: Database
    registry: Registry

    # Secrets load cryptography, and adapters pydantic and HTTP: most of a second, which `unified status` does without.

    def credentials(self) -> "CredentialStore":
        """The credential store; raises MasterKeyError where there is no usable master key."""
        from unified.store.secrets.credentials.store import CredentialStore  # noqa: PLC0415 - as above
        from unified.store.secrets.providers import load_provider  # noqa: PLC0415 - as above

        return CredentialStore(self.db, load_provider())

    def connections(self) -> "Connections":
        """Adds, changes and tries connections, in the command's name."""
        from unified.sync.connections.changing import Connections  # noqa: PLC0415 - as above

        return Connections(self.db, self.credentials(), actor=ACTOR)

    def adapters(self) -> "AdapterFactory":
        """Makes adapters of stored connections, in the command's name."""
        from unified.kit.factory import AdapterFactory  # noqa: PLC0415 - as above
        from unified.sync.access.authorization import AuthorizedConnections  # noqa: PLC0415 - as above

        return AdapterFactory(AuthorizedConnections(self.db, self.credentials(), actor=ACTOR))

    async def connection(self, name: str) -> Connection:
        """The connection that a person means.

        Args:
            name: ``workspace/name``, or ``name`` where only one workspace has it.

        Raises:
            ConnectionNotFoundError: If there is none.
            UsageError: If there are several.
        """
        if "/" in name:
            return await self.registry.find(name)
        keys = [
            connection.key for connection in await self.registry.all_connections() if connection.name == name
        ]
        if len(keys) > 1:
            msg = f"there are several connections named {name!r}: say which, {' or '.join(keys)}"
            raise UsageError(msg)
        return await self.registry.find(keys[0] if keys else name)

    async def workspace(self, slug: str | None) -> "Workspace":
        """The workspace that is meant.

        Args:
            slug: Its name; None for the only one, or `default`.

        Raises:
            WorkspaceNotFoundError: If there is none of that name.
            UsageError: If none was named and there are several.
        """
        from unified.store.workspaces import workspaces  # noqa: PLC0415 - for the few commands that ask

        if slug:
            return await workspaces.find(self.db, slug)
        found = {one.slug: one for one in await workspaces.listed(self.db)}
        if DEFAULT_WORKSPACE in found:
            return found[DEFAULT_WORKSPACE]
        if len(found) == 1:
            return next(iter(found.values()))
        if not found:
            raise CommandError(
                "there is no workspace yet; `unified connections add` or `unified demo` makes one"
            )
        some = [*sorted(found)[:_NAMED], *(["…"] if len(found) > _NAMED else [])]
        raise UsageError(f"there are several workspaces: say which with --workspace, {', '.join(some)}")


@asynccontextmanager
async def open_session(*, begins: bool = False) -> AsyncIterator[Session]:
    """Open the database for the length of a command.

    Args:
        begins: Whether the command may be the first of an installation.

    Raises:
        StoreError: If it can't be opened, or is not migrated.
    """
    async with Database.open(await asyncio.to_thread(ready_database, begins=begins)) as db:
        await installed.refresh(db)
        yield Session(db, Registry(db))


def asynchronous(command: Callable[_P, Coroutine[Any, Any, _R]]) -> Callable[_P, _R]:
    """Decorator: make a command of a coroutine function."""

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return asyncio.run(command(*args, **kwargs))

    return run
