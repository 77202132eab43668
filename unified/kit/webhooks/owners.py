"""Whose an event is: the account and the mode that it names, and the connections that it belongs to. Pure.

An app of a provider has one URL for all accounts that use it, so a delivery may hold events of any of them. What an
event names is said by :meth:`unified.kit.adapter.BaseAdapter.owner`.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID


class Owner(NamedTuple):
    """What an event says of the account that it is of.

    Attributes:
        account: The account's id; None where it names none, as it then is of the account that has the endpoint.
        livemode: False for test mode; None where it does not say.
    """

    account: str | None = None
    livemode: bool | None = None


class Reader(NamedTuple):
    """A connection, and whose account it reads.

    Attributes:
        connection_id: The connection.
        account: The account's id; None while it is not known for sure.
        livemode: False for test mode; None where the provider knows none.
    """

    connection_id: UUID
    account: str | None
    livemode: bool | None

    def has(self, owner: Owner, account: str | None) -> bool:
        """Whether an event of that account is one of this connection's."""
        fits = None in (owner.livemode, self.livemode) or owner.livemode == self.livemode
        return fits and self.account == account


def belongs_to(owner: Owner, at: UUID, readers: Sequence[Reader]) -> Sequence[UUID]:
    """The connections that an event is for; none where it belongs to nobody.

    Args:
        owner: What the event says.
        at: The connection at whose endpoint it came in.
        readers: The workspace's connections to that system, this one among them.

    Returns:
        This one, where the event is its own, or may be as its account is not known yet. Otherwise those whose account
        it is for sure.
    """
    here = next((one for one in readers if one.connection_id == at), Reader(at, None, None))
    account = here.account if owner.account is None else owner.account
    if account is not None and here.has(owner, account):
        return (at,)
    others = [one.connection_id for one in readers if account is not None and one.has(owner, account)]
    return others or ((at,) if here.account is None else ())
