"""What a route would do about some records, and why: everything up to sending, which a preview shares with a run.

Tables and systems are read here; nothing is changed anywhere. Records that have no counterpart are looked for in
``strangers``, those that have one are compared with it in ``pairs``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from unified.kit.declarations import Capability
from unified.schema.conditions import meets_all
from unified.schema.customer import UnifiedCustomer
from unified.store.database import Database
from unified.store.routes.links import Link
from unified.store.routes.outbox import Entry
from unified.store.routes.rows import Route
from unified.store.routes.sides import Side, other
from unified.sync.routes import known as knowledge
from unified.sync.routes.end import RouteEnd
from unified.sync.routes.known import Known, Pair
from unified.sync.routes.matching import describe
from unified.sync.routes.pairs import Pairs
from unified.sync.routes.plan import Plan
from unified.sync.routes.strangers import Strangers

_LOST = "it was sent, and its outcome is not known"


class Planner:
    """Plans what a route does, some records at a time."""

    def __init__(self, db: Database, route: Route, ends: Mapping[Side, RouteEnd]) -> None:
        """Plan for ``route`` between its ``ends``, whose adapters are connected."""
        self._db = db
        self._route = route
        self._ends = ends
        self._settings = route.settings
        self._pairs = Pairs(route, ends)
        self._strangers = Strangers(db, route, ends)

    def settled(self, plans: Iterable[Plan]) -> None:
        """These plans' pushes have been sent, so nothing of them is being created any more."""
        self._strangers.settled(plans)

    async def plan(self, side: Side, ids: Sequence[str]) -> list[Plan]:
        """Plan what to do about some records of a side.

        Args:
            side: Where they are.
            ids: Their ids, each once.

        Raises:
            AdapterError: If one of the two systems can't be asked.
        """
        known = await knowledge.read(
            self._db, self._route, self._ends, side, ids, is_careful=self._pairs.is_careful
        )
        plans = [Plan(side, record_id) for record_id in ids]
        pairs: list[Pair] = []
        strangers: list[Plan] = []
        for plan in plans:
            counterpart = known.counterpart(plan)
            if self._is_dealt_with(plan, known, counterpart):
                continue
            if counterpart is None:
                strangers.append(plan)
                continue
            entry, link = known.entries.get(plan.record_id), known.links.get(plan.record_id)
            rule = "existing" if entry and entry.reason else "person"
            pairs.append(Pair.found(plan, known, counterpart, rule, link))
        pairs += await self._strangers.match(strangers, known, side)
        await self._pairs.plan(pairs)
        return plans

    def _is_dealt_with(self, plan: Plan, known: Known, counterpart: UnifiedCustomer | None) -> bool:
        """Whether nothing is left to plan about a record: it is passed over, waits, or was deleted."""
        entry, link = known.entries.get(plan.record_id), known.links.get(plan.record_id)
        record = known.records.get(plan.record_id)
        if entry is not None and entry.is_lost and entry.state != "skipped":
            plan.outcome, plan.reason, plan.entry = "waiting", _LOST, entry
            return True
        if reason := self._passed_over(entry, link, record):
            plan.outcome, plan.reason, plan.entry = "left_out", reason, _kept(entry)
            return True
        assert record is not None  # noqa: S101 - passed over otherwise
        plan.name = record.name or record.email or record.company
        if record.deleted_at is not None:
            self._plan_deletion(plan, link, counterpart)
        elif link is not None and counterpart is None and self._settings.on_missing == "unlink":
            plan.unlink(link, self._ends[other(plan.side)].connection.key)
        elif not meets_all(
            counterpart if link and plan.side == "target" and counterpart else record, self._settings.filter
        ):
            plan.outcome, plan.reason = "left_out", "the route's filter leaves it out"
        else:
            return link is None and self._waits(plan, entry, counterpart, known)
        return True

    @staticmethod
    def _waits(plan: Plan, entry: Entry | None, chosen: UnifiedCustomer | None, known: Known) -> bool:
        """Whether a record without a link waits: what was chosen for it is not to be had, or it was chosen itself."""
        if chosen is None and entry is not None and entry.decision == "link":
            plan.ask(f"{entry.other_id}, which was chosen, is gone", (), entry)
        elif chosen is not None and chosen.source_id in known.claimed:
            plan.ask(f"{chosen.source_id} is linked with another record", describe([chosen]), entry)
        elif (by := known.promised.get(plan.record_id)) and by != (chosen and chosen.source_id):
            plan.outcome, plan.reason = "waiting", f"it is to be linked with {by} first"
            again = entry or Entry(side=plan.side, record_id=plan.record_id, state="due")
            plan.entry = replace(again, state="due", reason=None)
        else:
            return False
        return True

    def _passed_over(
        self, entry: Entry | None, link: Link | None, record: UnifiedCustomer | None
    ) -> str | None:
        """Why nothing is to be done about a record at all."""
        if entry is not None and entry.state == "skipped":
            return "a person said to skip it"
        if link is not None and link.reason:
            return link.reason
        if record is None:
            return "it is not stored any more"
        if record.deleted_at is not None and (link is None or self._settings.on_delete == "ignore"):
            return "it was deleted, and the route leaves its counterpart alone"
        return None

    def _plan_deletion(self, plan: Plan, link: Link | None, counterpart: UnifiedCustomer | None) -> None:
        there = self._ends[other(plan.side)]
        if link is None or counterpart is None or Capability.DELETE not in there.adapter.capabilities:
            if link is not None:
                link.reason = (
                    "it was deleted on both sides"
                    if counterpart is None
                    else (f"it was deleted, and {there.connection.connector} archives nothing")
                )
            plan.outcome, plan.link, plan.reason = "left_out", link, link.reason if link else None
            return
        plan.outcome = "write"
        plan.pushes = [plan.push(self._route, "delete", link, counterpart.source_id, {}, {})]
        plan.changes = [{}]


def _kept(entry: Entry | None) -> Entry | None:
    """An entry that stays although its record is passed over: a person's word, or a push on its way."""
    return entry if entry is not None and entry.state in ("skipped", "sending") else None
