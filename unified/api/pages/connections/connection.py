"""`/connectors` and `/connectors/{id}`: a workspace's connections, how each stands, and what can be done about it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import SecretStr, ValidationError

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.endpoints import webhooks
from unified.api.management.endpoints.connections import connections as configs
from unified.api.management.endpoints.connections import credentials, oauth, syncs
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages import chart
from unified.api.pages.connections import progress
from unified.api.pages.data.set_aside import replay_letters
from unified.api.pages.route import Form, refusal, router, version_of
from unified.api.pages.view import render, see_other
from unified.kit.registry import discover_adapters
from unified.store.connections import rows as stored
from unified.store.connections import statistics
from unified.store.connections.rows import Connection
from unified.store.records import burials, history, rejects
from unified.store.records.counts import kept
from unified.store.records.tables import StreamKey
from unified.sync.columns.seen import unseen

PER_PAGE = 50
_PULLS_DRAWN, _PULLS_LISTED, _REJECTS_LISTED = 120, 12, 20

Approver = Annotated[Caller, Depends(Rule("connections:approve", in_workspace=True))]
CredentialWriter = Annotated[Caller, Depends(Rule("credentials:write", in_workspace=True))]

# What was done, for the page after it: the address names it, and says nothing itself.
DONE = {
    "added": "The connection was added.",
    "loads": "The connection was added. Its first load begins by itself within a minute, where Dagster runs.",
    "sync": "A sync was asked for. It begins within seconds, once Dagster has taken it up.",
    "bury": "What is gone will be marked as deleted by a sync, which was asked for.",
    "test": "The provider accepts the credentials.",
    "tested": "Nothing was refused; it takes no credentials.",
    "pause": "It is paused: no sync by schedule.",
    "resume": "It is synced by schedule again.",
    "approve": "It is approved and may be used.",
    "reject": "It is rejected and stays unused.",
    "settings": "The settings were changed; the next sync goes by them.",
    "credentials": "The new credentials were accepted by the provider and stored.",
    "stored": "The credentials were stored.",
    "remove": "The connection was removed, with its records, webhooks, routes and history.",
    "authorize": "The connection is authorized.",
}

routes = router()


class Health(NamedTuple):
    """How a connection stands, in a word; and how good that is."""

    word: str
    tone: str


def health(connection: Connection) -> Health:
    """How a connection stands: what a person has to do comes before what happens by itself."""
    if connection.approval != "approved":
        return {
            "pending": Health("waits for approval", "warn"),
            "rejected": Health("rejected", "bad"),
        }[connection.approval]
    if connection.needs_reauth:
        return Health("needs authorization", "bad")
    if connection.sync_status == "syncing":
        return Health("syncing", "busy")
    if connection.sync_requested_at:
        return Health("sync requested", "busy")
    if connection.waits_until:
        return Health("waits for its provider", "warn")
    if connection.sync_status == "error":
        return Health("failing", "bad")
    if not connection.is_active:
        return Health("paused", "idle")
    return {"success": Health("healthy", "good")}.get(
        connection.sync_status, Health("not synced yet", "idle")
    )


@routes.get("/connectors")
async def list_connections(
    request: Request, caller: configs.Reader, services: Use, after: str = "", done: str = ""
) -> Response:
    """The workspace's connections."""
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await stored.page(conn, after=after, limit=PER_PAGE + 1)
        rows = await statistics.live_records(conn, [one.id for one in found[:PER_PAGE]])
    return render(
        request,
        "connections.html",
        connections=[(one, health(one), rows[one.id]) for one in found[:PER_PAGE]],
        names=_display_names(),
        notice=DONE[done] if done == "remove" else None,
        is_first=not after,
        next_after=found[PER_PAGE - 1].name if len(found) > PER_PAGE else None,
    )


@routes.get("/connectors/{connection_id}")
async def show_connection(
    request: Request,
    caller: configs.Reader,
    services: Use,
    connection_id: UUID,
    done: str = "",
    since: progress.Moment = None,
) -> Response:
    """One connection; a sync that is under way, or was asked for, is followed."""
    return await _page(request, caller, services, connection_id, notice=DONE.get(done), since=since)


