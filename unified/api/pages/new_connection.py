"""`/connectors/new`: a form from the settings that an adapter declares; nothing is stored that the provider refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request, Response
from pydantic import ValidationError

from unified.api.management.destinations import destination_check
from unified.api.management.endpoints.connections import connections as configs
from unified.api.management.problems import Problem, explained, unusable_value
from unified.api.management.services import Services, Use
from unified.api.pages import forms
from unified.api.pages.route import Form, router
from unified.api.pages.view import render, see_other
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import CredentialKind
from unified.kit.registry import adapters_for
from unified.kit.secrets import Secret
from unified.kit.settings import UnusableSettingsError, checked_settings
from unified.store.errors import DuplicateNameError
from unified.sync.connections import CredentialFieldsError
from unified.sync.errors import CredentialRefusedError

SECRET_PREFIX = "secret."  # noqa: S105 - a prefix
_SETTINGS = "/body/settings/"

routes = router()


@dataclass
class _Faults:
    """What is wrong with a form: by field, and all in all."""

    general: str | None = None
    by_field: dict[str, str] = field(default_factory=dict)


@routes.get("/connectors/new")
async def ask(request: Request, caller: configs.Writer, connector: str = "") -> Response:
    """Ask which connector, or for what the chosen one needs."""
    adapters = adapters_for(caller.workspace_id)
    if connector not in adapters:
        return render(request, "choose.html", adapters=list(adapters.values()))
    return _form(request, adapters[connector], {}, _Faults())


@routes.post("/connectors/new")
async def add(request: Request, caller: configs.Writer, services: Use, form: Form) -> Response:
    """Add a connection."""
    adapter = adapters_for(caller.workspace_id).get(form.get("connector", ""))
    if adapter is None:
        raise Problem(404, "There is no such connector.")
    faults = _Faults()
    new = _checked(adapter, form, services, faults)
    secrets = {
        one.name: Secret(value)
        for one in adapter.credential_fields
        if (value := form.get(f"{SECRET_PREFIX}{one.name}", "").strip())
    }
    if secrets and "credentials:write" not in caller.permissions:
        raise Problem(403, "This takes the permission credentials:write, which you do not have.")
    if new is None or faults.by_field:
        return _form(request, adapter, form, faults)
    try:
        added = await configs.add(caller, services, new, secrets)
    except CredentialFieldsError as error:
        missing = {f"{SECRET_PREFIX}{name}": "Is needed with the others." for name in error.missing}
        return _form(request, adapter, form, _Faults(by_field=missing))
    except CredentialRefusedError as error:
        first = adapter.credential_fields[0].name
        detail = explained(error).detail
        return _form(request, adapter, form, _Faults(by_field={f"{SECRET_PREFIX}{first}": detail}))
    except DuplicateNameError:
        taken = "There is a connection of that name already."
        return _form(request, adapter, form, _Faults(by_field={"name": taken}), 409)
    except Exception as error:
        refused = explained(error)
        if refused.status >= 500:  # noqa: PLR2004
            raise
        return _form(request, adapter, form, _Faults(refused.detail), refused.status)
    return see_other(f"/connectors/{added.id}?done=added")


def _checked(
    adapter: type[BaseAdapter[Any]], form: Mapping[str, str], services: Services, faults: _Faults
) -> configs.NewConfig | None:
    """The connection that a form describes; None, with the faults noted, where it describes none."""
    settings: dict[str, Any] = {}
    try:
        check = destination_check(services.settings.management.open_hosts)
        settings = checked_settings(adapter, forms.typed(adapter, form), check)
    except UnusableSettingsError as error:
        for one in explained(error).errors:
            name = one["pointer"].removeprefix(_SETTINGS).partition("/")[0]
            faults.by_field[f"{forms.PREFIX}{name}"] = _sentence(one["detail"])
    try:
        return configs.NewConfig.model_validate(
            {
                "connector": adapter.name,
                "name": form.get("name", "").strip(),
                "settings": settings,
                "streams": forms.streams(adapter, form),
                "sync_interval_minutes": form.get("sync_interval_minutes") or "60",
            }
        )
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            name = str(fault["loc"][0])
            faults.by_field[name] = _HINTS.get(name) or _sentence(unusable_value(fault)["detail"])
    return None


_HINTS = {"name": "Lower-case letters, digits and hyphens; a letter or digit at both ends."}


def _form(
    request: Request,
    adapter: type[BaseAdapter[Any]],
    form: Mapping[str, str],
    faults: _Faults,
    status: int | None = None,
) -> Response:
    fields = forms.fields_of(adapter)
    # Secrets are typed anew each time: none is ever part of a page.
    shown = {name: value for name, value in form.items() if not name.startswith(SECRET_PREFIX)}
    secrets = () if adapter.credential_kind is CredentialKind.OAUTH_TOKEN else adapter.credential_fields
    return render(
        request,
        "new.html",
        status or (422 if faults.by_field or faults.general else 200),
        adapter=adapter,
        required=[one for one in fields if one.is_required],
        optional=[one for one in fields if not one.is_required],
        secrets=secrets,
        streams=forms.streams(adapter, form) or [stream.name for stream in adapter.chosen()],
        form=shown,
        faults=faults,
        is_filled=bool(form),
        is_open=any(f"{forms.PREFIX}{one.name}" in faults.by_field for one in fields if not one.is_required),
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
