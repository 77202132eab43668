"""`unified subscriptions`: URLs to which what changes is delivered."""

from dataclasses import asdict
from datetime import UTC, timedelta
from typing import Annotated, Any

import typer

from unified.cli.arguments import AsJson, Yes, confirm
from unified.cli.output import out, print_json, say, table
from unified.cli.session import (
    ACTOR,
    DEFAULT_WORKSPACE,
    CommandError,
    Session,
    UsageError,
    asynchronous,
    open_session,
)
from unified.store.errors import InvalidSettingError
from unified.store.subscriptions import progress
from unified.store.subscriptions.rows import Subscription, filters_of
from unified.store.subscriptions.subscriptions import FORMER_SECRET_SIGNS, Subscriptions
from unified.store.workspaces import workspaces
from unified.sync.subscriptions.deliver import LEASE, deliver
from unified.sync.subscriptions.sending import send_test

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Add, list, pause, resume, rotate and remove subscriptions: what changes in a list is delivered to a URL of "
    "yours. SUBSCRIPTION is `workspace/name`, or `name` where only one workspace has it.",
)

SubscriptionName = Annotated[
    str, typer.Argument(help="The subscription, as `workspace/name` or `name`.", metavar="SUBSCRIPTION")
]


@app.command()
@asynchronous
async def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    which: Annotated[
        str,
        typer.Argument(help="customers, invoices, events, records or identities.", metavar="LIST"),
    ],
    url: Annotated[str, typer.Argument(help="Where changes are delivered.")],
    *,
    workspace: Annotated[str, typer.Option(help="Whose changes.")] = DEFAULT_WORKSPACE,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILTER=VALUE", help="Only records that pass, by a filter of the records API. Repeatable."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Deliver all that is stored first.")
    ] = False,
    allow_private_hosts: Annotated[
        bool, typer.Option("--allow-private-hosts", help="The URL may lead to a loopback or private address.")
    ] = False,
) -> None:
    """Add a subscription, and print the secret that signs its deliveries.

    From now on each customer, invoice, event or record that changes is sent there in its present state, signed by
    Standard Webhooks, at least once. `unified dev` and Dagster's daemon deliver; `unified subscriptions deliver` does
    it at once.
    """
    async with open_session() as session:
        owner = await workspaces.find(session.db, workspace)
        made, secret = await _subscriptions(session).add(
            owner.id,
            name,
            which,
            url,
            filters=_filters(where),
            allow_private=allow_private_hosts,
            from_the_start=everything,
        )
    say(
        f"Added {owner.slug}/{made.name}. Its deliveries are signed with this secret, which is not shown again:"
    )
    out.print(secret.reveal(), soft_wrap=True)


@app.command("list")
@asynchronous
async def list_(*, as_json: AsJson = False) -> None:
    """List subscriptions and how they stand."""
    async with open_session() as session:
        found = [
            {
                **described(one, owner.slug),
                "undelivered": [asdict(each) for each in await _undelivered(session, one)],
            }
            for owner in await workspaces.listed(session.db)
            for one in await _subscriptions(session).listed(owner.id)
        ]
    if as_json:
        print_json(found)
        return
    table(
        ("SUBSCRIPTION", "LIST", "URL", "STATE", "DELIVERED", "UNDELIVERED", "ERROR"),
        (
            (
                each["subscription"],
                each["list"],
                each["url"],
                each["state"],
                each["delivered"],
                len(each["undelivered"]) or "",
                each["error"] or "",
            )
            for each in found
        ),
        empty="There are no subscriptions yet; `unified subscriptions add` makes one.",
    )


@app.command()
@asynchronous
async def change(
    name: SubscriptionName,
    *,
    url: Annotated[str | None, typer.Option(help="Where changes are delivered from now on.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILTER=VALUE", help="Only records that pass, instead of the former ones. Repeatable."
        ),
    ] = None,
    everything_passes: Annotated[
        bool, typer.Option("--no-filters", help="All records, from now on.")
    ] = False,
    allow_private_hosts: Annotated[
        bool | None, typer.Option(help="Whether the URL may lead to a loopback or private address.")
    ] = None,
) -> None:
    """Deliver to another URL, or other records, from where it stands. The secret stays; what is left out stays too."""
    if where and everything_passes:
        raise UsageError("--where and --no-filters contradict each other")
    async with open_session() as session:
        await _subscriptions(session).change(
            await _find(session, name),
            url=url,
            filters=_filters(where) if where or everything_passes else None,
            allow_private=allow_private_hosts,
        )


@app.command()
@asynchronous
async def pause(name: SubscriptionName) -> None:
    """Deliver nothing until it is resumed; what changes meanwhile comes afterwards."""
    async with open_session() as session:
        await _subscriptions(session).set_active(await _find(session, name), is_active=False)


