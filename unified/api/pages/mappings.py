"""`/connectors/{id}/mappings/{stream}`: rules that are proposed, what each does to real records, what a person decides.

Proposals and decisions are those of the API (`endpoints/connections/mapping_proposals`). What is accepted is the rule
that was shown, whatever is proposed by then.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec
from fastapi import Request, Response

from unified.api.management.access.callers import Caller
from unified.api.management.endpoints.connections import connections as configs
from unified.api.management.endpoints.connections import mapping_proposals as proposals_api
from unified.api.management.endpoints.connections.syncs import RecordReader
from unified.api.management.problems import Problem
from unified.api.management.services import Services, Use
from unified.api.pages.route import NO_SUCH_PAGE, Form, refusal, router
from unified.api.pages.view import render, see_other
from unified.kit.mapping.refusals import RuleError
from unified.kit.mapping.rules import Rule, read_rules
from unified.kit.registry import get_adapter
from unified.store.connections.rows import Connection
from unified.sync.remapping.asking import Asker
from unified.sync.remapping.proposals import ProposedRules, propose_rules
from unified.sync.remapping.trials import FieldChange, try_rules

_LOOKED_AT = 200
_LONGEST_RULE = 20_000

# What was done, for the page after it.
DONE = {
    "accept": "The rule is in force from the next sync on. `unified remap` applies it to what is stored.",
    "decline": "It is not proposed again, until the rule or the shape of its field is another.",
}

routes = router()


@routes.get("/connectors/{connection_id}/mappings")
async def begin(caller: RecordReader, services: Use, connection_id: UUID) -> Response:
    """Go to the first stream."""
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    return see_other(f"/connectors/{connection_id}/mappings/{_streams(connection)[0]}")


@routes.get("/connectors/{connection_id}/mappings/{stream}")
async def show(
    request: Request, caller: RecordReader, services: Use, connection_id: UUID, stream: str, done: str = ""
) -> Response:
    """What is proposed for a stream."""
    return await _page(request, caller, services, connection_id, stream, notice=DONE.get(done))


@routes.post("/connectors/{connection_id}/mappings/{stream}")
async def decide(
    request: Request, caller: configs.Writer, services: Use, connection_id: UUID, stream: str, form: Form
) -> Response:
    """Accept a rule as it was shown or as it was changed, or decline it."""
    try:
        decision, done = _decision(stream, form)
        await proposals_api.decide_mappings(caller, services, connection_id, decision)
    except Exception as error:  # noqa: BLE001 - what is not shown here is raised again
        return await _page(request, caller, services, connection_id, stream, problem=refusal(error))
    return see_other(f"/connectors/{connection_id}/mappings/{stream}?done={done}")


@routes.post("/connectors/{connection_id}/mappings/{stream}/model")
async def ask_model(
    request: Request, caller: configs.Writer, services: Use, connection_id: UUID, stream: str
) -> Response:
    """Have a model asked as well."""
    asker = Asker(services.settings.management.model, caller.actor)
    return await _page(request, caller, services, connection_id, stream, asker=asker)


def _decision(stream: str, form: dict[str, str]) -> tuple[proposals_api.Decision, str]:
    match form.get("decision"):
        case "decline":
            return proposals_api.Decision(stream=stream, decline=(form.get("target", ""),)), "decline"
        case "accept" | "change" as how:
            rule = _rule(form.get("rule" if how == "accept" else "changed", ""))
            return proposals_api.Decision(stream=stream, accept=(rule,)), "accept"
    raise Problem(422, "The form does not say what was decided.")


def _rule(text: str) -> Rule:
    """The rule that a form holds, which a person may have typed."""
    try:
        (rule,) = read_rules(msgspec.json.decode(text[:_LONGEST_RULE]))
    except RuleError as error:
        raise Problem(422, f"That is not a rule: {error}.") from None
    except (ValueError, RecursionError):
        raise Problem(422, "That is not one rule in JSON.") from None
    return rule


async def _page(
    request: Request,
    caller: Caller,
    services: Services,
    connection_id: UUID,
    stream: str,
    *,
    notice: str | None = None,
    problem: Problem | None = None,
    asker: Asker | None = None,
) -> Response:
    connection = await services.registry.get_connection(caller.workspace_id, connection_id)
    streams = _streams(connection)
    if stream not in streams:
        raise NO_SUCH_PAGE
    found = await propose_rules(services.db, connection, stream, limit=_LOOKED_AT, asker=asker)
    changes = await _changes(services, connection, stream, found)
    return render(
        request,
        "mappings.html",
        connection=connection,
        stream=stream,
        streams=streams,
        found=found,
        shown=[
            (one, msgspec.json.encode(one.rule.as_json()).decode(), changes.get(one.rule.target, ()))
            for one in found.rules
        ],
        asks_model=services.settings.management.model,
        notice=notice,
        problem=problem,
    )


async def _changes(
    services: Services, connection: Connection, stream: str, found: ProposedRules
) -> dict[str, list[tuple[str, Any, Any]]]:
    """What each rule would change of some records, by its target: id, old and new value."""
    if not found.rules:
        return {}
    tried = await try_rules(
        services.db, connection, stream, [one.rule for one in found.rules], limit=_LOOKED_AT
    )
    return {
        one.rule.target: [
            (source_id, _value(before), _value(after))
            for change in _of(one.rule.target, tried.fields.values())
            for source_id, before, after in change.examples
        ]
        for one in found.rules
    }


def _of(target: str, changes: Iterable[FieldChange]) -> list[FieldChange]:
    return [one for one in changes if one.name == target or one.name.startswith(f"{target}.")]


def _value(value: Any) -> Any:
    """A value of a record as a page shows it; lines of an invoice are objects."""
    if isinstance(value, tuple):
        return [_value(one) for one in value]
    return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else value


def _streams(connection: Connection) -> list[str]:
    return [stream.name for stream in get_adapter(connection.connector).all_streams()]
