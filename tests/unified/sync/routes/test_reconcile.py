"""Two linked records under random edits, with observations that come late, twice and out of order.

However the news travels, a route ends in one state, and then writes nothing more. Systems here keep values in forms of
their own; reading, writing and bookkeeping are as in `unified.sync.routes.plan` and
`unified.sync.routes.settlement`, the merge is the real one.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.properties import given, settings
from unified.store.routes.links import LinkEnd
from unified.store.routes.settings import Policy
from unified.store.routes.sides import SIDES, Side, other
from unified.sync.routes.reconcile import View, needs_fresh_look, reconcile

FIELDS = ("name", "email", "note")
Values = dict[str, Any]


def at(moment: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)


def kept(side: Side, name: str, value: Any) -> Any:
    """What a system makes of a value: one has lower-case addresses, the other short notes."""
    if value is not None and side == "target" and name == "email":
        return value.lower()
    if value is not None and side == "source" and name == "note":
        return value[:2] or None
    return value


def differs(side: Side, name: str, one: Any, another: Any) -> bool:
    return bool(kept(side, name, one) != kept(side, name, another))


@dataclass(frozen=True)
class Seen(View):
    """A view, and when it was taken."""

    observed_at: datetime


@dataclass
class World:
    """Two systems, our table of each, a link, and news on its way."""

    policies: dict[str, Policy]
    is_two_way: bool
    actual: dict[Side, Values]
    changed: dict[Side, int]
    seen: dict[Side, Seen]
    ends: dict[Side, LinkEnd]
    clock: int = 1
    writes: int = 0
    news: list[tuple[Side, Seen]] = field(default_factory=list)

    @classmethod
    def agreed(cls, policies: dict[str, Policy], *, is_two_way: bool, start: Values | None) -> "World":
        values = {
            side: {name: kept(side, name, (start or {}).get(name)) for name in FIELDS} for side in SIDES
        }
        return cls(
            policies,
            is_two_way,
            values,
            dict.fromkeys(SIDES, 0),
            {side: Seen(dict(values[side]), at(0), at(0)) for side in SIDES},
            {side: LinkEnd(side, base=dict(values[side]) if start else {}) for side in SIDES},
        )

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def look(self, side: Side) -> Seen:
        """What the system shows now."""
        return Seen(dict(self.actual[side]), at(self.changed[side]), at(self.tick()))

    def edit(self, side: Side, name: str, value: Any) -> None:
        if self.actual[side][name] != kept(side, name, value):
            self.actual[side][name] = kept(side, name, value)
            self.changed[side] = self.tick()
        self.news.append((side, self.look(side)))

    def deliver(self, side: Side, view: Seen) -> None:
        """The newest observation wins, whichever comes first."""
        if view.observed_at >= self.seen[side].observed_at:
            self.seen[side] = view

    def run(self) -> None:
        views = dict(self.seen)
        merge = self._merge(views)
        is_careful = needs_fresh_look(self.policies.values(), is_two_way=self.is_two_way)
        if is_careful and merge.agreed["source"]:
            views = {side: self.look(side) for side in SIDES}
            merge = self._merge(views)
        sent = {name for writes in merge.writes.values() for name in writes}
        for side in SIDES:
            self.ends[side].base |= {
                name: one for name, one in merge.agreed[side].items() if name not in sent
            }
        for side in SIDES:
            for name, value in merge.writes[side].items():
                self._write(side, name, value, merge.agreed[other(side)][name])
            if merge.writes[side]:
                self.news.append((side, self.look(side)))

    def _write(self, side: Side, name: str, value: Any, origin: Any) -> None:
        self.writes += 1
        if self.actual[side][name] != kept(side, name, value):
            self.actual[side][name] = kept(side, name, value)
            self.changed[side] = self.tick()
        self.ends[side].base[name] = self.actual[side][name]
        self.ends[other(side)].base[name] = origin

    def _merge(self, views: dict[Side, View]) -> Any:
        return reconcile(self.policies, views, self.ends, is_two_way=self.is_two_way, differs=differs)

    def state(self) -> tuple[Values, Values]:
        return dict(self.actual["source"]), dict(self.actual["target"])


values = st.sampled_from([None, "a", "A", "ab", "abc", "b"])
edits = st.lists(st.tuples(st.sampled_from(SIDES), st.sampled_from(FIELDS), values), max_size=8)
policies_of = st.fixed_dictionaries(
    {name: st.sampled_from(["source_wins", "target_wins", "newest_wins"]) for name in FIELDS}
)
starts = st.none() | st.fixed_dictionaries(dict.fromkeys(FIELDS, values))


def settle(world: World, order: Any) -> None:
    """Deliver all news in some order, some of it twice, with runs in between; then until nothing is on its way."""
    for _ in range(12):
        pending, world.news = world.news, []
        if not pending:
            break
        for side, view in order.draw(st.permutations([*pending, *pending[:2]])):
            world.deliver(side, view)
            if order.draw(st.booleans()):
                world.run()
        for side, view in pending:
            world.deliver(side, view)
        world.run()
    assert not world.news, "it goes on for ever"


def assert_settled(world: World) -> None:
    """Nothing more is written, whatever is looked at again; and of a two-way route both sides are alike."""
    before = world.writes
    for side in SIDES:
        world.deliver(side, world.look(side))
    for _ in range(3):
        world.run()
    assert world.writes == before
    for name in FIELDS if world.is_two_way else ():
        source, target = (world.actual[side][name] for side in SIDES)
        assert not differs("target", name, source, target) or not differs("source", name, source, target)


def assert_arrived(start: Values, source: Values, target: Values) -> None:
    """What the source changed is at the target; what only the target changed may stay."""
    for name in FIELDS:
        if source[name] != kept("source", name, start[name]):
            assert not differs("target", name, source[name], target[name])


def all_at_once(world: World) -> None:
    """Deliver all news in order, then run; as often as that makes news."""
    for _ in range(7):
        for side, view in world.news:
            world.deliver(side, view)
        world.news = []
        world.run()


@settings(max_examples=400, deadline=None)
@given(edits=edits, policies=policies_of, start=starts, is_two_way=st.booleans(), data=st.data())
def test_whatever_order_the_news_comes_in_it_ends_in_one_state_and_then_nothing_is_written(
    edits: list[tuple[Side, str, Any]], policies: Any, start: Values | None, is_two_way: bool, data: Any
) -> None:
    ends = []
    for is_shuffled in (False, True):
        world = World.agreed(policies, is_two_way=is_two_way, start=start)
        for side, name, value in edits:
            world.edit(side, name, value)
        if is_shuffled:
            settle(world, data)
        else:
            all_at_once(world)
        ends.append(world.state())
        assert_settled(world)
    if is_two_way:
        assert ends[0] == ends[1]
    elif start and set(policies.values()) == {"source_wins"}:
        for source, target in ends:
            assert_arrived(start, source, target)


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("edit"), st.sampled_from(SIDES), st.sampled_from(FIELDS), values),
            st.tuples(st.just("run"), st.none(), st.none(), st.none()),
            st.tuples(st.just("deliver"), st.none(), st.none(), st.integers(0, 20)),
        ),
        max_size=25,
    ),
    policies=policies_of,
    start=starts,
    is_two_way=st.booleans(),
)
def test_edits_between_runs_settle_too(
    steps: list[tuple[str, Side, str, Any]], policies: Any, start: Values | None, is_two_way: bool
) -> None:
    world = World.agreed(policies, is_two_way=is_two_way, start=start)
    for kind, side, name, value in steps:
        match kind:
            case "edit":
                world.edit(side, name, value)
            case "run":
                world.run()
            case _ if world.news:
                world.deliver(*world.news[value % len(world.news)])
    for _ in range(8):
        for late in (*world.news, *((side, world.look(side)) for side in SIDES)):
            world.deliver(*late)
        world.news = []
        world.run()
    assert_settled(world)