@app.command()
@asynchronous
async def resume(name: SubscriptionName) -> None:
    """Go on where it stood: one that was paused, has ended, or waits for its receiver."""
    async with open_session() as session:
        await _subscriptions(session).set_active(await _find(session, name), is_active=True)


@app.command()
@asynchronous
async def rotate(
    name: SubscriptionName,
    *,
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Have no former secret sign any more, instead of for a day.")
    ] = False,
) -> None:
    """Give it another secret, and print it this once.

    For a day each delivery carries a signature by the former secret too, so a receiver that verifies by either takes
    it. Those from before sign for as long as they would have.
    """
    async with open_session() as session:
        kept = timedelta() if leaked else FORMER_SECRET_SIGNS
        made = await _subscriptions(session).rotate(await _find(session, name), keep_former=kept)
    say("Its deliveries are signed with this secret, which is not shown again:")
    out.print(made.secret.reveal(), soft_wrap=True)
    if made.former:
        say(f"Until {made.former[0].until.astimezone(UTC):%Y-%m-%d %H:%M} UTC the former one signs them too.")


@app.command()
@asynchronous
async def remove(name: SubscriptionName, *, yes: Yes = False) -> None:
    """Remove a subscription, with what it could not deliver."""
    async with open_session() as session:
        found = await _find(session, name)
        confirm(f"Remove the subscription {found.name}?", yes=yes)
        await _subscriptions(session).remove(found)


@app.command()
@asynchronous
async def replay(name: SubscriptionName) -> None:
    """Have all that its receiver refused sent again, in its present state."""
    async with open_session() as session:
        found = await _find(session, name)
        count = await _subscriptions(session).replay(found)
    say(f"{count} record(s) of {name} will be sent again.")


@app.command()
@asynchronous
async def test(name: SubscriptionName) -> None:
    """Send its receiver one signed message of type subscription.test, also where it is paused or waits."""
    async with open_session() as session:
        outcome = await send_test(_subscriptions(session), await _find(session, name))
    if outcome.verdict != "taken":
        raise CommandError(f"{name} did not take the test message: {outcome.error}")
    say(f"{name} took the test message.")


@app.command("deliver")
@asynchronous
async def deliver_(*, as_json: AsJson = False) -> None:
    """Deliver now what changed, to all subscriptions, unless another process does."""
    async with open_session() as session, session.db.exclusive(LEASE) as is_ours:
        if not is_ours:
            raise CommandError("another process delivers at present; it takes what changes with it")
        results = await deliver(session.db, session.credentials())
        waiting = [
            (f"{owner.slug}/{one.name}", one.retry_at, one.error)
            for owner in await workspaces.listed(session.db)
            for one in await _subscriptions(session).listed(owner.id)
            if one.is_active and one.retry_at
        ]
    if as_json:
        print_json([asdict(one) for one in results])
    elif results or not waiting:
        table(
            ("SUBSCRIPTION", "DELIVERED", "REFUSED", "ERROR"),
            ((one.name, one.taken, one.refused, one.error or "") for one in results),
            empty="Nothing changed that has not been delivered.",
        )
    for key, at, error in waiting:
        say(
            f"{key} waits until {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: {error}; "
            f"`unified subscriptions resume {key}` lets it be asked at once."
        )


def described(one: Subscription, workspace: str) -> dict[str, Any]:
    """A subscription as JSON shows it, without its secret."""
    return {
        "subscription": f"{workspace}/{one.name}",
        "list": one.list,
        "filters": one.filters,
        "url": one.url,
        "state": one.state,
        "delivered": one.delivered,
        "error": one.error,
        "retry_at": one.retry_at,
    }


def _subscriptions(session: Session) -> Subscriptions:
    return Subscriptions(session.db, session.credentials(), actor=ACTOR)


async def _undelivered(session: Session, one: Subscription) -> list[progress.Undelivered]:
    async with session.db.workspace(one.workspace_id) as conn:
        return await progress.undelivered(conn, one)


async def _find(session: Session, name: str) -> Subscription:
    slug, _, own = name.rpartition("/")
    owners = [await workspaces.find(session.db, slug)] if slug else await workspaces.listed(session.db)
    found = [
        one for owner in owners for one in await _subscriptions(session).listed(owner.id) if one.name == own
    ]
    if len(found) > 1:
        raise UsageError(f"several workspaces have a subscription {own}; say workspace/{own}")
    return found[0] if found else await _subscriptions(session).find(owners[0].id, own)


def _filters(given: list[str] | None) -> dict[str, list[str]]:
    try:
        return filters_of(given or ())
    except InvalidSettingError as error:
        raise UsageError(f"--where: {error}") from None
