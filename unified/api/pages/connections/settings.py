"""`/connectors/{id}/settings`: what a connection reads and how, in one form; the provider is asked before it is stored.

The rules are those of `unified.sync.connections`. Secrets go in here only with a setting that leads them elsewhere.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from pydantic import ValidationError

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.endpoints.connections import connections as configs
from unified.api.management.services import Services, Use
from unified.api.pages import forms
from unified.api.pages.forms import Faults
from unified.api.pages.route import NO_SUCH_PAGE, Form, refusal, router, version_of
from unified.api.pages.view import render, see_other
from unified.kit.adapter import BaseAdapter
from unified.kit.registry import discover_adapters
from unified.kit.settings import UnusableSettingsError
from unified.store.connections.rows import Connection

routes = router()


@routes.get("/connectors/{connection_id}/settings")
async def show(request: Request, caller: configs.Writer, services: Use, connection_id: UUID) -> Response:
    """The form, as the connection is."""
    connection, adapter = await _one(caller, services, connection_id)
    return _form(request, connection, adapter, forms.filled(adapter, connection), Faults())


@routes.post("/connectors/{connection_id}/settings")
async def change(
    request: Request, caller: configs.Writer, services: Use, connection_id: UUID, form: Form
) -> Response:
    """Change what was typed otherwise than it is, in the version that was looked at."""
    connection, adapter = await _one(caller, services, connection_id)
    faults = Faults()
    secrets = forms.secrets(adapter.credential_fields, form)
    if secrets:
        Rule("credentials:write", in_workspace=True).check(caller)
    wanted = _wanted(connection, adapter, form, faults)
    if wanted is None:
        return _form(request, connection, adapter, form, faults)
    held = secrets or await services.credentials.describe(caller.workspace_id, connection_id)
    is_tried = bool(
        held and connection.approval == "approved" and (wanted.settings or wanted.streams or secrets)
    )
    try:
        changed = await configs.change(
            caller, services, connection, wanted, secrets=secrets, if_version=version_of(form), test=is_tried
        )
    except UnusableSettingsError as error:
        faults.note_settings(error)
    except Exception as error:  # noqa: BLE001 - what is not shown here is raised again
        faults.general = refusal(error).in_full
    else:
        if not changed.notices:
            return see_other(f"/connectors/{connection_id}?done=settings")
        # Shown once, so not in an address. A reload sends the form again, which its version refuses.
        now = forms.filled(adapter, changed.connection)
        notices = ["The settings were changed.", *changed.notices]
        return _form(request, changed.connection, adapter, now, Faults(), notice=" ".join(notices))
    return _form(request, connection, adapter, form, faults)


def _wanted(
    connection: Connection, adapter: type[BaseAdapter[Any]], form: Mapping[str, str], faults: Faults
) -> configs.ConfigChange | None:
    """What a form has otherwise than the connection; None, with the faults noted, where that can't be said."""
    before = forms.filled(adapter, connection)
    old, new = forms.typed(adapter, before), forms.typed(adapter, form)
    settings = {name: new.get(name) for name in [*old, *new] if new.get(name) != old.get(name)}
    try:
        was, is_now = forms.reading(adapter, before), forms.reading(adapter, form)
        if adapter.streams and not is_now["streams"]:
            faults.general = "Choose at least one stream; to stop all syncs, pause the connection."
            return None
        other = {name: value for name, value in is_now.items() if value != was[name]}
        return configs.ConfigChange.model_validate({"settings": settings or None, **other})
    except ValidationError as error:
        faults.note(error)
    except ValueError as error:
        faults.by_field["columns"] = str(error)
    return None


async def _one(
    caller: Caller, services: Services, connection_id: UUID
) -> tuple[Connection, type[BaseAdapter[Any]]]:
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    adapter = discover_adapters().get(connection.connector)
    if adapter is None:  # its connector was uninstalled
        raise NO_SUCH_PAGE
    return connection, adapter


def _form(
    request: Request,
    connection: Connection,
    adapter: type[BaseAdapter[Any]],
    form: Mapping[str, str],
    faults: Faults,
    *,
    notice: str | None = None,
) -> Response:
    return render(
        request,
        "settings.html",
        422 if faults.by_field or faults.general else 200,
        connection=connection,
        streams=forms.streams(adapter, form),
        is_filled=True,
        notice=notice,
        **forms.asked(adapter, form, faults),
    )
