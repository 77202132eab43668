"""What a route would do about some records, and why: everything up to sending, which a preview shares with a run.

Tables and systems are read here; nothing is changed anywhere.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import xxhash

from unified.kit.declarations import Capability
from unified.schema.conditions import meets_all
from unified.schema.customer import UnifiedCustomer
from unified.store.database import Database
from unified.store.routes import pushes
from unified.store.routes.pushes import SIDES, Entry, Link, LinkEnd, Side, content_hash, other
from unified.store.routes.routes import Route
from unified.sync.routes import matching
from unified.sync.routes.end import RefusedValueError, RouteEnd
from unified.sync.routes.lost import origin_of
from unified.sync.routes.matching import describe
from unified.sync.routes.reconcile import Merge, needs_fresh_look, reconcile

_MOST_LOST = 2_000
_LOST = "it was sent, and its outcome is not known"

Outcome = Literal["write", "unchanged", "left_out", "waiting", "refused"]


@dataclass(slots=True)
class Plan:
    """What to do about one record.

    Attributes:
        side: Where the record is.
        record_id: Its id there.
        outcome: Whether anything is written, or why not.
        reason: For people, where it is not obvious.
        pushes: What to send, as the outbox keeps it.
        entry: What the outbox is to say instead; None takes out what it says.
        link: A new link, or a newer version of one, that holds whatever becomes of the pushes.
        former: The link whose place the new one takes, as its other record is gone.
        name: What people know the record by.
        changes: For each push, field by field, what is there and what would be.
    """

    side: Side
    record_id: str
    outcome: Outcome = "unchanged"
    reason: str | None = None
    pushes: list[Entry] = field(default_factory=list)
    entry: Entry | None = None
    link: Link | None = None
    former: Link | None = None
    name: str | None = None
    changes: list[dict[str, tuple[Any, Any]]] = field(default_factory=list)

    def ask(
        self,
        reason: str,
        candidates: Sequence[Mapping[str, Any]] = (),
        entry: Entry | None = None,
        *,
        sent_for: str | None = None,
    ) -> None:
        """Have a person decide about the record.

        Args:
            reason: Why.
            candidates: What it may be the same as.
            entry: What the outbox says of it.
            sent_for: The record of the other side whose push may have created it.
        """
        self.outcome, self.reason, self.link = "waiting", reason, None
        self.pushes, self.changes = [], []
        self.entry = Entry(
            side=self.side,
            record_id=self.record_id,
            state="review",
            other_id=sent_for,
            reason=reason,
            candidates=candidates,
            attempts=entry.attempts if entry else 0,
        )

    def give_way(self) -> None:
        """Its link can't be: another run or an answer has linked the other record meanwhile."""
        if self.link is not None:
            there = self.link.end(other(self.side)).id
            self.ask(
                f"{there} is linked with another record",
                [{"id": there}],
                self.pushes[0] if self.pushes else None,
            )


@dataclass(slots=True)
class _Pair:
    """A link whose two records are there."""

    plan: Plan
    link: Link
    records: dict[Side, UnifiedCustomer]
    is_new: bool
    entry: Entry | None


@dataclass(slots=True)
class _Known:
    """What is known of some records of one side.

    Attributes:
        records: As our table has them.
        links: Theirs.
        entries: What the outbox says of them.
        others: Records of the other side that they are linked with, or that were chosen for them; None where gone.
        claimed: Records of the other side that can be nobody else's counterpart.
        promised: Which of them were chosen for a record of the other side that no run has linked yet, and for which.
    """

    records: Mapping[str, UnifiedCustomer]
    links: Mapping[str, Link]
    entries: Mapping[str, Entry]
    others: Mapping[str, UnifiedCustomer | None]
    claimed: set[str]
    promised: Mapping[str, str]


