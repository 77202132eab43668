"""`/connectors/build`: a connector document written by form and by hand, tried against its API, saved, published.

The form is carried along whole with each button; nothing but drafts is kept, and no secret is ever part of a page.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import Query, Request, Response

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints.connections import documents as api
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages import forms
from unified.api.pages.connectors.desk import Desk, desk_of, with_form, with_picks
from unified.api.pages.connectors.marketplace import HOME as MARKETPLACE
from unified.api.pages.connectors.trying import connected, typed
from unified.api.pages.route import NO_SUCH_PAGE, Form, refusal, router
from unified.api.pages.view import render, see_other
from unified.kit.document.engine import DocumentAdapter
from unified.kit.document.model import Document
from unified.kit.errors import ConfigurationError
from unified.store.connections import rows as connections
from unified.store.connectors import documents, drafts
from unified.store.errors import StoreError
from unified.sync.connectors import building, templates
from unified.sync.connectors.difference import Difference, difference
from unified.sync.connectors.files import DOCUMENT, Files
from unified.sync.connectors.installing import as_installed
from unified.sync.connectors.offers import read_document
from unified.sync.connectors.starting import Start
from unified.sync.connectors.trying import Tried, secret_fields, try_stream
from unified.sync.connectors.usual import AUTH_KINDS, PAGING_KINDS

HOME = "/connectors/build"
_FIRST = Start("my_api", "https://api.example.com", "bearer", "none", "/customers", ("data",))
_SHOWN_IN_PLACE = frozenset({403, 409, 412, 422, 502})
_MOST_CONNECTIONS = 200
_LAST_EXCHANGES = 5

routes = router()


@routes.get(HOME)
async def begin(
    request: Request,
    caller: api.Installer,
    services: Use,
    draft: str = "",
    source: Annotated[str, Query(alias="from")] = "",
    done: str = "",
) -> Response:
    """Begin a document, or go on with a draft, with what is installed, or with a template."""
    desk = Desk(_FIRST.files()[DOCUMENT])
    if draft:
        async with services.db.workspace(caller.workspace_id) as conn:
            found = await drafts.get(conn, draft)
        desk = Desk(found.source, found.exchanges or "", found.name, found.revision)
    elif source:
        desk = await _existing(caller, services, source)
    notice = "The draft is saved." if done == "save" else None
    return await _page(request, caller, services, desk, notice=notice)


@routes.post(HOME)
async def work(request: Request, caller: api.Installer, services: Use, form: Form) -> Response:
    """Do what a button says with what is in the form, and show it all again."""
    desk = desk_of(form)
    try:
        if form.get("action") == "take" or form.get("edited") == "form":
            desk = await asyncio.to_thread(with_form, desk, form)
        desk = replace(desk, stream=form.get("stream", ""))
        match form.get("action"):
            case "try":
                return await _try(request, caller, services, desk, form)
            case "pick":
                desk = await asyncio.to_thread(with_picks, desk, form)
                return await _try(request, caller, services, desk, form)
            case "save":
                return await _save(caller, services, desk)
            case "publish":
                return await _publish(request, caller, services, desk, is_agreed="agreed" in form)
            case "discard":
                async with services.db.workspace(caller.workspace_id) as conn:
                    await drafts.remove(conn, desk.draft)
                return see_other(HOME)
    except (Problem, ConfigurationError, StoreError) as error:
        return await _page(request, caller, services, desk, problem=refusal(error, _SHOWN_IN_PLACE))
    return await _page(request, caller, services, desk)


async def _existing(caller: Caller, services: Services, name: str) -> Desk:
    """What is installed under a name, else the template."""
    for one in await documents.seen_by(services.db, caller.workspace_id, name):
        return Desk(one.source, one.exchanges or "")
    if name not in templates.names():
        raise NO_SUCH_PAGE
    files = templates.template(name)
    return Desk(files.document.decode(), (files.exchanges or b"").decode())


async def _read(desk: Desk) -> tuple[Document, type[DocumentAdapter]]:
    """The document and what it makes; away from the loop, as somebody's text is large."""
    document, adapter = await asyncio.to_thread(read_document, Files("document", desk.text.encode()))
    assert issubclass(adapter, DocumentAdapter)  # noqa: S101 - it is made of a document
    return document, adapter


