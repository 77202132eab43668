"""`/api/connectors/configs/{id}/mappings`: what a workspace maps beyond the adapter, field by field."""

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
from unified.kit.mapping.paths import LONGEST_PATH
from unified.kit.mapping.rules import MOST_RULES, Rule
from unified.kit.mapping.steps import Steps
from unified.kit.registry import get_adapter
from unified.store.connections import field_rules
from unified.store.errors import InvalidSettingError

SourcePath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_PATH,
        description="Where the value stands in the raw record.",
        examples=["metadata.vat_id"],
    ),
]
TargetField = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="A field of the unified record, a part such as `billing_address.city`, or `custom_fields.<key>`.",
        examples=["tax_number"],
    ),
]

routes = router("/api/connectors/configs/{connection_id}/mappings", "Mappings")


class Mapping(BaseModel):
    """A rule: it fills a field of the unified record from a place of the raw one. A field has one rule."""

    model_config = ConfigDict(extra="forbid")

    stream: StreamName
    source_path: Annotated[SourcePath | None, Field(description="Null where a step makes the value.")] = None
    target_field: TargetField
    steps: Annotated[Steps, Field(description="What happens to the value on its way.")] = ()
    lines: Annotated[
        tuple[Rule, ...], Field(max_length=MOST_RULES, description="Rules for each item of `line_items`.")
    ] = ()
    required: Annotated[
        bool,
        Field(description="Whether a record whose value can't be read is set aside, not its field alone."),
    ] = False

    def as_rule(self) -> Rule:
        """The rule that it says."""
        more = self.model_fields_set & {"steps", "lines", "required"}
        said = {name: getattr(self, name) for name in more}
        return Rule(target=self.target_field, source=self.source_path, **said)


@routes.get("", response_model=list[Mapping])
async def list_mappings(caller: Reader, services: Use, connection_id: UUID) -> Response:
    """The connection's own rules, by stream and field."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    adapter = get_adapter(connection.connector)
    return json_answer(
        [
            {"stream": stream.name, **rule.as_row()}
            for stream in adapter.all_streams()
            for rule in await field_rules.read(services.db, connection, stream.name)
        ]
    )


@routes.put("", response_model=Mapping)
async def set_mapping(caller: Writer, services: Use, connection_id: UUID, wanted: Mapping) -> Response:
    """Set a rule, for records that come from now on; `unified remap` applies it to those that are stored."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    rule = wanted.as_rule()
    await field_rules.put(services.db, connection, wanted.stream, rule, actor=caller.actor)
    return json_answer({"stream": wanted.stream, **rule.as_row()})


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
