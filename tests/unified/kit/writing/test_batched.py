"""Changes sent together: each has an outcome of its own, and what is open is looked up before it is sent again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from unified.kit.errors import (
    AuthenticationError,
    NotFoundError,
    ProviderError,
    RequestRefusedError,
    UndecidedError,
)
from unified.kit.writing.batched import Batched, BatchOutcome, BatchTarget, Lane, Refused
from unified.kit.writing.changes import Write, Written

CREATE = Lane("create", is_repeatable=False)
UPDATE = Lane("update", is_repeatable=True)


@dataclass
class Table(BatchTarget):
    """A system that keeps what it is sent.

    Attributes:
        bad: Names that it refuses, each by itself.
        poison: Names for which it refuses the whole request.
        silent: Names whose results say nothing of them.
        cut: How often no answer comes although all is done.
        lost: How often nothing is done and no answer comes.
    """

    bad: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    cut: int = 0
    lost: int = 0
    rows: list[str] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    looked_up: list[int] = field(default_factory=list)
    revoked_after: int = 1_000

    @property
    def label(self) -> str:
        return "demo connection acme/demo"

    def lane(self, write: Write) -> Lane:
        return CREATE if write.operation == "create" else UPDATE

    async def send(self, lane: Lane, writes: Sequence[Write]) -> BatchOutcome:
        self.requests.append(len(writes))
        if len(self.requests) > self.revoked_after:
            raise AuthenticationError("acme/demo: revoked")
        names = {str(write.body["name"]): write for write in writes}
        if self.poison & names.keys():
            raise RequestRefusedError("acme/demo: no", code="POISON")
        if self.lost:
            self.lost -= 1
            raise UndecidedError("acme/demo: no answer; whether it was carried out is open")
        done = [name for name in names if name not in self.bad]
        self.rows += [f"{lane.action} {name}" for name in done]
        if self.cut:
            self.cut -= 1
            raise UndecidedError("acme/demo: no answer; whether it was carried out is open")
        settled = [Written(names[name], "applied", name) for name in done if name not in self.silent]
        refused = [Refused(names[name], "BAD", f"{name} is bad") for name in self.bad & names.keys()]
        return BatchOutcome(settled, refused, unmatched=len(self.silent & set(done)))

    async def look_up(self, writes: Sequence[Write]) -> list[Written]:
        self.looked_up.append(len(writes))
        there = [write for write in writes if f"create {write.body['name']}" in self.rows]
        return [Written(write, "applied", write.body["name"]) for write in there]

    async def refusal(self, write: Write, error: ProviderError) -> Refused:
        if isinstance(error, NotFoundError):
            raise error
        return Refused(write, error.code or "", str(error))

    async def settle(self, refused: Sequence[Refused]) -> list[Written]:
        return [Written(one.write, "refused", reason=f"{one.category}: {one.reason}") for one in refused]


def creations(count: int, **more: datetime) -> list[Write]:
    return [Write("create", None, {"name": f"n{n}"}, f"k{n}", **more) for n in range(count)]


async def write(
    table: Table, writes: Sequence[Write], *, attempts: int = 3
) -> tuple[dict[str, str], ProviderError | None]:
    """Outcomes by name, and what ended it."""
    outcomes: dict[str, str] = {}
    batched = Batched(table, size=4, at_once=1, attempts=attempts, retry_delay=0)
    try:
        async for one in batched.write(writes):
            assert one.write.body["name"] not in outcomes
            outcomes[one.write.body["name"]] = one.outcome
    except ProviderError as error:
        return outcomes, error
    return outcomes, None


async def test_writes_go_in_batches_of_their_lane() -> None:
    table = Table()
    changes = [Write("update", "1", {"name": f"u{n}"}, f"ku{n}") for n in range(3)]
    outcomes, error = await write(table, [*creations(6), *changes])
    assert (set(outcomes.values()), len(outcomes), error) == ({"applied"}, 9, None)
    assert table.requests == [4, 2, 3]


async def test_what_one_is_refused_for_keeps_no_other_from_being_written() -> None:
    table = Table(bad={"n1"}, poison={"n2"})
    outcomes, error = await write(table, creations(4))
    assert (outcomes, error) == ({"n0": "applied", "n1": "refused", "n2": "refused", "n3": "applied"}, None)
    assert sorted(table.rows) == ["create n0", "create n3"]


@pytest.mark.parametrize("how", [{"cut": 1}, {"cut": 2}, {"lost": 1}, {"lost": 2}, {"cut": 1, "lost": 1}])
async def test_what_is_open_is_looked_up_and_nothing_is_done_twice(how: dict[str, int]) -> None:
    table = Table(**how)
    outcomes, error = await write(table, creations(4))
    assert (outcomes, error) == ({f"n{n}": "applied" for n in range(4)}, None)
    assert sorted(table.rows) == [f"create n{n}" for n in range(4)]


async def test_what_an_earlier_run_sent_is_looked_up_first() -> None:
    table = Table(rows=["create n0", "create n1"])
    outcomes, _ = await write(table, creations(2, sent_at=datetime(2026, 11, 20, tzinfo=UTC)))
    assert outcomes == {"n0": "applied", "n1": "applied"}
    assert (table.requests, table.looked_up) == ([], [2])


async def test_without_any_answer_it_stays_open() -> None:
    table = Table(lost=9)
    outcomes, error = await write(table, creations(6), attempts=2)
    assert isinstance(error, UndecidedError)
    assert outcomes == {f"n{n}": "unknown" for n in range(4)}, "the second batch was never sent"


async def test_a_result_that_names_nobody_leaves_open_what_it_may_be_about() -> None:
    table = Table(silent={"n1"})
    changes = [Write("update", "1", {"name": f"n{n}"}, f"k{n}") for n in range(3)]
    outcomes, error = await write(table, changes)
    assert isinstance(error, UndecidedError)
    assert "leaves out 1 of 3 records" in str(error)
    assert outcomes == {"n0": "applied", "n1": "unknown", "n2": "applied"}


async def test_an_error_about_the_connection_ends_it_and_reports_only_what_is_known() -> None:
    outcomes, error = await write(Table(revoked_after=1), creations(6))
    assert isinstance(error, AuthenticationError)
    assert outcomes == {f"n{n}": "applied" for n in range(4)}
