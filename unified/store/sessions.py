"""Sessions at the PostgreSQL server: what holds for each of them, and when one is given up as dead.

Which role a transaction has and which workspace it sees: `unified.store.database`. Whether sessions are our own at all:
`unified.store.poolers`.
"""

import asyncio
from contextlib import suppress
from typing import Any, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, capabilities, generators, waiting
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

CONNECT_SECONDS = 10

# A merge of some thousand rows takes well under a second; what reaches these limits is stuck.
SETTINGS = {
    "application_name": "unified-assets",
    "client_connection_check_interval": "10s",
    "client_min_messages": "warning",
    "idle_in_transaction_session_timeout": "10min",
    "lock_timeout": "30s",
    "statement_timeout": "10min",
    "temp_buffers": "24MB",  # a staged batch stays in memory
    "timezone": "UTC",
    # The server frees the locks of a machine that vanished as soon as we give up a server that did.
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25s",
}

# The other machine's kernel acknowledges nothing for 25 s: it is gone, or the link is
# (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES).
_LINK: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}

# A kernel may go on acknowledging while nothing behind it answers: a frozen server, a proxy that lost its own link. So
# a statement without an answer for so long has the server asked over a connection of its own, again and again.
QUIET_SECONDS = 15.0
_PROBE_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
_CANCEL_SECONDS = 5.0

_IDLE = "SELECT FROM pg_stat_activity WHERE pid = %s AND state LIKE 'idle%%'"

_T = TypeVar("_T")
_closing: set[asyncio.Task[None]] = set()


def link_settings(url: str) -> dict[str, Any]:
    """Parameters of libpq that notice a dead link, but for those that a URL sets itself."""
    set_there = conninfo_to_dict(url)
    return {name: value for name, value in _LINK.items() if name not in set_there}


class LostConnectionError(psycopg.OperationalError):
    """The server does not answer any more, although nothing said that the connection ended."""


class Session(AsyncConnection[Any]):
    """A connection that ends when its server falls silent, and at once when its user gives up waiting."""

    _opened_with: tuple[str, dict[str, Any]]

    @classmethod
    async def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Connect as psycopg does, with a link that is watched."""
        conn = await super().connect(conninfo, **(link_settings(conninfo) | kwargs))
        conn._opened_with = (conninfo, kwargs)  # noqa: SLF001 - its own
        return conn

    async def wait(self, gen: PQGen[_T], interval: float = 0.1, timeout: float | None = None) -> _T:  # noqa: ASYNC109 - as in the base
        """Wait for the server.

        Raises:
            LostConnectionError: If it fell silent.
        """
        loop = asyncio.get_running_loop()
        watches: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(None) as patience:
                watch = loop.call_later(
                    QUIET_SECONDS, lambda: watches.append(loop.create_task(self._watch(patience)))
                )
                try:
                    return await waiting.wait_async(
                        gen, self.pgconn.socket, interval=interval, timeout=timeout
                    )
                except asyncio.CancelledError:
                    self._abandon()
                    raise
                finally:
                    watch.cancel()
                    for task in watches:
                        task.cancel()
        except TimeoutError:
            if not patience.expired():
                raise
            raise LostConnectionError(
                f"the server has not answered for {QUIET_SECONDS:.0f} s and is taken for gone"
            ) from None

    async def _watch(self, patience: asyncio.Timeout) -> None:
        """End the patience once the server is found not to work on an answer."""
        while await self._is_served():  # noqa: ASYNC110 - it asks, nobody could set an event
            await asyncio.sleep(QUIET_SECONDS)
        patience.reschedule(asyncio.get_running_loop().time())

    async def _is_served(self) -> bool:
        """Whether the server answers somebody else, and does not wait for us in its turn."""
        conninfo, kwargs = self._opened_with
        try:
            async with (
                asyncio.timeout(_PROBE_SECONDS),
                await Session.connect(conninfo, **(kwargs | {"autocommit": True})) as conn,
            ):
                for _ in range(2):
                    if not (await conn.execute(_IDLE, (self.info.backend_pid,))).rowcount:
                        return True
                    await asyncio.sleep(_AGAIN_SECONDS)  # the answer may be on its way
                return False
        except (TimeoutError, psycopg.errors.ConnectionTimeout):
            return False
        except psycopg.OperationalError:
            return True  # it answers, if only to say that it is full

    def _abandon(self) -> None:
        """Close at once, with a statement under way, and have the server end that one in the background.

        psycopg waits for the server to confirm it, for ten seconds where the link is dead, and keeps the connection.
        Who gave up has been waiting long enough.
        """
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        if capabilities.has_cancel_safe():
            with suppress(psycopg.Error):
                cancel = self.pgconn.cancel_conn()
                cancel.start()
                task = asyncio.get_running_loop().create_task(_cancelled(generators.cancel(cancel)))
                _closing.add(task)
                task.add_done_callback(_closing.discard)
        # Without a cancel request the server notices within its client_connection_check_interval.
        self.pgconn.finish()


async def _cancelled(gen: Any) -> None:
    with suppress(psycopg.Error, OSError, TimeoutError):
        async with asyncio.timeout(_CANCEL_SECONDS):
            await waiting.wait_conn_async(gen, interval=0.1)
