"""The clients: over HTTP or in this process, with ``await`` or without. They share all but how they wait."""

from types import TracebackType
from typing import Self

from unified.client import core
from unified.client.drivers import (
    AsyncHttpTransport,
    AsyncTransport,
    HttpTransport,
    Transport,
    carried_out,
    carried_out_async,
)
from unified.client.lists import AsyncList, List
from unified.client.models import Connector, Customer, Event, Identity, Invoice, Record
from unified.kit.secrets import Secret


class Reader:
    """Reads a workspace's records by some transport.

    Attributes:
        customers: Customers of all connections.
        invoices: Invoices.
        events: Events.
        records: Whatever else connectors bring.
        identities: Golden customers: each identity with the best of what its records say.
    """

    def __init__(self, transport: Transport) -> None:
        """Read by ``transport``, which is closed with this."""
        self._transport = transport
        self.customers = List[Customer]("customers", transport)
        self.invoices = List[Invoice]("invoices", transport)
        self.events = List[Event]("events", transport)
        self.records = List[Record]("records", transport)
        self.identities = List[Identity]("identities", transport)

    def connectors(self) -> list[Connector]:
        """The systems that can be connected; takes ``connections:read``."""
        return [
            Connector.model_validate(item)
            for page in carried_out(core.connectors(), self._transport)
            for item in page.items
        ]

    def close(self) -> None:
        """Let go of connections; nothing can be read afterwards."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncReader:
    """Reads a workspace's records by some transport, with ``await``.

    Attributes:
        customers: Customers of all connections.
        invoices: Invoices.
        events: Events.
        records: Whatever else connectors bring.
        identities: Golden customers: each identity with the best of what its records say.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        """Read by ``transport``, which is closed with this."""
        self._transport = transport
        self.customers = AsyncList[Customer]("customers", transport)
        self.invoices = AsyncList[Invoice]("invoices", transport)
        self.events = AsyncList[Event]("events", transport)
        self.records = AsyncList[Record]("records", transport)
        self.identities = AsyncList[Identity]("identities", transport)

    async def connectors(self) -> list[Connector]:
        """The systems that can be connected; takes ``connections:read``."""
        return [
            Connector.model_validate(item)
            async for page in carried_out_async(core.connectors(), self._transport)
            for item in page.items
        ]

    async def close(self) -> None:
        """Let go of connections; nothing can be read afterwards."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Client(Reader):
    """Reads a workspace's records from a server."""

    def __init__(self, url: str, token: str, *, workspace: str | None = None) -> None:
        """Read from a server.

        Args:
            url: Where it is, such as ``https://unified.example.com``.
            token: An API token of the workspace (``unified tokens add``), or a JWT.
            workspace: Slug or id, for a JWT whose subject is a member of several.
        """
        super().__init__(HttpTransport(url, Secret(token), workspace))


class AsyncClient(AsyncReader):
    """Reads a workspace's records from a server, with ``await``."""

    def __init__(self, url: str, token: str, *, workspace: str | None = None) -> None:
        """Read from a server; the arguments are those of :class:`Client`."""
        super().__init__(AsyncHttpTransport(url, Secret(token), workspace))


def local(workspace: str, *, database: str | None = None) -> Reader:
    """A client of the installation on this machine: no server, no token, the same interface.

    Whoever may log in to the database may do this. Use it in a ``with``, or close it.

    Args:
        workspace: Its slug.
        database: A ``postgresql://`` URL; by default ``DATABASE_URL``, or else the embedded database.

    Raises:
        StoreError: If the database can't be used; `unified doctor` says more.
        NotFoundError: If it has no such workspace.
    """
    from unified.client.in_process import InProcess  # noqa: PLC0415 - a server's modules, which few clients need

    return Reader(InProcess(workspace, database))


def local_async(workspace: str, *, database: str | None = None) -> AsyncReader:
    """The same with ``await``; it opens the database at once, and does not wait for anything else."""
    from unified.client.in_process import AsyncInProcess, InProcess  # noqa: PLC0415 - as above

    return AsyncReader(AsyncInProcess(InProcess(workspace, database)))
