"""`/api/connectors`: the systems that can be connected, and what each of them needs."""

from dataclasses import dataclass
from typing import Any

from fastapi import Response

from unified.api.management.answers import json_answer
from unified.api.management.endpoints.connections.connections import Reader
from unified.api.management.paging import AskedPage, Page
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.kit.adapter import BaseAdapter
from unified.kit.registry import adapters_for

routes = router("/api/connectors", "Connectors")


@dataclass(frozen=True, slots=True)
class ConnectorSummary:
    """A connector in the list."""

    name: str
    display_name: str
    capabilities: list[str]
    streams: list[str]


@dataclass(frozen=True, slots=True)
class CredentialFieldShape:
    """A secret that a connection needs."""

    name: str
    label: str
    hint: str


@dataclass(frozen=True, slots=True)
class StreamShape:
    """A stream, and whether a pull brings it or only webhooks do."""

    name: str
    is_delivered_only: bool


@dataclass(frozen=True, slots=True)
class OAuthShape:
    """How a connection may be authorized instead: by these grants, the usual one first, for these scopes."""

    grants: list[str]
    scopes: list[str]


@dataclass(frozen=True, slots=True)
class Connector:
    """All that a form for a new connection needs; ``settings_schema`` is JSON Schema, draft 2020-12."""

    name: str
    display_name: str
    capabilities: list[str]
    streams: list[StreamShape]
    settings_schema: dict[str, Any]
    credential_kind: str
    credential_fields: list[CredentialFieldShape]
    oauth: OAuthShape | None
    verifiers: list[str]


@routes.get("", response_model=Page[ConnectorSummary])
async def list_connectors(caller: Reader, page: AskedPage) -> Response:
    """List the systems that can be connected."""
    after = page.after(str) or ""
    found = [
        ConnectorSummary(
            adapter.name,
            adapter.display_name,
            sorted(adapter.capabilities),
            [stream.name for stream in (*adapter.streams, *adapter.delivered_streams)],
        )
        for name, adapter in adapters_for(caller.workspace_id).items()
        if name > after
    ]
    return page.answer(found[: page.fetch], key=lambda connector: connector.name)


@routes.get("/{name}", response_model=Connector)
async def get_connector(caller: Reader, name: str) -> Response:
    """Show a system: its streams, capabilities, settings and credentials."""
    adapter = adapters_for(caller.workspace_id).get(name)
    if adapter is None:
        raise Problem(404, "There is no such connector; GET /api/connectors lists those there are.")
    return json_answer(_shape(adapter))


def _shape(adapter: type[BaseAdapter[Any]]) -> Connector:
    return Connector(
        adapter.name,
        adapter.display_name,
        sorted(adapter.capabilities),
        [
            *(StreamShape(stream.name, is_delivered_only=False) for stream in adapter.streams),
            *(StreamShape(stream.name, is_delivered_only=True) for stream in adapter.delivered_streams),
        ],
        adapter.config_model.model_json_schema(),
        adapter.credential_kind,
        [CredentialFieldShape(field.name, field.label, field.hint) for field in adapter.credential_fields],
        None if adapter.oauth is None else OAuthShape(list(adapter.oauth.grants), list(adapter.oauth.scopes)),
        [verifier.name for verifier in adapter.verifiers],
    )
