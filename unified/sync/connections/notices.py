"""Notices of a connection, for people: what follows from a change, and what does not hold as it may be meant."""

from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.factory import config_of
from unified.kit.registry import get_adapter
from unified.store.connections.accounts import KnownAccount
from unified.store.connections.changes import with_earlier_start, with_more_columns
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.sync.columns.seen import unseen
from unified.sync.connections.trials import Trial
from unified.sync.scope import identity, scope_of


async def notices_of_change(
    db: Database,
    before: Connection,
    after: Connection,
    account: KnownAccount,
    tried: BaseAdapter[Any] | None,
    trial: Trial | None,
) -> list[str]:
    """What a change means for the records: said at once, though the next sync is what finds out for sure."""
    notices = []
    if tried is not None and trial is not None and trial.account is not None:
        account_id, livemode = identity(tried, trial.account)
        if account.is_other(account_id, livemode=livemode):
            notices.append(
                f"It opens another account or mode than its records are of, which is {account}. The next sync reads "
                "all of it, and what is stored of the other one counts as deleted."
            )
    if _scope(before) != _scope(after):
        notices.append("Other settings say what is read: the next sync reads everything anew.")
    if before.columns != after.columns:
        notices.append("The next sync brings what is stored to the columns that are left out or hashed now.")
    if wider := with_more_columns(before.columns, after.columns):
        notices.append(f"What was never stored is read again: that sync reads all {', '.join(wider)} anew.")
    if longer := with_earlier_start(before.since, after.since):
        notices.append(f"An earlier start: the next sync reads {', '.join(longer)} anew.")
    if before.since != after.since:
        notices += _start_notices(after)
    if before.columns != after.columns:
        notices += map(str, await unseen(db, after, after.columns))
    return notices


def _scope(connection: Connection) -> str:
    """What its settings say is read."""
    return scope_of(config_of(connection.connector, connection.settings, connection.ref))


async def standing_notices(db: Database, connection: Connection) -> list[str]:
    """What does not hold of a connection as somebody may have meant it, for people.

    Streams that can't be asked for from a day on, and columns that no record has.
    """
    return [*_start_notices(connection), *map(str, await unseen(db, connection, connection.columns))]


def _start_notices(connection: Connection) -> list[str]:
    """Which streams that it reads from a day on can't be asked for what was made since, for people."""
    adapter = get_adapter(connection.connector)
    read = [one for one in adapter.chosen(connection.streams) if one.name in connection.since]
    whole = [one.name for one in read if not one.asks_since]
    if not whole:
        return []
    named = f"{adapter.display_name} can't be asked for {', '.join(whole)} by the day on which they were made"
    return [f"{named}: all are read, and what is older is not stored."]
