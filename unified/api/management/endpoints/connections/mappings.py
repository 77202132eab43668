"""`/api/connectors/configs/{id}/mappings`: what a workspace maps beyond the adapter, field by field."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.answers import json_answer, no_content
from unified.api.management.endpoints.connections.connections import Reader, Writer
from unified.api.management.endpoints.connections.syncs import StreamName
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.kit.registry import get_adapter
from unified.schema.field_rules import FieldRule
from unified.store.connections import field_rules
from unified.store.errors import InvalidSettingError

SourcePath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=500,
        description="Dotted path in the raw record.",
        examples=["metadata.vat_id"],
    ),
]
TargetField = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="A field of the unified record, or `custom_fields.<key>`.",
        examples=["tax_number"],
    ),
]

routes = router("/api/connectors/configs/{connection_id}/mappings", "Mappings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A rule that fills a field of the unified record from a place of the raw one."""

    stream: StreamName
    source_path: SourcePath
    target_field: TargetField


class NewMapping(BaseModel):
    """A rule; the one that fills the same field is replaced."""

    model_config = ConfigDict(extra="forbid")

    stream: StreamName
    source_path: SourcePath
    target_field: TargetField


@routes.get("", response_model=list[Mapping])
async def list_mappings(caller: Reader, services: Use, connection_id: UUID) -> Response:
    """The connection's own rules, by stream and field."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    adapter = get_adapter(connection.connector)
    return json_answer(
        [
            Mapping(stream=stream.name, source_path=rule.source_path, target_field=rule.target_field)
            for stream in adapter.all_streams()
            for rule in await field_rules.read(services.db, connection, stream.name)
        ]
    )


@routes.put("", response_model=Mapping)
async def set_mapping(caller: Writer, services: Use, connection_id: UUID, wanted: NewMapping) -> Response:
    """Set a rule, for records that come from now on; `unified remap` applies it to those that are stored."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    await field_rules.put(
        services.db,
        connection,
        wanted.stream,
        FieldRule(wanted.source_path, wanted.target_field),
        actor=caller.actor,
    )
    return json_answer(wanted.model_dump())


@routes.delete("", status_code=204)
async def remove_mapping(
    caller: Writer,
    services: Use,
    connection_id: UUID,
    stream: StreamName,
    target_field: Annotated[TargetField, Query()],
) -> Response:
    """Remove the rule that fills a field."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    try:
        await field_rules.remove(services.db, connection, stream, target_field, actor=caller.actor)
    except InvalidSettingError as error:
        raise Problem(404, str(error)) from None
    return no_content()
