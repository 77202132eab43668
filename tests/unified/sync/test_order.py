"""Order, duplication and batching of what was observed make no difference to what is stored."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

from hypothesis import strategies as st

from tests.properties import HealthCheck, example, given, settings
from unified.kit.declarations import ConnectionRef
from unified.kit.factory import build_adapter
from unified.kit.streams import Page, RawRecord, Tombstone
from unified.store.database import Database
from unified.store.records import rejects
from unified.store.records.tables import StreamKey
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.storing import store_pages

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DELETED, BROKEN = "deleted", "broken"

# What a record was, one minute after the other: a name, deleted, or what no customer can be.
Life = list[str]
# Which state of which record.
State = tuple[int, int]
Story = tuple[list[Life], list[list[State]]]

lives = st.lists(st.sampled_from(["x", "y", DELETED, BROKEN]), min_size=1, max_size=5)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """The lives of some records, and their states as they come, batch by batch: all of them, some twice."""
    records = draw(st.lists(lives, min_size=1, max_size=2))
    states = [(record, number) for record, life in enumerate(records) for number in range(len(life))]
    seen = draw(st.permutations(states + draw(st.lists(st.sampled_from(states), max_size=4))))
    cuts = sorted(draw(st.sets(st.integers(1, len(seen)))) | {0, len(seen)})
    return records, [seen[start:end] for start, end in pairwise(cuts)]


# There and back again, of which one batch sees only the way: what it reads last is what is stored already.
THERE_AND_BACK: Story = ([["x", "y", "x"]], [[(0, 0)], [(0, 1), (0, 2)]])
SEEN_AGAIN_AND_AGAIN: Story = ([["x"] * 5], [[(0, 0)], [(0, 1), (0, 2), (0, 3), (0, 4), (0, 1)]])
BROKEN_AND_MENDED: Story = ([["x", BROKEN, "x"]], [[(0, 0)], [(0, 2)], [(0, 1)]])


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(THERE_AND_BACK)
@example(SEEN_AGAIN_AND_AGAIN)
@example(BROKEN_AND_MENDED)
@given(stories())
async def test_the_newest_state_wins(database: Database, stream: StreamKey, story: Story) -> None:
    records, batches = story
    ref = ConnectionRef(stream.connection_id, stream.workspace_id, "acme/stripe")
    mapping = Mapping(build_adapter("stripe", {}, {}, ref), "customers")
    ids = [uuid4().hex for _ in records]

    def at(number: int) -> datetime:
        return T0 + timedelta(minutes=number)

    def page(record: int, number: int) -> Page:
        state, source_id = records[record][number], ids[record]
        if state == DELETED:
            return Page([], at(number), None, [Tombstone(source_id, at(number))])
        body = {"id": source_id, "name": state, "object": "subscription" if state == BROKEN else "customer"}
        return Page([RawRecord(source_id, json.dumps(body).encode())], at(number), None)

    async with Mapper() as mapper:
        for batch in batches:
            await store_pages(database, stream, mapping, mapper, [page(*state) for state in batch], T0)

    async with database.workspace(stream.workspace_id) as connection:
        result = await connection.execute(
            "SELECT source_id, CASE WHEN deleted_at IS NULL THEN name ELSE 'deleted' END, observed_at"
            " FROM unified_customers WHERE source_id = ANY(%s)",
            (ids,),
        )
        stored = {
            source_id: (state, observed_at) for source_id, state, observed_at in await result.fetchall()
        }
        set_aside = {reject.key: reject.observed_at for reject in await rejects.read(connection, stream)}
    for source_id, life in zip(ids, records, strict=True):
        known = [(state, at(number)) for number, state in enumerate(life) if state != BROKEN]
        # What was met as deleted alone was never here.
        was_here = any(state != DELETED for state, _ in known)
        assert stored.get(source_id) == (known[-1] if was_here else None)
        assert set_aside.get(source_id) == (at(len(life) - 1) if life[-1] == BROKEN else None)
