"""`/api/connectors/configs/{id}/mappings/{propose,decide}`: rules that are proposed, and what a person decides."""

from dataclasses import asdict, dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.answers import json_answer, no_content
from unified.api.management.endpoints.connections.connections import Writer
from unified.api.management.endpoints.connections.mapping_trials import TriedRule
from unified.api.management.endpoints.connections.mappings import TargetField
from unified.api.management.endpoints.connections.syncs import RecordReader, StreamName
from unified.api.management.problems import Problem
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.kit.mapping.rules import MOST_RULES, Rule
from unified.sync.remapping import proposals
from unified.sync.remapping.asking import Asker
from unified.sync.remapping.proposals import ProposedRule

_ASKS = "connections:write"

routes = router("/api/connectors/configs/{connection_id}/mappings", "Mappings")

Limit = Annotated[
    int, Field(ge=1, le=proposals.MOST_RECORDS, description="How many stored records to look at.")
]


class WantedProposals(BaseModel):
    """A stream for whose fields rules are to be proposed. Nothing is changed."""

    model_config = ConfigDict(extra="forbid")

    stream: StreamName
    limit: Limit = 200
    model: Annotated[
        bool,
        Field(
            description="Whether a language model is asked beside the matcher, which takes connections:write and sends "
            "names and shapes of fields to its provider. It is asked once for the same fields."
        ),
    ] = False


class Decision(BaseModel):
    """What a person decided about proposals."""

    model_config = ConfigDict(extra="forbid")

    stream: StreamName
    accept: Annotated[
        tuple[Rule, ...],
        Field(max_length=MOST_RULES, description="Rules to put in force, as they were proposed or changed."),
    ] = ()
    decline: Annotated[
        tuple[TargetField, ...],
        Field(max_length=MOST_RULES, description="Fields whose proposed rule is not to be proposed again."),
    ] = ()
    limit: Annotated[Limit, Field(description="As many records as the proposals were made of.")] = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Sureness:
    """How sure a proposal is, in its parts, each 0 to 1."""

    score: Annotated[float, Field(description="All of it as one number.")]
    name: Annotated[float, Field(description="How well names and descriptions agree.")]
    type: Annotated[float, Field(description="How well type and format fit.")]
    samples: Annotated[float | None, Field(description="The share of samples that fit; null without any.")]
    unique: Annotated[float, Field(description="Less than 1 where another field fits as well.")]
    model: Annotated[
        float | None,
        Field(description="How sure a model says it is; 0 where it names no such pair, null without one."),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedMapping:
    """A rule that is proposed."""

    rule: Rule
    confidence: Sureness
    reason: str
    remarks: Annotated[list[str], Field(description="What to look at before it is accepted.")]
    trial: TriedRule


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsPart:
    """What a model had to do with proposals."""

    outcome: Annotated[
        str, Field(description="In few words.", examples=["not asked", "answered", "over budget"])
    ]
    said: Annotated[str, Field(description="The same for a person.")]
    model: Annotated[str, Field(description="Which one; empty where none has answered.")]
    tokens: Annotated[int, Field(description="What asking took now.")]
    dropped: Annotated[list[str], Field(description="What it named and does not hold, and why.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedMappings:
    """What is proposed for a stream. It shows shapes, no records."""

    records: Annotated[int, Field(description="How many stored records were looked at.")]
    rules: list[ProposedMapping]
    declined: Annotated[list[str], Field(description="Fields whose proposal was declined before.")]
    unmatched: Annotated[list[str], Field(description="Paths for which nothing fits.")]
    remarks: Annotated[list[str], Field(description="What looks odd in the records that the rules make.")]
    consulted: ModelsPart


@routes.post("/propose", response_model=ProposedMappings)
async def propose_mappings(
    caller: RecordReader, services: Use, connection_id: UUID, wanted: WantedProposals
) -> Response:
    """Propose rules for what the connector leaves out: by names, types and samples, and by a model if that is asked."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    if wanted.model and _ASKS not in caller.permissions:
        raise Problem(
            403, f"To have a model asked takes the permission {_ASKS}; leave `model` out without it."
        )
    asker = Asker(services.settings.management.model, caller.actor) if wanted.model else None
    found = await proposals.propose_rules(
        services.db, connection, wanted.stream, limit=wanted.limit, asker=asker
    )
    return json_answer(
        {
            "records": found.records,
            "rules": [*map(_shown, found.rules)],
            "declined": found.declined,
            "unmatched": found.unmatched,
            "remarks": found.remarks,
            "consulted": asdict(found.consulted),
        }
    )


@routes.post("/decide", status_code=204)
async def decide_mappings(caller: Writer, services: Use, connection_id: UUID, decision: Decision) -> Response:
    """Put proposed rules in force, or have them not proposed again; the audit log says who did."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    await proposals.decide(
        services.db,
        connection,
        decision.stream,
        accept=decision.accept,
        decline=decision.decline,
        actor=caller.actor,
        limit=decision.limit,
    )
    return no_content()


def _shown(one: ProposedRule) -> dict[str, object]:
    sure = one.proposal.confidence
    return {
        "rule": one.rule.as_json(),
        "confidence": {"score": sure.score, **asdict(sure)},
        "reason": one.proposal.reason,
        "remarks": list(one.proposal.remarks),
        "trial": asdict(one.trial),
    }
