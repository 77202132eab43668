"""`/api/connectors/configs/{id}/mappings/{try,diff}`: rules tried on what is stored, before anything changes."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Caller
from unified.api.management.answers import json_answer
from unified.api.management.endpoints.connections.syncs import RecordReader, StreamName
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.kit.mapping.rules import MOST_RULES, Rule
from unified.sync.remapping.trials import RulesPreview, try_rules

routes = router("/api/connectors/configs/{connection_id}/mappings", "Mappings")


class WantedTrial(BaseModel):
    """Rules to try on stored records. Nothing is changed."""

    model_config = ConfigDict(extra="forbid")

    stream: StreamName
    rules: Annotated[
        tuple[Rule, ...],
        Field(
            max_length=MOST_RULES,
            description="Rules that would be set; without any, those that are set are tried.",
        ),
    ] = ()
    limit: Annotated[int, Field(ge=1, le=1000, description="How many stored records to look at.")] = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedRule:
    """What one rule did to the records."""

    target: Annotated[str, Field(description="Which field it fills; of a line `line_items.amount`.")]
    source: Annotated[str | None, Field(description="Where it reads.")]
    filled: Annotated[int, Field(description="In how many records, or lines, it filled the field.")]
    null: Annotated[int, Field(description="In how many it found nothing.")]
    rejected: Annotated[int, Field(description="In how many it refused the value, or a part of it.")]
    reasons: Annotated[dict[str, int], Field(description="Why, with how often.")]
    types: Annotated[dict[str, int], Field(description="What the source held, with how often.")]
    examples: Annotated[
        list[tuple[str, str]],
        Field(description="Shapes of values before and after: letters are a and A, digits 9."),
    ]
    unknown: Annotated[list[str], Field(description="Words that its table lacks.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What rules did to stored records. It shows shapes, no values."""

    records: Annotated[int, Field(description="How many were looked at.")]
    rejected: Annotated[dict[str, int], Field(description="How many would be set aside, by the reason.")]
    rules: list[TriedRule]
    remarks: Annotated[list[str], Field(description="What looks odd, or was not seen.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedField:
    """How one field would change."""

    name: Annotated[
        str, Field(description="Of custom fields `custom_fields.<key>`, of addresses with the part.")
    ]
    filled: Annotated[int, Field(description="In how many records it would be filled and is not.")]
    changed: Annotated[int, Field(description="In how many it would hold something else.")]
    cleared: Annotated[int, Field(description="In how many it would be empty and is not.")]
    examples: Annotated[
        list[tuple[str, Any, Any]], Field(description="Of some records: source id, old value and new value.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What setting rules, and a remap after it, would change."""

    looked_at: Annotated[int, Field(description="How many stored records and rejects were looked at.")]
    stored: Annotated[int, Field(description="How many live records a remap would map.")]
    changed: Annotated[int, Field(description="How many of those that were looked at would change.")]
    newly_rejected: Annotated[int, Field(description="How many would be set aside.")]
    rescued: Annotated[int, Field(description="How many would no longer be set aside.")]
    unusable: Annotated[int, Field(description="How many would have a field that can't be read.")]
    fields: list[ChangedField]


@routes.post("/try", response_model=Trial)
async def try_mappings(
    caller: RecordReader, services: Use, connection_id: UUID, wanted: WantedTrial
) -> Response:
    """Say what rules do to stored records, rule by rule. Nothing is changed."""
    found = await _tried(caller, services, connection_id, wanted)
    return json_answer(found.trial)


@routes.post("/diff", response_model=Difference)
async def diff_mappings(
    caller: RecordReader, services: Use, connection_id: UUID, wanted: WantedTrial
) -> Response:
    """Say how stored records would change if rules were set, old and new. Nothing is changed."""
    found = await _tried(caller, services, connection_id, wanted)
    counts = {
        name: getattr(found, name) for name in ("stored", "changed", "newly_rejected", "rescued", "unusable")
    }
    return json_answer(
        {"looked_at": found.trial.records, **counts, "fields": [*map(asdict, found.fields.values())]}
    )


async def _tried(
    caller: Caller, services: Services, connection_id: UUID, wanted: WantedTrial
) -> RulesPreview:
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    return await try_rules(services.db, connection, wanted.stream, wanted.rules, limit=wanted.limit)
