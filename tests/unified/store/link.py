"""A link to PostgreSQL that can go dead: a proxy on loopback that takes all bytes and passes none on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict


class Link:
    """The proxy.

    Attributes:
        url: The database's URL by way of it.
        is_dead: Whether what comes in goes nowhere, in links that are made from now on too.
    """

    def __init__(self, url: str) -> None:
        self._server: dict[str, Any] = dict(conninfo_to_dict(url))
        self.url = ""
        self.is_dead = False
        self._open: set[asyncio.StreamWriter] = set()
        self._stuck: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Let the links that there are go dead; new ones work."""
        self._stuck |= self._open

    def drop(self) -> None:
        """End the links that there are, so that nobody waits for them."""
        for writer in self._open:
            writer.transport.abort()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Link"]:
        """Have it listen for the length of a block."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        there = self._server
        login = quote(str(there["user"]), "")
        if password := there.get("password"):
            login += f":{quote(str(password), '')}"
        self.url = f"postgresql://{login}@127.0.0.1:{port}/{there['dbname']}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.drop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = str(self._server["host"]), int(self._server.get("port", 5432))
        if host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            there = await asyncio.open_connection(host, port)
        self._open |= {writer, there[1]}
        for source, sink in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if not self.is_dead and sink not in self._stuck:
                    sink.write(data)
                    await sink.drain()
        if not self.is_dead and sink not in self._stuck:
            sink.close()
