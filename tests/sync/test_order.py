"""Order, duplication and batching of what was observed make no difference to what is stored."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.base import ConnectionRef, Page, RawRecord, Tombstone
from adapters.factory import build_adapter
from store.database import Database
from store.tables import StreamKey
from sync.mapping import Mapping
from sync.storing import store_pages

T0 = datetime(2026, 1, 1, tzinfo=UTC)

# What a record was, one state after the other: a name, or None while it was deleted.
lives = st.lists(st.sampled_from(["x", "y", None]), min_size=1, max_size=5)


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[list[str | None]], list[list[tuple[int, int]]]]:
    """The lives of two records, and their states (record, number) as they come: all of them, some twice."""
    records = draw(st.lists(lives, min_size=1, max_size=2))
    states = [(record, number) for record, life in enumerate(records) for number in range(len(life))]
    seen = draw(st.permutations(states + draw(st.lists(st.sampled_from(states), max_size=4))))
    cuts = sorted(draw(st.sets(st.integers(1, len(seen)))) | {0, len(seen)})
    return records, [seen[start:end] for start, end in pairwise(cuts)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(story=stories())
async def test_the_newest_state_wins(
    database: Database, stream: StreamKey, story: tuple[list[list[str | None]], list[list[tuple[int, int]]]]
) -> None:
    records, batches = story
    ref = ConnectionRef(stream.connection_id, stream.workspace_id, "acme/stripe")
    mapping = Mapping(build_adapter("stripe", {}, {}, ref), "customers")
    ids = [uuid4().hex for _ in records]

    def page(record: int, number: int) -> Page:
        name, at = records[record][number], T0 + timedelta(minutes=number)
        if name is None:
            return Page([], at, None, [Tombstone(ids[record], at)])
        return Page(
            [RawRecord(ids[record], json.dumps({"id": ids[record], "name": name}).encode())], at, None
        )

    for batch in batches:
        await store_pages(database, stream, mapping, [page(*state) for state in batch], T0)

    async with database.workspace(stream.workspace_id) as connection:
        result = await connection.execute(
            "SELECT source_id, name, deleted_at, observed_at FROM unified_customers"
            " WHERE source_id = ANY(%s)",
            (ids,),
        )
        stored = {source_id: rest for source_id, *rest in await result.fetchall()}
    for source_id, life in zip(ids, records, strict=True):
        name, deleted_at, observed_at = stored[source_id]
        last = T0 + timedelta(minutes=len(life) - 1)
        assert observed_at == last
        if life[-1] is None:
            assert deleted_at == last
        else:
            assert (name, deleted_at) == (life[-1], None)