@routes.post("/connectors/{connection_id}/sync")
async def sync(
    request: Request, caller: syncs.Syncer, services: Use, connection_id: UUID, form: Form
) -> Response:
    """Ask for a sync."""

    async def work() -> str:
        asked = await syncs.ask_for_sync(caller, services, connection_id, full="full" in form)
        return f"&since={asked.requested_at.timestamp()}"

    return await _carry_out(request, caller, services, connection_id, "sync", work)


@routes.post("/connectors/{connection_id}/bury")
async def bury(request: Request, caller: configs.Writer, services: Use, connection_id: UUID) -> Response:
    """Say that what a full refresh did not find is gone."""

    async def work() -> None:
        await syncs.confirm_burials(caller, services, connection_id)

    return await _carry_out(request, caller, services, connection_id, "bury", work)


@routes.post("/connectors/{connection_id}/test")
async def test(request: Request, caller: syncs.Syncer, services: Use, connection_id: UUID) -> Response:
    """Ask the provider about the credentials."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    adapter = discover_adapters().get(connection.connector)
    done = "test" if adapter is None or adapter.takes_credential() else "tested"

    async def work() -> None:
        outcome = await syncs.test_stored(caller, services, connection_id)
        if not outcome.ok:
            raise Problem(422, f"The test failed: {outcome.reason}")

    return await _carry_out(request, caller, services, connection_id, done, work)


@routes.post("/connectors/{connection_id}/pause")
async def pause(request: Request, caller: configs.Writer, services: Use, connection_id: UUID) -> Response:
    """Stop syncing it by schedule."""

    async def work() -> None:
        await configs.pause_connection(caller, services, connection_id)

    return await _carry_out(request, caller, services, connection_id, "pause", work)


@routes.post("/connectors/{connection_id}/resume")
async def resume(request: Request, caller: configs.Writer, services: Use, connection_id: UUID) -> Response:
    """Sync it by schedule again."""

    async def work() -> None:
        await configs.resume_connection(caller, services, connection_id)

    return await _carry_out(request, caller, services, connection_id, "resume", work)


@routes.post("/connectors/{connection_id}/approve")
async def approve(
    request: Request, caller: Approver, services: Use, connection_id: UUID, form: Form
) -> Response:
    """Let it be used, in the version that was looked at."""

    async def work() -> None:
        await configs.approve_connection(caller, services, connection_id, version_of(form))

    return await _carry_out(request, caller, services, connection_id, "approve", work)


@routes.post("/connectors/{connection_id}/reject")
async def reject(
    request: Request, caller: Approver, services: Use, connection_id: UUID, form: Form
) -> Response:
    """Keep it from being used."""

    async def work() -> None:
        await configs.reject_connection(caller, services, connection_id, version_of(form))

    return await _carry_out(request, caller, services, connection_id, "reject", work)


@routes.post("/connectors/{connection_id}/credentials")
async def put_credentials(
    request: Request, caller: CredentialWriter, services: Use, connection_id: UUID, form: Form
) -> Response:
    """Replace secrets, once the provider has accepted them."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    # The credential of a connection that waits for approval is not used, nor to try it.
    is_tried = connection.approval == "approved"

    async def work() -> None:
        fields = {name: SecretStr(value) for name, value in form.items() if value}
        if not fields:
            raise Problem(422, "Nothing was entered.")
        new = credentials.NewCredentials(fields=fields)
        await credentials.put_credentials(caller, services, connection_id, new, test=is_tried)

    done = "credentials" if is_tried else "stored"
    return await _carry_out(request, caller, services, connection_id, done, work)


