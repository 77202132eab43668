"""Writes take effect once, whatever comes back, and what was written reads back the same."""

from typing import Any

from unified.conformance.bench import Bench, Copy
from unified.conformance.checks import Cases, check
from unified.kit.adapter import BaseAdapter
from unified.kit.errors import ProviderError
from unified.kit.writing.changes import Write, Written
from unified.schema.base import UnifiedBase
from unified.schema.customer import UnifiedCustomer

_LOST: dict[str, dict[str, Any]] = {
    "cut": {"kind": "cut"},
    "502": {"kind": "status", "status": 502},
    "web page": {"kind": "html", "status": 200},
}


def _written(bench: type[Bench]) -> list[tuple[str]]:
    return [(stream.name,) for stream in bench.adapter_class.streams if stream.writable_fields]


def _written_and(*cases: object) -> Cases:
    return lambda bench: [(stream, case) for (stream,) in _written(bench) for case in cases]


@check(_written)
async def what_was_written_reads_back_the_same(bench: Bench, stream: str) -> None:
    """Create, update and delete: each applied, and the record as it is read then makes the body that was sent."""
    async with bench.open() as adapter:
        body = adapter.from_unified(stream, _customer(bench, adapter, stream))
        made = (await _write(adapter, stream, Write("create", None, body, "acme/1/1")))[0]
        assert (made.outcome, made.source_id is not None) == ("applied", True)
        assert adapter.from_unified(stream, await _read(bench, adapter, stream, made)) == body
        desired = _customer(bench, adapter, stream, name="Grace Hopper")
        changes = adapter.from_unified(stream, desired, ("name",))
        update = Write("update", made.source_id, changes, "acme/1/2")
        assert [one.outcome for one in await _write(adapter, stream, update)] == ["applied"]
        assert adapter.from_unified(stream, await _read(bench, adapter, stream, made), ("name",)) == changes
        gone = Write("delete", made.source_id, {}, "acme/1/3")
        assert [one.outcome for one in await _write(adapter, stream, gone)] == ["applied"]
        assert made.source_id not in bench.ids(stream)
        late = Write("update", made.source_id, changes, "acme/1/4")
        assert [one.outcome for one in await _write(adapter, stream, late)] == ["missing"]


@check(_written_and(*((fault, skip) for fault in _LOST for skip in (0, 1))))
async def a_create_whose_answer_is_lost_takes_effect_once(
    bench: Bench, stream: str, lost: tuple[str, int]
) -> None:
    """The answer is cut off or unreadable; the write is sent again later, as a run does that goes on."""
    fault, skip = lost
    before = bench.ids(stream)
    bench.fault(skip=skip, **_LOST[fault])
    async with bench.open(retry_count=0) as adapter:
        body = adapter.from_unified(stream, _customer(bench, adapter, stream))
        create = Write("create", None, body, "acme/1/1")
        try:
            await _write(adapter, stream, create)
        except ProviderError:
            assert len(bench.ids(stream) - before) <= 1
    bench.provider.faults.clear()
    again = Write("create", None, body, "acme/1/1", sent_at=bench.now())
    async with bench.open() as adapter:
        reported = await _write(adapter, stream, again)
    assert len(reported) == 1
    assert len(bench.ids(stream) - before) == 1, f"the outcome was {reported[0].outcome}"


@check(_written)
async def each_write_is_reported_once_and_one_refusal_costs_no_other(bench: Bench, stream: str) -> None:
    """A hundred and more at once, one of them for a record that does not exist."""
    before = bench.ids(stream)
    async with bench.open() as adapter:
        writes = [
            Write(
                "create",
                None,
                adapter.from_unified(stream, _customer(bench, adapter, stream, number)),
                f"acme/{number}/1",
            )
            for number in range(120)
        ]
        changes = adapter.from_unified(stream, _customer(bench, adapter, stream), ("name",))
        gone = bench.edit("delete", stream, min(before))
        writes.insert(60, Write("update", gone, changes, "acme/gone/1"))
        reported = await _write(adapter, stream, *writes)
    outcomes = {one.write.idempotency_key: one.outcome for one in reported}
    assert len(outcomes) == len(reported) == len(writes)
    assert outcomes.pop("acme/gone/1") == "missing"
    assert set(outcomes.values()) == {"applied"}
    assert len(bench.ids(stream) - before) == len(outcomes)


def _customer(
    bench: Bench,
    adapter: BaseAdapter[Any],
    stream: str,
    number: int = 0,
    *,
    name: str = "Ada King",
) -> UnifiedCustomer:
    identity = adapter.origin(stream, bench.now(), bench.now()).identify("x")
    return UnifiedCustomer(
        # Some systems take each name once.
        **identity,
        name=f"{name} {number}" if number else name,
        email=f"ada{number}@acme.example",
        phone=f"+4930123{number:04}",
    )


async def _write(adapter: BaseAdapter[Any], stream: str, *writes: Write) -> list[Written]:
    return [written async for written in adapter.write(stream, writes)]


async def _read(bench: Bench, adapter: BaseAdapter[Any], stream: str, made: Written) -> UnifiedBase:
    copy = Copy(stream)
    async for page in adapter.fetch(stream, [str(made.source_id)]):
        copy.add(page)
        raw = page.records[0].body
    assert list(copy.records) == [made.source_id]
    return adapter.map_record(stream, raw, adapter.origin(stream, bench.now(), bench.now()))
