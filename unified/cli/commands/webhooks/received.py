"""`unified webhooks replay` and `dead-letters`: what was received and is applied again, or could not be."""

from datetime import UTC, datetime
from typing import Annotated, get_args

import typer

from unified.cli.arguments import AsJson, Name
from unified.cli.output import print_json, say, table
from unified.cli.session import CommandError, UsageError, asynchronous, open_session
from unified.store.inbox import dead_letters as stored
from unified.store.inbox import events as inbox


@asynchronous
async def replay(
    name: Name,
    *,
    keys: Annotated[
        list[str] | None, typer.Option("--event", help="Only the dead letter of this event. Repeatable.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Instead: all events received from then on (UTC).")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="… up to then (UTC); by default now.")] = None,
) -> None:
    """Have dead letters tried again, or all events of a span of time applied again.

    The next drain does it: `unified dev` by itself, `unified drain` at once. Doing it twice changes nothing.
    """
    if (keys and since) or (until and not since):
        raise UsageError("say either --event, or --since with or without --until")
    async with open_session() as session:
        connection = await session.connection(name)
        now = (await session.db.clock())()
        if since:
            count = await inbox.replay(session.db, connection, _utc(since), _utc(until) if until else now)
            what = "received event(s)"
        else:
            count = await stored.replay(session.db, connection, now, keys or None)
            what = "dead letter(s)"
    if keys and count < len(keys):
        raise CommandError(
            f"{connection.key} has {count} of these {len(keys)} as dead letters; those wait now"
        )
    say(f"{count} {what} of {connection.key} wait for the next drain.")


@asynchronous
async def dead_letters(
    name: Name,
    *,
    state: Annotated[
        str | None, typer.Option(help=f"Only those that are {', '.join(get_args(stored.State))}.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show events that could not be applied, and why.

    Those that are `waiting` are tried again by themselves, those that are `dead` by `unified webhooks replay`;
    `replayed` ones were applied in the end.
    """
    states: dict[str | None, stored.State | None] = {None: None}
    states |= {one: one for one in get_args(stored.State)}
    if state not in states:
        raise UsageError(f"--state is one of {', '.join(get_args(stored.State))}, not {state!r}")
    async with open_session() as session:
        connection = await session.connection(name)
        found = await stored.letters(session.db, connection, states[state], limit=limit)
    rows = [
        {
            "event": letter.event_key,
            "type": letter.event_type,
            "received_at": letter.received_at,
            "state": letter.state,
            "attempts": letter.attempts,
            "next_attempt_at": letter.next_attempt_at,
            "error": letter.error,
        }
        for letter in found
    ]
    if as_json:
        print_json(rows)
        return
    table(
        ("EVENT", "TYPE", "RECEIVED (UTC)", "STATE", "ATTEMPTS", "NEXT (UTC)", "ERROR"),
        (tuple(row.values()) for row in rows),
        empty=f"{connection.key} has no dead letters.",
    )


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