@routes.post("/connectors/{connection_id}/authorize")
async def authorize(
    request: Request, caller: CredentialWriter, services: Use, connection_id: UUID, form: Form
) -> Response:
    """Send the browser to the provider, in the name of an app of its own or the usual one.

    By a page: a browser that follows the policy on forms would not let one lead to another host.
    """
    try:
        own = {
            name: form[name].strip() for name in ("client_id", "client_secret") if form.get(name, "").strip()
        }
        wanted = oauth.WantedAuthorization(app=oauth.OwnApp.model_validate(own) if own else None)
        begun, proof = await oauth.begin(caller, services, connection_id, wanted)
    except ValidationError:
        both = Problem(422, "An OAuth app of its own needs both a client id and a client secret.")
        return await _page(request, caller, services, connection_id, problem=both)
    except Problem as problem:
        return await _page(request, caller, services, connection_id, problem=problem)
    if begun.url is None:
        return see_other(f"/connectors/{connection_id}?done=authorize")
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    page = render(request, "leave.html", url=begun.url, name=_display_names()[connection.connector])
    if proof:
        proof.from_page(services.settings, page)
    return page


@routes.post("/connectors/{connection_id}/remove")
async def remove(
    request: Request, caller: configs.Writer, services: Use, connection_id: UUID, form: Form
) -> Response:
    """Remove it with all that it brought, once its name was typed."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    if form.get("name", "").strip() != connection.name:
        problem = Problem(422, "Nothing was removed: what was typed is not the connection's name.")
        return await _page(request, caller, services, connection_id, problem=problem)
    await configs.remove_connection(caller, services, connection_id)
    return see_other("/connectors?done=remove")


@routes.post("/connectors/{connection_id}/replay")
async def replay(caller: webhooks.Writer, services: Use, connection_id: UUID, form: Form) -> Response:
    """Have dead letters tried again: one, or all of the connection's."""
    await replay_letters(caller, services, connection_id, form)
    return see_other("/webhooks?done=replay")


async def _carry_out(
    request: Request,
    caller: Caller,
    services: Services,
    connection_id: UUID,
    done: str,
    work: Callable[[], Awaitable[str | None]],
) -> Response:
    """Do something, and show the connection with the outcome; what is returned goes on in its page's address."""
    try:
        further = await work()
    except Exception as error:  # noqa: BLE001 - what is not shown here is raised again
        return await _page(request, caller, services, connection_id, problem=refusal(error))
    return see_other(f"/connectors/{connection_id}?done={done}{further or ''}")


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    connection_id: UUID,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    since: float | None = None,
) -> Response:
    async with services.db.workspace(caller.workspace_id) as conn:
        connection = await stored.read_connection(conn, connection_id)
        adapter = discover_adapters().get(connection.connector)
        pulls = await history.recent(conn, connection_id, limit=_PULLS_DRAWN)
        set_aside = (
            await rejects.listed(conn, connection_id, limit=_REJECTS_LISTED + 1)
            if "records:read" in caller.permissions
            else []
        )
        waiting = await burials.waiting(conn, connection_id)
        reads = [stream.name for stream in adapter.chosen(connection.streams)] if adapter else []
        counts = {
            stream.name: await kept.live_now(conn, StreamKey.of(connection, stream))
            for stream in (adapter.all_streams() if adapter else ())
        }
        moment = progress.moment_of(connection, since)
        runs = await history.since(conn, {connection_id: moment}) if moment else []
    followed = progress.shown(connection, reads, runs, moment) if moment else None
    dagster_url = services.settings.management.dagster_url
    return render(
        request,
        "connection.html",
        script=progress.SCRIPT if followed and not followed.progress.has_ended else None,
        connection=connection,
        followed=followed,
        health=health(connection),
        adapter=adapter,
        notice=notice,
        problem=problem,
        rows={name: count for name, count in counts.items() if count or name in reads},
        reads=reads,
        burials=waiting,
        bars=chart.bars(pulls),
        chart=chart,
        pulls=[syncs.shown_entry(pull, dagster_url) for pull in pulls[:_PULLS_LISTED]],
        rejects=set_aside[:_REJECTS_LISTED],
        has_more_rejects=len(set_aside) > _REJECTS_LISTED,
        secrets=await services.credentials.describe(caller.workspace_id, connection_id),
        unseen=await unseen(services.db, connection, connection.columns) if adapter else [],
    )


def _display_names() -> dict[str, str]:
    return {name: adapter.display_name for name, adapter in discover_adapters().items()}
