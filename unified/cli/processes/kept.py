"""A connection to the database that a command keeps for the looks that it takes every few seconds.

Opening one costs the server a hundred times what a look does.
"""

from typing import Any, Self

import psycopg

from unified.store.sessions import link_settings


class KeptConnection:
    """Opened when it is first asked for, and again where the server has ended it."""

    def __init__(self, url: str) -> None:
        """Lead to a ``postgresql://`` URL."""
        self._url = url
        self._conn: psycopg.Connection[Any] | None = None

    def __enter__(self) -> Self:
        """Keep it for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give it up."""
        if self._conn is not None:
            self._conn.close()

    def open(self) -> psycopg.Connection[Any]:
        """The connection, which begins no transaction by itself.

        One that the server ended a moment ago fails at its next use, and the time after that there is another.

        Raises:
            psycopg.OperationalError: If the server can't be reached.
        """
        if self._conn is None or self._conn.closed:
            self._conn = psycopg.connect(self._url, autocommit=True, **link_settings(self._url))
        return self._conn
