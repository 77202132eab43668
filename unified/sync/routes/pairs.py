"""Records that have a counterpart: both are compared, and what one lacks of the other is pushed."""

from collections.abc import Mapping, Sequence
from typing import Any

from unified.schema.customer import UnifiedCustomer
from unified.store.routes.rows import Route
from unified.store.routes.sides import SIDES, Side
from unified.sync.routes.end import RefusedValueError, RouteEnd
from unified.sync.routes.known import Pair
from unified.sync.routes.reconcile import Merge, needs_fresh_look, reconcile


class Pairs:
    """Plans what a route does about pairs.

    Attributes:
        is_careful: Whether both records are read again before anything is decided about them.
    """

    def __init__(self, route: Route, ends: Mapping[Side, RouteEnd]) -> None:
        """Plan for ``route`` between its ``ends``, whose adapters are connected."""
        self._route = route
        self._ends = ends
        self._settings = route.settings
        self._is_two_way = route.settings.direction == "two_way"
        self._policies = {
            rule.source: rule.policy or route.settings.conflict_policy for rule in route.settings.fields
        }
        self.is_careful = needs_fresh_look(self._policies.values(), is_two_way=self._is_two_way)

    async def plan(self, pairs: Sequence[Pair]) -> None:
        """Plan what is pushed of each pair, in the plan of its record.

        Raises:
            AdapterError: If one of the two systems can't be asked.
        """
        merges = [self._merge(pair) for pair in pairs]
        if self.is_careful:
            await self._look_again(
                [pair for pair, merge in zip(pairs, merges, strict=True) if merge.agreed["source"]]
            )
            merges = [self._merge(pair) for pair in pairs]
        for pair, merge in zip(pairs, merges, strict=True):
            if pair.plan.outcome == "unchanged":
                self._plan_pair(pair, merge)

    def _merge(self, pair: Pair) -> Merge:
        return reconcile(
            self._policies,
            {side: self._ends[side].view(pair.records[side]) for side in SIDES},
            {side: pair.link.end(side) for side in SIDES},
            is_two_way=self._is_two_way,
            differs=lambda side, rule, one, another: self._ends[side].differs(rule, one, another),
        )

    async def _look_again(self, pairs: Sequence[Pair]) -> None:
        """Read records as their systems have them now, before anything is decided about them."""
        for side in SIDES:
            end = self._ends[side]
            asked = {pair.link.end(side).id: pair for pair in pairs}
            for record_id, record in (await end.fetch(asked)).items():
                pair = asked[record_id]
                if record is not None and record.deleted_at is None:
                    pair.records[side] = _since(end, pair.records[side], record)
                elif side == pair.plan.side:
                    pair.plan.outcome, pair.plan.reason = "left_out", "it was deleted a moment ago"
                elif self._settings.on_missing == "unlink":
                    pair.plan.unlink(pair.link, end.connection.key)

    def _plan_pair(self, pair: Pair, merge: Merge) -> None:
        plan, link = pair.plan, pair.link
        has_news = pair.is_new
        on_their_way = {rule for writes in merge.writes.values() for rule in writes}
        for side in SIDES:
            now = {rule: value for rule, value in merge.agreed[side].items() if rule not in on_their_way}
            if now:
                link.end(side).base |= now
                has_news = True
        for side in SIDES:
            if not (writes := merge.writes[side]):
                continue
            end = self._ends[side]
            agreed: dict[Side, dict[str, Any]] = {
                one: {rule: merge.agreed[one][rule] for rule in writes} for one in SIDES
            }
            try:
                body = end.body(end.desired(pair.records[side], writes), list(writes))
            except RefusedValueError as error:
                plan.refuse(str(error), pair.entry)
                continue
            attempts = pair.entry.attempts if pair.entry else 0
            plan.pushes.append(
                plan.push(
                    self._route, "update", link, link.end(side).id, body, agreed, to=side, attempts=attempts
                )
            )
            before = end.values(pair.records[side])
            plan.changes.append({end.names[rule]: (before[rule], value) for rule, value in writes.items()})
        if plan.pushes:
            plan.outcome = "write"
        plan.link = link if has_news else None


def _since(end: RouteEnd, stored: UnifiedCustomer, fresh: UnifiedCustomer) -> UnifiedCustomer:
    """A record that was read anew; where it has not changed, it is as old as it was."""
    if fresh.updated_at is None and end.values(stored) == end.values(fresh):
        return fresh.model_copy(update={"synced_at": stored.synced_at})
    return fresh