async def _try(
    request: Request, caller: Caller, services: Services, desk: Desk, form: Mapping[str, str]
) -> Response:
    document, kind = await _read(desk)
    stream = desk.stream if desk.stream in document.said.streams else next(iter(document.said.streams))
    if desk.connection:
        adapter = await connected(caller, services, desk.connection, document, kind)
    else:
        adapter = typed(caller, services, kind, form)
    return await _page(request, caller, services, desk, tried=await try_stream(adapter, stream))


async def _save(caller: Caller, services: Services, desk: Desk) -> Response:
    value = await asyncio.to_thread(building.read_text, desk.text)
    name = str(value.get("id", ""))
    async with services.db.workspace(caller.workspace_id) as conn:
        await drafts.save(
            conn,
            caller.workspace_id,
            name,
            desk.text,
            desk.exchanges or None,
            revision=desk.revision if name == desk.draft else 0,
            actor=caller.actor,
        )
    return see_other(f"{HOME}?draft={name}&done=save")


async def _publish(
    request: Request, caller: Caller, services: Services, desk: Desk, *, is_agreed: bool
) -> Response:
    """Install the document for the workspace, or upgrade what is installed to it; the draft has served then."""
    document, kind = await _read(desk)
    said: dict[str, Any] = {"document": desk.text, "exchanges": desk.exchanges or None}
    installed = await documents.seen_by(services.db, caller.workspace_id, kind.name)
    if installed:
        before, after = (tuple(map(int, one.split("."))) for one in (installed[0].version, document.version))
        if after <= before:
            raise Problem(
                422, f"Version {installed[0].version} is installed; say a higher one than {document.version}."
            )
        changes = difference(await asyncio.to_thread(as_installed, installed[0]), (document, kind))
        if changes.grows and not is_agreed:
            return await _page(request, caller, services, desk, changes=changes)
        await api.upgrade_document(
            caller,
            services,
            kind.name,
            api.WantedDocument(**said, agreed=is_agreed),
        )
    else:
        await api.install_document(caller, services, api.WantedDocument(**said))
    if desk.draft == kind.name:
        async with services.db.workspace(caller.workspace_id) as conn:
            await drafts.remove(conn, desk.draft)
    return see_other(f"{MARKETPLACE}/{kind.name}?done={'upgrade' if installed else 'install'}")


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    desk: Desk,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    tried: Tried | None = None,
    changes: Difference | None = None,
) -> Response:
    value, kind, fault = await _looked_at(desk)
    stream = building.stream_of(value, desk.stream)
    async with services.db.workspace(caller.workspace_id) as conn:
        known = await drafts.listed(conn)
        usable = await connections.page(conn, connector=kind.name, limit=_MOST_CONNECTIONS) if kind else []
    said = value["streams"][stream] if stream else {}
    fields = building.fields_in(tried.records, said) if tried else []
    return render(
        request,
        "build.html",
        script="build.js",
        desk=replace(desk, stream=stream),
        form=building.as_form(value, stream),
        streams=list(value["streams"]) if stream else [],
        auth_kinds=AUTH_KINDS,
        paging_kinds=PAGING_KINDS,
        drafts=known,
        connections=usable,
        kind=kind,
        settings=forms.fields_of(kind) if kind else [],
        secrets=secret_fields(kind) if kind else [],
        typed=_shown_settings(request),
        tried=tried,
        exchanges=[(one, msgspec.Raw(one.answer.encode())) for one in (tried.exchanges if tried else ())][
            -_LAST_EXCHANGES:
        ],
        records_at=said.get("records", []) if isinstance(said, dict) else [],
        encoded=lambda keys: msgspec.json.encode(keys).decode(),
        fields=[(one, building.targets_of(str(said.get("entity")), one.path)) for one in fields],
        changes=changes,
        notice=notice,
        problem=problem,
        fault=fault,
    )


def _shown_settings(request: Request) -> dict[str, str]:
    """What was typed as settings; secrets are typed anew each time."""
    form: dict[str, str] = getattr(request.state, "form", {})
    return {name: text for name, text in form.items() if name.startswith(forms.PREFIX)}


async def _looked_at(desk: Desk) -> tuple[dict[str, Any], type[DocumentAdapter] | None, str | None]:
    """What the text says, what it makes, and what is wrong with it."""
    try:
        value = await asyncio.to_thread(building.read_text, desk.text)
    except ConfigurationError as error:
        return {}, None, str(error)
    try:
        _, kind = await _read(desk)
    except ConfigurationError as error:
        return value, None, str(error)
    return value, kind, None
