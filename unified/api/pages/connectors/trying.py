"""By whose secrets a draft of a connector document is tried: a connection's, or those that somebody types."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

from pydantic import ValidationError

from unified.api.management.access.callers import Caller
from unified.api.management.destinations import destination_check
from unified.api.management.problems import Problem
from unified.api.management.services import Services
from unified.api.pages import forms
from unified.api.pages.route import NO_SUCH_PAGE
from unified.kit.document.engine import DocumentAdapter
from unified.kit.document.model import Document
from unified.kit.document.settings import DocumentConfig
from unified.kit.settings import checked_settings
from unified.store.connectors import documents
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.connectors.installing import as_installed
from unified.sync.connectors.trying import refuse_growth, secret_fields, with_secrets


async def connected(
    caller: Caller, services: Services, connection: str, document: Document, kind: type[DocumentAdapter]
) -> DocumentAdapter:
    """A draft as a stored connection runs it, where it reaches no further than what is installed.

    Args:
        caller: Who tries it: by a connection that takes the permissions to sync and to see raw records.
        services: Those of the API.
        connection: The connection's id, as a form has it.
        document: The draft.
        kind: What it makes.

    Raises:
        Problem: If the caller may not, or it is a connection to something else.
        ConnectionNotFoundError, ConnectionNotApprovedError: If the workspace has none that may be used.
        ConfigurationError: If the draft reaches further.
    """
    if missing := {"connections:sync", "records:raw"} - caller.permissions:
        raise Problem(
            403, f"A connection's secrets are used for this, which takes {' and '.join(sorted(missing))}."
        )
    try:
        connection_id = UUID(connection)
    except ValueError:
        raise NO_SUCH_PAGE from None
    found = await services.registry.get_connection(caller.workspace_id, connection_id)
    if found.connector != kind.name:
        raise Problem(422, f"{found.key} is a connection to {found.connector}, and the draft is {kind.name}.")
    installed = await documents.seen_by(services.db, caller.workspace_id, kind.name)
    refuse_growth(
        await asyncio.to_thread(as_installed, installed[0]) if installed else None, (document, kind)
    )
    source = AuthorizedConnections(services.db, services.credentials, actor=caller.actor)
    opened = await source.open_connection(caller.workspace_id, connection_id, purpose="try")
    try:
        config = kind.config_model.model_validate(dict(opened.settings))
    except ValidationError:
        raise Problem(422, f"The settings of {found.key} do not fit the draft.") from None
    assert isinstance(config, DocumentConfig)  # noqa: S101 - of a document
    return kind(config, opened.credentials, opened.ref, tokens=opened.tokens)


def typed(
    caller: Caller, services: Services, kind: type[DocumentAdapter], form: Mapping[str, str]
) -> DocumentAdapter:
    """A draft with secrets and settings that were typed, which are kept nowhere.

    Raises:
        Problem: If a secret is missing.
        UnusableSettingsError: If settings do not fit, or lead where the installation opens nothing.
    """
    check = destination_check(services.settings.management.open_hosts)
    settings = checked_settings(kind, forms.typed(kind, form), check)
    fields = secret_fields(kind)
    secrets = forms.secrets(fields, form)
    if missing := [one.label for one in fields if one.name not in secrets]:
        raise Problem(422, f"Type {' and '.join(missing)}, or choose a connection.")
    return with_secrets(kind, settings, secrets, caller.workspace_id)
