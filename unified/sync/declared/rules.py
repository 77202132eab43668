"""What a file says of a connection's own field rules, beside those that are there. Those of a stream are one step."""

from collections.abc import Sequence

from unified.kit.mapping.compiled import check
from unified.kit.mapping.rules import Rule
from unified.kit.registry import get_adapter
from unified.store.connections import field_rules
from unified.store.connections.rows import Connection
from unified.sync.declared.document import DeclaredConnection
from unified.sync.declared.steps import Action, Ground, Step


async def rule_steps(
    ground: Ground, name: str, wanted: DeclaredConnection, now: Connection | None
) -> list[Step]:
    """What makes a connection's rules as the file says, and those that it does not name.

    Args:
        ground: Where.
        name: The connection's.
        wanted: What the file says.
        now: The connection, if it is there already.

    Raises:
        ConfigurationError: If the connector has no such stream, or a rule can't work for it.
    """
    adapter = get_adapter(wanted.connector)
    there = (
        {one.name: await field_rules.read(ground.db, now, one.name) for one in adapter.all_streams()}
        if now
        else {}
    )
    steps: list[Step] = []
    for stream, rules in wanted.rules.items():
        check(adapter.stream(stream).entity.model, rules)
        stored = {rule.target: rule for rule in there.get(stream, ())}
        steps.append(_set(ground, name, stream, rules, stored))
    for stream, found in there.items():
        named = {rule.target for rule in wanted.rules.get(stream, ())}
        steps += [_extra(ground, name, stream, rule) for rule in found if rule.target not in named]
    return steps


def _set(ground: Ground, name: str, stream: str, rules: Sequence[Rule], stored: dict[str, Rule]) -> Step:
    new = [rule for rule in rules if rule.target not in stored]
    changed = [
        rule for rule in rules if rule.target in stored and rule.as_json() != stored[rule.target].as_json()
    ]

    async def put() -> Sequence[str]:
        connection = await ground.connection(name)
        await field_rules.put(ground.db, connection, stream, *new, *changed, actor=ground.actor)
        return [f"for what is stored already: `unified remap {connection.key}`"] if stored or changed else ()

    action: Action = "change" if stored and (new or changed) else "add" if new else "same"
    return Step(
        kind="rules",
        name=name,
        action=action,
        detail=[
            stream,
            *(f"{rule.target} <- {rule.source or 'steps'}" for rule in new),
            *(f"{rule.target} is filled otherwise" for rule in changed),
        ],
        path=("connections", name, "rules", stream),
        carry_out=put if new or changed else None,
    )


def _extra(ground: Ground, name: str, stream: str, rule: Rule) -> Step:
    async def remove() -> Sequence[str]:
        connection = await ground.connection(name)
        await field_rules.remove(ground.db, connection, stream, rule.target, actor=ground.actor)
        return ()

    detail = [stream, f"the rule that fills {rule.target}"]
    return Step(kind="rules", name=name, action="extra", detail=detail, carry_out=remove)
