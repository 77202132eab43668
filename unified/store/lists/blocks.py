"""Rows of a COPY as they come, and blocks of them. Not here: what is copied, and where a piece ends (``copies``)."""

import select
from collections.abc import Iterable
from itertools import pairwise

from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn


class Rows:
    """The rows of a COPY, by libpq itself: waiting for each through the event loop takes ten times as long.

    libpq is asked not to wait: psycopg would hold Python's lock for as long, and nothing else could be done meanwhile.
    """

    def __init__(self, pgconn: PGconn) -> None:
        """Of a connection whose COPY has begun."""
        self._pgconn = pgconn
        self._arrival = select.poll()
        self._arrival.register(pgconn.socket, select.POLLIN)
        self._ahead: memoryview | None = None
        self._is_over = False

    def next(self) -> memoryview | None:
        """The next row; None behind the last.

        Raises:
            psycopg.Error: If the server ends the COPY, or the connection to it is lost.
        """
        if self._ahead is not None:
            row, self._ahead = self._ahead, None
            return row
        if self._is_over:
            return None
        while not (found := self._pgconn.get_copy_data(1))[0]:
            self._arrival.poll()
            self._pgconn.consume_input()
        size, data = found
        if size > 0:
            return data
        self._is_over = True
        while result := self._pgconn.get_result():
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        return None

    def put_back(self, row: memoryview) -> None:
        """Let this row be the next."""
        self._ahead = row


class Block:
    """Rows one behind the other: an object for each would take more memory, and more time.

    Attributes:
        day: What each begins with: its day and the mark behind it; empty where they do not come by day.
    """

    def __init__(self, day: bytes = b"", rows: Iterable[bytes] = ()) -> None:
        """Of these rows."""
        self.day = day
        self._data = bytearray()
        self._ends = [0]
        for row in rows:
            self.add(row)

    def add(self, row: bytes | memoryview) -> None:
        """Add a row."""
        self._data += row
        self._ends.append(len(self._data))

    def __len__(self) -> int:
        """How many rows."""
        return len(self._ends) - 1

    @property
    def size(self) -> int:
        """How many bytes."""
        return len(self._data)

    def last(self, begin: int, end: int | None = None) -> bytes:
        """A part of the last row."""
        place = self._ends[-2]
        return bytes(self._data[place + begin : self.size if end is None else place + end])

    def rows(self) -> list[bytes]:
        """Each row."""
        return [bytes(self._data[begin:end]) for begin, end in pairwise(self._ends)]

    def without_day(self) -> bytes:
        """All rows, without the day that each begins with."""
        if not self.day:
            return bytes(self._data)
        return b"".join([row[len(self.day) :] for row in self.rows()])
