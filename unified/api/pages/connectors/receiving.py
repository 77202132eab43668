"""`/connectors/receive` and `/connectors/{id}/receive`: a generic webhook from its URL to rules that are in force.

Made, tested, seen, mapped and put in force by what the API does for each: connections, endpoints, rules and replay. A
test is delivered to the ingress itself, inside this process. What a draft is tried on is said by
`unified.sync.connectors.receiving`.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
from fastapi import Request, Response
from pydantic import SecretStr, ValidationError

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.endpoints import received
from unified.api.management.endpoints import webhooks as api
from unified.api.management.endpoints.connections import connections as configs
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.connectors.desk import keys_of, picks_of
from unified.api.pages.route import NO_SUCH_PAGE, Form, refusal, router
from unified.api.pages.view import indented, render, see_other
from unified.kit.errors import ConfigurationError, counted
from unified.kit.registry import get_adapter, get_verifier
from unified.kit.webhooks.generic import GENERIC, Reading, body_of
from unified.kit.webhooks.probes import probe_delivery
from unified.kit.webhooks.signatures import Probe
from unified.store.connections.rows import Connection
from unified.store.errors import StoreError
from unified.store.inbox.endpoints import Endpoint, Endpoints
from unified.store.inbox.events import StoredEvent
from unified.sync.connectors import receiving
from unified.sync.connectors.receiving import Draft, Received

NEW = "/connectors/receive"
_WEBHOOKS = Rule("webhooks:write", in_workspace=True)
_TYPE = "type."
# What a form asks for by itself; an option of the proof is a line of text.
_READ = Reading.__struct_fields__
_CUSTOMER = {"id": "c1", "name": "Ann", "contact": {"mail": "ann@example.com"}}
_DONE = {
    "activate": "It is in force: what comes from now on is mapped so, and what was received is applied anew."
}

routes = router()


@routes.get(NEW)
async def ask(request: Request, caller: configs.Writer) -> Response:
    """Ask what the connection is called, and what proves a delivery."""
    _WEBHOOKS.check(caller)
    return _new(request, {})


@routes.post(NEW)
async def make(request: Request, caller: configs.Writer, services: Use, form: Form) -> Response:
    """Make a connection with its endpoint, and show the URL and the secret this once."""
    _WEBHOOKS.check(caller)
    try:
        options = _lines(form.get("options", "")) | {
            name: text for name in _READ if (text := form.get(name, "").strip())
        }
        secret = form.get("secret", "").strip()
        new = configs.NewConfig(connector=receiving.CONNECTOR, name=form.get("name", "").strip())
        endpoint = api.NewWebhook(
            verifier=form.get("verifier", ""), options=options, secret=SecretStr(secret) if secret else None
        )
        verifier = get_verifier(form.get("verifier", ""), options)  # refused before there is a connection
        connection = await configs.add(caller, services, new)
        made = await api.make_webhook(caller, services, connection.id, endpoint)
    except ValidationError:
        problem = Problem(
            422, "The name takes lower-case letters, digits and hyphens; an option 200 characters."
        )
        return _new(request, form, problem)
    except (Problem, ConfigurationError, StoreError) as error:
        return _new(request, form, refusal(error))
    has_proof = bool(secret or made.secret) or not verifier.needs_secret
    stream = receiving.streams()[0]
    return await _page(request, caller, services, connection, stream, made=made, has_proof=has_proof)


@routes.get("/connectors/{connection_id}/receive")
async def show(
    request: Request,
    caller: configs.Writer,
    services: Use,
    connection_id: UUID,
    stream: str = "",
    done: str = "",
) -> Response:
    """What was received, and what is in force for a stream."""
    connection = await _connection(caller, services, connection_id)
    chosen = stream or receiving.streams()[0]
    if chosen not in receiving.streams():
        raise NO_SUCH_PAGE
    return await _page(request, caller, services, connection, chosen, notice=_DONE.get(done))


@routes.post("/connectors/{connection_id}/receive")
async def work(
    request: Request, caller: configs.Writer, services: Use, connection_id: UUID, form: Form
) -> Response:
    """Do what a button says with the draft in the form, and show it all again."""
    connection = await _connection(caller, services, connection_id)
    stream, text = form.get("stream", ""), form.get("source", "").replace("\r\n", "\n")
    if stream not in receiving.streams():
        raise NO_SUCH_PAGE
    notice = None
    try:
        match form.get("action"):
            case "pick":
                text = await asyncio.to_thread(_picked, text, stream, form)
            case "send":
                notice = await _send(request, caller, services, connection, form)
            case "activate":
                draft = await asyncio.to_thread(receiving.read, text)
                await _activate(caller, services, connection, stream, draft)
                return see_other(f"/connectors/{connection.id}/receive?stream={stream}&done=activate")
    except (Problem, ConfigurationError, StoreError) as error:
        return await _page(request, caller, services, connection, stream, text=text, problem=refusal(error))
    return await _page(request, caller, services, connection, stream, text=text, notice=notice)


async def _connection(caller: Caller, services: Services, connection_id: UUID) -> Connection:
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    if not get_adapter(connection.connector).settings_from_deliveries:
        raise NO_SUCH_PAGE
    return connection


def _picked(text: str, stream: str, form: Mapping[str, str]) -> str:
    keys = keys_of(form.get("records", "[]"))
    types = [name.removeprefix(_TYPE) for name in form if name.startswith(_TYPE)]
    return receiving.with_picks(text, stream, types, keys, picks_of(form))


async def _send(
    request: Request, caller: Caller, services: Services, connection: Connection, form: Mapping[str, str]
) -> str:
    """Deliver a body that somebody typed, signed as the endpoint's sender signs; what the ingress answered.

    Raises:
        Problem: If it was not taken.
        ConfigurationError: If it can't be signed here.
    """
    _WEBHOOKS.check(caller)
    endpoints = Endpoints(services.db, services.credentials, actor=caller.actor)
    endpoint = await _endpoint(endpoints, connection)
    if endpoint is None:
        raise Problem(422, "The connection has no endpoint that takes deliveries; add one at Webhooks.")
    verifier = get_verifier(endpoint.verifier, endpoint.options)
    secret = await endpoints.secret(endpoint, purpose="webhook.test") if verifier.needs_secret else None
    path = f"/webhooks/{connection.connector}/{endpoint.path}"
    url = f"{services.settings.public_url}{path}"
    probe = Probe(f"unified_{uuid4().hex}", datetime.now(UTC))
    sent = probe_delivery(verifier, url, secret, probe, form.get("body", "").encode())
    transport = httpx.ASGITransport(request.app.state.ingress)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingress") as client:
        headers = [(name.encode(), value) for name, value in sent.headers.items()]
        answer = await client.post(path, content=sent.body, headers=headers)
    if not answer.is_success:
        said = " ".join(answer.text.split())[:200]
        raise Problem(422, f"The delivery was refused: {answer.status_code} {said or answer.reason_phrase}")
    return f"It was delivered, signed as {endpoint.verifier}. One that came before is not kept twice."


async def _activate(
    caller: Caller, services: Services, connection: Connection, stream: str, draft: Draft
) -> None:
    """Put rules and setting in force, and have what was received applied by them."""
    _WEBHOOKS.check(caller)
    await receiving.activate_rules(services.db, connection, stream, draft, actor=caller.actor)
    wanted = configs.ConfigChange(settings={stream: dict(draft.carried)})
    await configs.change(caller, services, connection, wanted, test=False)
    again = received.Replay(since=connection.created_at)
    await received.replay_events(caller, services, connection.id, again)


async def _endpoint(endpoints: Endpoints, connection: Connection) -> Endpoint | None:
    """The oldest endpoint that takes deliveries."""
    return next((one for one in await endpoints.list(connection) if one.is_active), None)


def _new(request: Request, form: Mapping[str, str], problem: Problem | None = None) -> Response:
    shown = {name: value for name, value in form.items() if name != "secret"}
    return render(request, "receive_new.html", verifiers=sorted(GENERIC), form=shown, problem=problem)


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    connection: Connection,
    stream: str,
    *,
    text: str | None = None,
    made: api.MadeWebhook | None = None,
    has_proof: bool = True,
    notice: str | None = None,
    problem: Problem | None = None,
) -> Response:
    form: dict[str, str] = getattr(request.state, "form", {})
    shows_values = "values" in form and "records:raw" in caller.permissions
    if text is None:
        text = await receiving.stored(services.db, connection, stream)
    found, fault = await _tried(services, connection, stream, text, masked=not shows_values)
    endpoint = await _endpoint(Endpoints(services.db, services.credentials, actor=caller.actor), connection)
    return render(
        request,
        "receive.html",
        connection=connection,
        endpoint=endpoint,
        made=made,
        has_proof=has_proof,
        stream=stream,
        streams=receiving.streams(),
        source=text,
        is_in_force=stream in connection.settings,
        found=found,
        deliveries=[(one, _body(one, masked=not shows_values)) for one in found.events],
        places=[(one, ".".join(one.keys), msgspec.json.encode(one.keys).decode()) for one in found.places],
        records_at=_records_at(text),
        fields=[(one, receiving.targets(stream, one.path)) for one in found.fields],
        shows_values=shows_values,
        sample=form["body"] if "body" in form else _sample(endpoint),
        notice=notice,
        problem=problem,
        fault=fault,
    )


def _sample(endpoint: Endpoint | None) -> str:
    """A body that says its event where the endpoint reads it."""
    options = endpoint.options if endpoint else {}
    reading = msgspec.convert({name: options[name] for name in _READ if name in options}, Reading)
    further = {"data.customer": _CUSTOMER}
    return indented(msgspec.Raw(body_of(reading, "evt_1", "customer.created", datetime.now(UTC), further)))


async def _tried(
    services: Services, connection: Connection, stream: str, text: str, *, masked: bool
) -> tuple[Received, str | None]:
    """A draft on what was received; where it can't be read, an empty one, and why."""
    try:
        draft = await asyncio.to_thread(receiving.read, text)
        return await receiving.try_draft(services.db, connection, stream, draft, masked=masked), None
    except (ConfigurationError, StoreError) as error:
        fault, empty = refusal(error).detail, receiving.Draft({"id": "id"}, ())
        return await receiving.try_draft(services.db, connection, stream, empty, masked=masked), fault


def _records_at(text: str) -> str:
    try:
        return str(receiving.read(text).carried.get("records", ""))
    except ConfigurationError:
        return ""


def _body(one: StoredEvent, *, masked: bool) -> msgspec.Raw:
    """A delivery as the page shows it."""
    if not masked:
        return msgspec.Raw(one.event.body)
    try:
        return msgspec.Raw(msgspec.json.encode(receiving.shapes(msgspec.json.decode(one.event.body))))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return msgspec.Raw(f"{counted(len(one.event.body), 'byte')} not in JSON".encode())


def _lines(text: str) -> dict[str, str]:
    """Options, a line each.

    Raises:
        Problem: If a line is not one.
    """
    found: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.partition("=")
        if line.strip() and not equals:
            raise Problem(422, f"Line {number} of the options is not one: write it as header=x-signature.")
        if line.strip():
            found[name.strip()] = value
    return found
