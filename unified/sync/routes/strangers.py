"""Records without a counterpart: paired with what is found for them, or created on the other side."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from unified.schema.customer import UnifiedCustomer
from unified.store.database import Database
from unified.store.routes import links, outbox
from unified.store.routes.links import Link
from unified.store.routes.outbox import Entry
from unified.store.routes.rows import Route
from unified.store.routes.sides import Side, other
from unified.sync.routes import matching
from unified.sync.routes.end import RefusedValueError, RouteEnd
from unified.sync.routes.known import Known, Pair
from unified.sync.routes.lost import origin_of
from unified.sync.routes.matching import describe
from unified.sync.routes.plan import Plan

_MOST_LOST = 2_000


class Strangers:
    """Plans what a route does about records without a counterpart."""

    def __init__(self, db: Database, route: Route, ends: Mapping[Side, RouteEnd]) -> None:
        """Plan for ``route`` between its ``ends``, whose adapters are connected."""
        self._db = db
        self._route = route
        self._ends = ends
        self._settings = route.settings
        # Who is being created at the moment, by the side and what would have found them.
        self._creating: Counter[tuple[Side, str, str]] = Counter()

    def settled(self, plans: Iterable[Plan]) -> None:
        """Forget who was being created: these plans' pushes have been sent."""
        for plan in plans:
            for push in plan.pushes:
                if push.operation == "create":
                    self._creating -= Counter(self._marks(push))

    async def match(self, strangers: Sequence[Plan], known: Known, side: Side) -> list[Pair]:
        """Pair records with what is found for them; plan the creation of the others."""
        here, there = self._ends[side], self._ends[other(side)]
        wanted: dict[str, UnifiedCustomer] = {}
        for plan in strangers:
            values = here.values(known.records[plan.record_id])
            if all(value is None for value in values.values()):
                plan.outcome, plan.reason = "left_out", "it has none of the fields that travel"
                continue
            try:
                wanted[plan.record_id] = there.desired(known.records[plan.record_id], values)
            except RefusedValueError as error:
                plan.refuse(str(error), known.entries.get(plan.record_id))

        found = await self._look_up(
            there, [one for one in wanted.values() if not _is_decided(known.entries.get(one.source_id))]
        )
        pairs: list[Pair] = []
        unknown: list[Plan] = []
        for plan in strangers:
            if plan.record_id not in wanted:
                continue
            entry, former = known.entries.get(plan.record_id), known.links.get(plan.record_id)
            one = found.get(plan.record_id, matching.Found())
            if one.record is not None and one.record.source_id in known.claimed:
                plan.ask("another record is the same one as well", describe([one.record]), entry)
            elif one.record is not None and one.rule is not None:
                pair = Pair.found(plan, known, one.record, one.rule)
                if former is not None:
                    plan.former, pair.link.version = former, former.version + 1
                pairs.append(pair)
            elif one.reason is not None:
                plan.ask(one.reason, describe(one.candidates), entry)
            else:
                unknown.append(plan)
        await self._create(unknown, known, side)
        return pairs

    async def _create(self, plans: Sequence[Plan], known: Known, side: Side) -> None:
        """Plan the creation of records, but for those that a lost push may have created from one across."""
        here, there = self._ends[side], self._ends[other(side)]
        lost: Sequence[Entry] = ()
        senders: Mapping[str, UnifiedCustomer] = {}
        if plans and self._settings.direction == "two_way":
            async with self._db.workspace(self._route.workspace_id) as conn:
                lost = await outbox.lost(conn, self._route, there.side, limit=_MOST_LOST)
                senders = await there.stored(conn, [sent.record_id for sent in lost])
        for plan in plans:
            record, entry = known.records[plan.record_id], known.entries.get(plan.record_id)
            sent = None if _is_decided(entry) else origin_of(record, here, lost)
            if sent is None:
                self._plan_creation(plan, here, there, known.records, known.links.get(plan.record_id), entry)
                continue
            reason = f"it may be what the push of {sent.record_id} created, whose answer was lost"
            sender = senders.get(sent.record_id)
            candidates = describe([sender]) if sender else [{"id": sent.record_id}]
            plan.ask(reason, candidates, entry, sent_for=sent.record_id)

    async def _look_up(
        self, there: RouteEnd, records: Sequence[UnifiedCustomer]
    ) -> Mapping[str, matching.Found]:
        async def linked(ids: Collection[str]) -> Collection[str]:
            async with self._db.workspace(self._route.workspace_id) as conn:
                return set(await links.read(conn, self._route, there.side, list(ids)))

        if not records:
            return {}
        return await matching.look_up(self._db, there, records, self._settings.match_keys, linked)

    def _plan_creation(
        self,
        plan: Plan,
        here: RouteEnd,
        there: RouteEnd,
        records: Mapping[str, UnifiedCustomer],
        link: Link | None,
        entry: Entry | None,
    ) -> None:
        values = here.values(records[plan.record_id])
        known = {rule: value for rule, value in values.items() if value is not None}
        body = there.body(there.desired(None, known))
        attempts = entry.attempts if entry else 0
        push = plan.push(
            self._route,
            "create",
            link,
            None,
            body,
            {here.side: values, there.side: values},
            attempts=attempts,
        )
        marks = self._marks(push)
        if not _is_decided(entry) and (mark := next((mark for mark in marks if self._creating[mark]), None)):
            plan.ask(f"another record with the same {mark[1]} is being created", (), entry)
            return
        push.decision = entry.decision if entry else None
        self._creating.update(marks)
        plan.outcome = "write"
        plan.pushes = [push]
        plan.changes = [{there.names[rule]: (None, value) for rule, value in known.items()}]

    def _marks(self, push: Entry) -> list[tuple[Side, str, str]]:
        """What would find the record that a push creates, once it is there."""
        there = self._ends[other(push.side)]
        values = dict((push.agreed or {}).get(there.side, {}))
        record = there.desired(None, {rule: value for rule, value in values.items() if value is not None})
        keys = ("email", *self._settings.match_keys)
        found = {key: matching.key_value(record, key) for key in keys}
        return [(there.side, key, value) for key, value in found.items() if value is not None]


def _is_decided(entry: Entry | None) -> bool:
    return entry is not None and entry.decision == "create"
