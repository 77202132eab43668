"""What is known of some records of one side, before anything is planned about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unified.schema.customer import UnifiedCustomer
from unified.store.database import Database
from unified.store.routes import links, outbox
from unified.store.routes.links import Link, LinkEnd
from unified.store.routes.outbox import Entry
from unified.store.routes.rows import Route
from unified.store.routes.sides import Side, other
from unified.sync.routes.end import RouteEnd
from unified.sync.routes.plan import Plan


@dataclass(slots=True)
class Known:
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

    def counterpart(self, plan: Plan) -> UnifiedCustomer | None:
        """The record across, linked or chosen; None where there is none, or it is gone."""
        entry, link = self.entries.get(plan.record_id), self.links.get(plan.record_id)
        if link is not None:
            found = self.others.get(link.end(other(plan.side)).id)
        elif entry is not None and entry.decision == "link":
            found = self.others.get(entry.other_id or "")
        else:
            found = None
        return found if found is not None and found.deleted_at is None else None


@dataclass(slots=True)
class Pair:
    """A link whose two records are there.

    Attributes:
        plan: What to do about the one that changed.
        link: The link.
        records: Both, by side.
        is_new: Whether the link is not stored yet.
        entry: What the outbox says of the one that changed.
    """

    plan: Plan
    link: Link
    records: dict[Side, UnifiedCustomer]
    is_new: bool
    entry: Entry | None

    @classmethod
    def found(
        cls, plan: Plan, known: Known, record: UnifiedCustomer, rule: str, link: Link | None = None
    ) -> "Pair":
        """A record of which some are known, and its counterpart.

        Args:
            plan: What to do about the record.
            known: What is known of it.
            record: Its counterpart, which can be nobody else's from now on.
            rule: Why the two are one.
            link: Their link; None where that is new.
        """
        known.claimed.add(record.source_id)
        here, there = LinkEnd(plan.record_id), LinkEnd(record.source_id)
        new = Link(here, there, rule) if plan.side == "source" else Link(there, here, rule)
        records = {plan.side: known.records[plan.record_id], other(plan.side): record}
        return cls(plan, link or new, records, link is None, known.entries.get(plan.record_id))


async def read(
    db: Database,
    route: Route,
    ends: Mapping[Side, RouteEnd],
    side: Side,
    ids: Sequence[str],
    *,
    is_careful: bool,
) -> Known:
    """What the tables and the other system say of some records.

    Args:
        db: Where the tables are.
        route: Along which they travel.
        ends: Its ends, whose adapters are connected.
        side: Where the records are.
        ids: Theirs.
        is_careful: Whether records across count as they are there, and not as they answered when they were pushed.

    Raises:
        AdapterError: If the other system can't be asked.
    """
    here, there = ends[side], ends[other(side)]
    async with db.workspace(route.workspace_id) as conn:
        records = await here.stored(conn, ids)
        linked = await links.read(conn, route, side, ids)
        entries = await outbox.read(conn, route, side, ids)
        chosen = {one.other_id for one in entries.values() if one.decision == "link" and one.other_id}
        wanted = {link.end(there.side).id for link in linked.values() if not link.reason} | chosen
        others: dict[str, UnifiedCustomer | None] = {**await there.stored(conn, sorted(wanted))}
        claimed = set(await links.read(conn, route, there.side, list(chosen)) if chosen else ())
        is_two_way = route.settings.direction == "two_way"
        promised = await outbox.promised(conn, route, side, ids) if is_two_way else {}
    if not is_careful:
        unread = [link for link in linked.values() if link.end(there.side).id not in others]
        others |= _as_agreed(there, unread)
    others |= await there.fetch(wanted - set(others))
    return Known(records, linked, entries, others, claimed, promised)


def _as_agreed(there: RouteEnd, unread: Sequence[Link]) -> dict[str, UnifiedCustomer]:
    """Records that were pushed and not pulled yet, as they answered; what is missing of them is not needed."""
    ends = [link.end(there.side) for link in unread if not link.reason]
    return {
        end.id: there.desired(None, end.base).model_copy(update={"source_id": end.id})
        for end in ends
        if there.names.keys() <= end.base.keys()
    }
