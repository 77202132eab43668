"""What has to be written where, so that two linked records agree: a three-way merge, field by field. Pure.

A change is a difference to the state that both sides last agreed on, as each side shows it. What comes back from a push
is that very state, so an echo is not a change, however late, often or in whatever order it comes, and a side that keeps
a value in a form of its own is left with it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unified.store.routes.links import LinkEnd
from unified.store.routes.settings import Policy
from unified.store.routes.sides import SIDES, Side, other

Differs = Callable[[Side, str, Any, Any], bool]
"""Whether a side keeps two values of a field apart: side, rule, value, value."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the record on one side.

    Attributes:
        values: Its routed fields, by rule; what is missing or empty is None.
        changed_at: When it got into it, as closely as is known.
    """

    values: Mapping[str, Any]
    changed_at: datetime


@dataclass(slots=True)
class Merge:
    """What makes two records agree.

    Attributes:
        writes: For each side, what to write there, by rule.
        agreed: For each side, what it shows of the fields that will be agreed on, by rule: of those that are written,
            once that is done; of the others now.
    """

    writes: dict[Side, dict[str, Any]] = field(default_factory=lambda: {"source": {}, "target": {}})
    agreed: dict[Side, dict[str, Any]] = field(default_factory=lambda: {"source": {}, "target": {}})


def reconcile(
    policies: Mapping[str, Policy],
    views: Mapping[Side, View],
    ends: Mapping[Side, LinkEnd],
    *,
    is_two_way: bool,
    differs: Differs,
) -> Merge:
    """Decide field by field.

    Only one side changed a field: it wins; a one-way route leaves the target's change as it is. Both did: the policy
    decides. They never agreed on it, as when a record was just linked: what is known wins over what is not, then the
    policy.

    Args:
        policies: For each rule, who wins where both sides changed.
        views: What is known of each side.
        ends: The link's records.
        is_two_way: Whether the source may be written.
        differs: Whether a side keeps two values apart.
    """
    merge = Merge()
    is_fresh = needs_fresh_look(policies.values(), is_two_way=is_two_way)
    for name, policy in policies.items():
        values: dict[Side, Any] = {side: views[side].values.get(name) for side in SIDES}
        winner = _winner(name, policy, values, views, ends, is_two_way=is_two_way, differs=differs)
        if winner is None:
            continue
        loser = other(winner)
        may_write = loser == "target" or is_two_way
        held = [values[loser]]
        if not is_fresh and name in ends[loser].base:
            held.append(ends[loser].base[name])  # what was seen may be out of date, and alike by chance
        if may_write and any(differs(loser, name, one, values[winner]) for one in held):
            merge.writes[loser][name] = values[winner]
            values[loser] = values[winner]
        for side in SIDES:
            merge.agreed[side][name] = values[side]
    return merge


def _winner(
    name: str,
    policy: Policy,
    values: Mapping[Side, Any],
    views: Mapping[Side, View],
    ends: Mapping[Side, LinkEnd],
    *,
    is_two_way: bool,
    differs: Differs,
) -> Side | None:
    """Whose value stays; None where nothing is to be done or agreed."""
    if any(name not in ends[side].base for side in SIDES):
        if values["source"] is None:
            return "target" if is_two_way else None
        if values["target"] is None:
            return "source"
        return _by_policy(policy, views)
    changed = [
        side
        for side in SIDES
        if values[side] != ends[side].base[name] and differs(side, name, ends[side].base[name], values[side])
    ]
    match changed:
        case []:
            return None
        case [side]:
            return side if side == "source" or is_two_way else None
        case _:
            return _by_policy(policy, views)


def _by_policy(policy: Policy, views: Mapping[Side, View]) -> Side:
    match policy:
        case "source_wins":
            return "source"
        case "target_wins":
            return "target"
        case "newest_wins":
            return "target" if views["target"].changed_at > views["source"].changed_at else "source"


def needs_fresh_look(policies: Iterable[Policy], *, is_two_way: bool) -> bool:
    """Whether both records have to be read anew before anything is decided, as a change that nobody saw yet may win.

    Then what a route ends in does not depend on the order in which news came. A route on which the source always wins
    need not: what it writes does not depend on what it overwrites.
    """
    return is_two_way or any(policy != "source_wins" for policy in policies)
