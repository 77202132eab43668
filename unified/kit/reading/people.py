"""Whose data are kept, said to the provider again and again: what some demand of an app that persons authorized.

The answer says who closed their account, so that their data have to be erased, and whose data changed. An adapter
declares it (:class:`Reporting`) and does it (:meth:`unified.kit.adapter.BaseAdapter.report`). When it is done, and what
follows from the answer, is in :mod:`unified.sync.reporting`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Reporting:
    """What a connector has to say; only where a connection is authorized by OAuth.

    Attributes:
        streams: Streams of customers whose records are people.
        at_once: How many one request may name.
        every: How often each of them is named, unless an answer says otherwise. No earlier, either.
    """

    streams: frozenset[str]
    at_once: int
    every: timedelta


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whose data are kept.

    Attributes:
        source_id: Their id in the source.
        as_of: When these data were read last.
    """

    source_id: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Reported:
    """What a provider answers.

    Attributes:
        closed: Ids of those whose data have to be erased.
        changed: Ids of those whose data have to be read anew.
        every: How often each is to be named from now on; None where the provider does not say.
    """

    closed: Collection[str] = ()
    changed: Collection[str] = ()
    every: timedelta | None = None
