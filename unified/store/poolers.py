"""Recognises a pooler that serves each transaction by another session of the server, which nothing here can work with.

A lock, a role or a temporary table of such a session is everybody's who is given it. In session pooling a client keeps
its session; docs/production.md says which is to be used.
"""

import asyncio
from typing import Any

import psycopg
from psycopg import AsyncConnection

from unified.store.errors import PoolerError
from unified.store.sessions import Session

SERVING = "SELECT pg_backend_pid()"
"""Which process serves this session. A client without a pooler learnt it when it logged in."""

# A pooler in session mode may have no session left for a second client, which then waits.
_ANSWER_SECONDS = 5
_ROUNDS = 3
# What pgbouncer answers to BEGIN in statement mode (https://www.pgbouncer.org/config.html#pool_mode).
_NO_TRANSACTIONS = "08P01"


async def refuse_shared_sessions(url: str) -> None:
    """Refuse a server that is reached through a pooler in transaction or statement mode.

    Args:
        url: ``postgresql://`` URL.

    Raises:
        PoolerError: If it is.
        psycopg.OperationalError: If the server can't be reached.
    """
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), await _connected(url) as first:
            if await _serving(first) == first.info.backend_pid:
                return
            async with await _connected(url) as second:
                for _ in range(_ROUNDS):  # other clients of the pooler may come between
                    if await _are_shared(first, second):
                        raise PoolerError
    except TimeoutError:
        return  # each client is kept waiting for a session of its own


async def _are_shared(first: Session, second: Session) -> bool:
    """Whether one process is seen to serve two clients, or two to serve one, whatever order a pooler has."""
    mine, theirs = await _serving(first), await _serving(second)
    if mine == theirs or await _serving(second) != theirs:
        return True
    try:
        async with second.transaction():
            # Its process is taken now. If the first client had none of its own, it is given another.
            return await _serving(second) != theirs or await _serving(first) != mine
    except psycopg.OperationalError as error:
        if error.sqlstate != _NO_TRANSACTIONS:
            raise
        return True


async def _connected(url: str) -> Session:
    # Not prepared, which older poolers can't do.
    return await Session.connect(url, autocommit=True, prepare_threshold=None)


async def _serving(conn: AsyncConnection[Any]) -> int:
    row = await (await conn.execute(SERVING)).fetchone()
    assert row is not None  # noqa: S101 - SELECT of an expression gives one row
    return int(row[0])
