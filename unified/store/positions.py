"""Places in the logs that transactions append to side by side: the inbox, and the changes of customers.

A sequence's number is not a place in such a log: a transaction that took an early one may commit late. The
transaction's own id comes first. A reader stops before the oldest transaction that is still open, and misses nothing.
"""

from typing import NamedTuple


class Position(NamedTuple):
    """The place of one entry: the transaction that stored it, and the entry's number."""

    xid: str
    id: int


BEGINNING = Position("0", 0)