class Planner:
    """Plans what a route does, some records at a time."""

    def __init__(self, db: Database, route: Route, ends: Mapping[Side, RouteEnd]) -> None:
        """Plan for ``route`` between its ``ends``, whose adapters are connected."""
        self._db = db
        self._route = route
        self._ends = ends
        self._settings = route.settings
        self._is_two_way = route.settings.direction == "two_way"
        self._policies = {
            rule.source: rule.policy or route.settings.conflict_policy for rule in route.settings.fields
        }
        self._is_careful = needs_fresh_look(self._policies.values(), is_two_way=self._is_two_way)
        # Who is being created at the moment, by the side and what would have found them.
        self._creating: Counter[tuple[Side, str, str]] = Counter()

    def settled(self, plans: Iterable[Plan]) -> None:
        """Forget who was being created: these plans' pushes have been sent."""
        for plan in plans:
            for push in plan.pushes:
                if push.operation == "create":
                    self._creating -= Counter(self._marks(push))

    async def plan(self, side: Side, ids: Sequence[str]) -> list[Plan]:
        """Plan what to do about some records of a side.

        Args:
            side: Where they are.
            ids: Their ids, each once.

        Raises:
            AdapterError: If one of the two systems can't be asked.
        """
        known = await self._read(side, ids)
        plans = [Plan(side, record_id) for record_id in ids]
        pairs: list[_Pair] = []
        strangers: list[Plan] = []
        for plan in plans:
            entry, link = known.entries.get(plan.record_id), known.links.get(plan.record_id)
            counterpart = self._counterpart(other(side), entry, link, known.others)
            if self._is_dealt_with(plan, known, counterpart):
                continue
            if counterpart is None:
                strangers.append(plan)
                continue
            known.claimed.add(counterpart.source_id)
            new = link or _new_link(
                side,
                plan.record_id,
                counterpart.source_id,
                "existing" if entry and entry.reason else "person",
            )
            sides = _sides(side, known.records[plan.record_id], counterpart)
            pairs.append(_Pair(plan, new, sides, link is None, entry))
        pairs += await self._match(strangers, known, side)
        await self._plan_pairs(pairs)
        return plans

    async def _read(self, side: Side, ids: Sequence[str]) -> _Known:
        """What the tables and the other system say of some records."""
        here, there = self._ends[side], self._ends[other(side)]
        async with self._db.workspace(self._route.workspace_id) as conn:
            records = await here.stored(conn, ids)
            links = await pushes.links(conn, self._route, side, ids)
            entries = await pushes.entries(conn, self._route, side, ids)
            chosen = {one.other_id for one in entries.values() if one.decision == "link" and one.other_id}
            wanted = {link.end(there.side).id for link in links.values() if not link.reason} | chosen
            others: dict[str, UnifiedCustomer | None] = {**await there.stored(conn, sorted(wanted))}
            claimed = set(await pushes.links(conn, self._route, there.side, list(chosen)) if chosen else ())
            promised = await pushes.promised(conn, self._route, side, ids) if self._is_two_way else {}
        if not self._is_careful:
            others |= self._as_agreed(
                there, [link for link in links.values() if link.end(there.side).id not in others]
            )
        others |= await there.fetch(wanted - set(others))
        return _Known(records, links, entries, others, claimed, promised)

    def _is_dealt_with(self, plan: Plan, known: _Known, counterpart: UnifiedCustomer | None) -> bool:
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
            self._unlink(plan, link)
        elif not meets_all(
            counterpart if link and plan.side == "target" and counterpart else record, self._settings.filter
        ):
            plan.outcome, plan.reason = "left_out", "the route's filter leaves it out"
        else:
            return link is None and self._waits(plan, entry, counterpart, known)
        return True

    @staticmethod
    def _waits(plan: Plan, entry: Entry | None, chosen: UnifiedCustomer | None, known: _Known) -> bool:
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

    def _as_agreed(self, there: RouteEnd, links: Sequence[Link]) -> dict[str, UnifiedCustomer]:
        """Records that were pushed and not pulled yet, as they answered; what is missing of them is not needed."""
        ends = [link.end(there.side) for link in links if not link.reason]
        return {
            end.id: there.desired(None, end.base).model_copy(update={"source_id": end.id})
            for end in ends
            if self._policies.keys() <= end.base.keys()
        }

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

    @staticmethod
    def _counterpart(
        there: Side, entry: Entry | None, link: Link | None, others: Mapping[str, UnifiedCustomer | None]
    ) -> UnifiedCustomer | None:
        """The record across, linked or chosen; None where there is none, or it is gone."""
        if link is not None:
            found = others.get(link.end(there).id)
        else:
            found = (
                others.get(entry.other_id or "") if entry is not None and entry.decision == "link" else None
            )
        return found if found is not None and found.deleted_at is None else None

    # One record

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
        plan.pushes = [self._push(plan, "delete", link, counterpart.source_id, {}, {})]
        plan.changes = [{}]

    def _unlink(self, plan: Plan, link: Link) -> None:
        there = other(plan.side)
        link.reason = (
            f"its counterpart {link.end(there).id} at {self._ends[there].connection.key} was deleted"
        )
        plan.outcome, plan.link, plan.reason = "left_out", link, link.reason

    def _refuse(self, plan: Plan, reason: str, entry: Entry | None) -> None:
        plan.outcome, plan.reason = "refused", reason
        plan.entry = Entry(
            side=plan.side,
            record_id=plan.record_id,
            state="refused",
            reason=reason,
            decision=entry.decision if entry else None,
            other_id=entry.other_id if entry else None,
            attempts=entry.attempts if entry else 0,
        )

    def _push(
        self,
        plan: Plan,
        operation: pushes.Operation,
        link: Link | None,
        other_id: str | None,
        body: Mapping[str, Any],
        agreed: Mapping[Side, Mapping[str, Any]],
        *,
        to: Side | None = None,
        attempts: int = 0,
    ) -> Entry:
        to = to or other(plan.side)
        origin = other(to)
        record_id = link.end(origin).id if link else plan.record_id
        version = (link.version if link else 0, attempts)
        parts = (str(self._route.id), to, record_id, operation, version, content_hash(body))
        return Entry(
            side=origin,
            record_id=record_id,
            state="sending",
            operation=operation,
            other_id=other_id,
            idempotency_key=f"route-{xxhash.xxh3_128_hexdigest(repr(parts).encode())}",
            body=body,
            agreed=agreed,
            attempts=attempts,
        )

    # Records without a counterpart

    async def _match(self, strangers: Sequence[Plan], known: _Known, side: Side) -> list[_Pair]:
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
                self._refuse(plan, str(error), known.entries.get(plan.record_id))

        found = await self._look_up(
            there, [one for one in wanted.values() if not _is_decided(known.entries.get(one.source_id))]
        )
        pairs: list[_Pair] = []
        unknown: list[Plan] = []
        for plan in strangers:
            if plan.record_id not in wanted:
                continue
            entry, former = known.entries.get(plan.record_id), known.links.get(plan.record_id)
            one = found.get(plan.record_id, matching.Found())
            if one.record is not None and one.record.source_id in known.claimed:
                plan.ask("another record is the same one as well", describe([one.record]), entry)
            elif one.record is not None and one.rule is not None:
                known.claimed.add(one.record.source_id)
                link = _new_link(side, plan.record_id, one.record.source_id, one.rule)
                if former is not None:
                    plan.former, link.version = former, former.version + 1
                sides = _sides(side, known.records[plan.record_id], one.record)
                pairs.append(_Pair(plan, link, sides, is_new=True, entry=entry))
            elif one.reason is not None:
                plan.ask(one.reason, describe(one.candidates), entry)
            else:
                unknown.append(plan)
        await self._create(unknown, known, side)
        return pairs

    async def _create(self, plans: Sequence[Plan], known: _Known, side: Side) -> None:
        """Plan the creation of records, but for those that a lost push may have created from one across."""
        here, there = self._ends[side], self._ends[other(side)]
        lost: Sequence[Entry] = ()
        senders: Mapping[str, UnifiedCustomer] = {}
        if plans and self._is_two_way:
            async with self._db.workspace(self._route.workspace_id) as conn:
                lost = await pushes.lost(conn, self._route, there.side, limit=_MOST_LOST)
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
                return set(await pushes.links(conn, self._route, there.side, list(ids)))

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
        push = self._push(
            plan, "create", link, None, body, {here.side: values, there.side: values}, attempts=attempts
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

    # Records with a counterpart

    async def _plan_pairs(self, pairs: Sequence[_Pair]) -> None:
        merges = [self._merge(pair) for pair in pairs]
        if self._is_careful:
            await self._look_again(
                [pair for pair, merge in zip(pairs, merges, strict=True) if merge.agreed["source"]]
            )
            merges = [self._merge(pair) for pair in pairs]
        for pair, merge in zip(pairs, merges, strict=True):
            if pair.plan.outcome == "unchanged":
                self._plan_pair(pair, merge)

    def _merge(self, pair: _Pair) -> Merge:
        return reconcile(
            self._policies,
            {side: self._ends[side].view(pair.records[side]) for side in SIDES},
            {side: pair.link.end(side) for side in SIDES},
            is_two_way=self._is_two_way,
            differs=lambda side, rule, one, another: self._ends[side].differs(rule, one, another),
        )

    async def _look_again(self, pairs: Sequence[_Pair]) -> None:
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
                    self._unlink(pair.plan, pair.link)

    def _plan_pair(self, pair: _Pair, merge: Merge) -> None:
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
                self._refuse(plan, str(error), pair.entry)
                continue
            attempts = pair.entry.attempts if pair.entry else 0
            plan.pushes.append(
                self._push(plan, "update", link, link.end(side).id, body, agreed, to=side, attempts=attempts)
            )
            before = end.values(pair.records[side])
            plan.changes.append({end.names[rule]: (before[rule], value) for rule, value in writes.items()})
        if plan.pushes:
            plan.outcome = "write"
        plan.link = link if has_news else None


def _kept(entry: Entry | None) -> Entry | None:
    """An entry that stays although its record is passed over: a person's word, or a push on its way."""
    return entry if entry is not None and entry.state in ("skipped", "sending") else None


def _is_decided(entry: Entry | None) -> bool:
    return entry is not None and entry.decision == "create"


def _new_link(side: Side, record_id: str, other_id: str, rule: str) -> Link:
    here, there = LinkEnd(record_id), LinkEnd(other_id)
    return Link(here, there, rule) if side == "source" else Link(there, here, rule)


def _sides(side: Side, record: UnifiedCustomer, counterpart: UnifiedCustomer) -> dict[Side, UnifiedCustomer]:
    return {side: record, other(side): counterpart}


def _since(end: RouteEnd, stored: UnifiedCustomer, fresh: UnifiedCustomer) -> UnifiedCustomer:
    """A record that was read anew; where it has not changed, it is as old as it was."""
    if fresh.updated_at is None and end.values(stored) == end.values(fresh):
        return fresh.model_copy(update={"synced_at": stored.synced_at})
    return fresh
