"""`/connectors/new`: a form from the settings that an adapter declares; nothing is stored that the provider refuses."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from pydantic import ValidationError

from unified.api.management.access.callers import Rule
from unified.api.management.destinations import destination_check
from unified.api.management.endpoints.connections import connections as configs
from unified.api.management.problems import Problem, explained
from unified.api.management.services import Services, Use
from unified.api.pages import forms
from unified.api.pages.forms import SECRET_PREFIX, Faults
from unified.api.pages.route import Form, router
from unified.api.pages.view import render, see_other
from unified.kit.adapter import BaseAdapter
from unified.kit.registry import adapters_for
from unified.kit.settings import UnusableSettingsError, checked_settings
from unified.store.errors import DuplicateNameError
from unified.sync.connections.wanted import CredentialFieldsError
from unified.sync.errors import CredentialRefusedError

routes = router()


@routes.get("/connectors/new")
async def ask(request: Request, caller: configs.Writer, connector: str = "") -> Response:
    """Ask which connector, or for what the chosen one needs."""
    adapters = adapters_for(caller.workspace_id)
    if connector not in adapters:
        return render(request, "choose.html", adapters=list(adapters.values()))
    return _form(request, adapters[connector], {}, Faults())


@routes.post("/connectors/new")
async def add(request: Request, caller: configs.Writer, services: Use, form: Form) -> Response:
    """Add a connection."""
    adapter = adapters_for(caller.workspace_id).get(form.get("connector", ""))
    if adapter is None:
        raise Problem(404, "There is no such connector.")
    faults = Faults()
    new = _checked(adapter, form, services, faults)
    secrets = forms.secrets(adapter.credential_fields, form)
    if secrets:
        Rule("credentials:write", in_workspace=True).check(caller)
    if new is None or faults.by_field:
        return _form(request, adapter, form, faults)
    try:
        added = await configs.add(caller, services, new, secrets)
    except CredentialFieldsError as error:
        missing = {f"{SECRET_PREFIX}{name}": "Is needed with the others." for name in error.missing}
        return _form(request, adapter, form, Faults(by_field=missing))
    except CredentialRefusedError as error:
        first = adapter.credential_fields[0].name
        detail = explained(error).detail
        return _form(request, adapter, form, Faults(by_field={f"{SECRET_PREFIX}{first}": detail}))
    except DuplicateNameError:
        taken = "There is a connection of that name already."
        return _form(request, adapter, form, Faults(by_field={"name": taken}), 409)
    except Exception as error:
        refused = explained(error)
        if refused.status >= 500:  # noqa: PLR2004
            raise
        return _form(request, adapter, form, Faults(refused.detail), refused.status)
    # Of OAuth, nothing is read before somebody has authorized it.
    loads = (
        added.approval == "approved"
        and adapter.chosen(added.streams)
        and (secrets or not adapter.takes_credential())
    )
    done = f"loads&since={added.created_at.timestamp()}" if loads else "added"
    return see_other(f"/connectors/{added.id}?done={done}")


def _checked(
    adapter: type[BaseAdapter[Any]], form: Mapping[str, str], services: Services, faults: Faults
) -> configs.NewConfig | None:
    """The connection that a form describes; None, with the faults noted, where it describes none."""
    settings: dict[str, Any] = {}
    try:
        check = destination_check(services.settings.management.open_hosts)
        settings = checked_settings(adapter, forms.typed(adapter, form), check)
    except UnusableSettingsError as error:
        faults.note_settings(error)
    try:
        return configs.NewConfig.model_validate(
            {
                "connector": adapter.name,
                "name": form.get("name", "").strip(),
                "settings": settings,
                **forms.reading(adapter, form),
            }
        )
    except ValidationError as error:
        faults.note(error)
    except ValueError as error:
        faults.by_field["columns"] = str(error)
    return None


def _form(
    request: Request,
    adapter: type[BaseAdapter[Any]],
    form: Mapping[str, str],
    faults: Faults,
    status: int | None = None,
) -> Response:
    shown = forms.asked(adapter, form, faults)
    return render(
        request,
        "new.html",
        status or (422 if faults.by_field or faults.general else 200),
        streams=forms.streams(adapter, form) or [stream.name for stream in adapter.chosen()],
        is_filled=bool(form),
        is_open=any(
            f"{forms.PREFIX}{one.name}" in faults.by_field for one in shown["fields"] if not one.is_required
        ),
        **shown,
    )
