"""`unified drain`: what webhooks have brought, applied now, without Dagster."""

from dataclasses import asdict
from typing import Annotated

import typer

from unified.cli.arguments import AsJson
from unified.cli.output import print_json, say, table
from unified.cli.session import CommandError, asynchronous, open_session
from unified.kit.registry import get_adapter
from unified.sync.drain import drain as drain_source


@asynchronous
async def drain(
    source: Annotated[
        str,
        typer.Argument(help="The connector whose connections are drained; `unified connectors` lists them."),
    ],
    *,
    linger: Annotated[float, typer.Option(min=0, help="Seconds to wait for more once nothing waits.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Apply the events that wait in the inboxes of all connections of a source.

    Works beside `unified dev`, whose drains do the same by themselves. An event that can't be applied becomes a
    dead letter; the exit code is not 0 where a connection can't be used, whose events then wait.
    """
    async with open_session() as session:
        get_adapter(source)
        results = await drain_source(
            session.db,
            session.adapters(),
            source,
            linger=linger,
            on_progress=lambda result: say(f"{result.connection}: {result.events:,} event(s) applied"),
        )
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        table(
            ("CONNECTION", "EVENTS", "RETRIED", "DEAD LETTERS", "NEW", "CHANGED", "DELETED", "REQUESTS"),
            (
                (
                    result.connection,
                    result.events,
                    result.retried,
                    result.failed,
                    *(
                        sum(getattr(counts, name) for counts in result.counts.values())
                        for name in ("inserted", "updated", "deleted")
                    ),
                    result.requests,
                )
                for result in results
            ),
            empty=f"Nothing waits for {source}.",
        )
    for result in results:
        if result.held:
            say(
                f"{result.connection}: {result.held:,} event(s) can't be read yet; they wait for {result.held_by}"
            )
    if unusable := [result for result in results if result.error]:
        raise CommandError("; ".join(str(result.error) for result in unusable))
