"""A sync that stops at its time limit: the next one goes on, and together they cost about one."""

from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import Source
from unified.kit.mapping.rules import Rule
from unified.store.connections import field_rules


async def test_many_short_syncs_make_one_full_load(source: Source) -> None:
    await source.configure(concurrency=1)
    results = [await source.sync(time_limit=0)]
    while not results[-1].is_complete:
        assert (await source.state()).sync_status == "success"
        assert len(results) < 50
        results.append(await source.sync(time_limit=0))
    assert len(results) > 3
    assert {result.mode for result in results} == {"full"}
    assert [entry.is_complete for entry in await source.history()] == [True] + [False] * (len(results) - 1)
    assert sum(result.inserted for result in results) == sum(result.read for result in results)
    await source.assert_agrees()
    in_pieces = source.requests
    whole = (await source.sync(full=True)).requests
    # Each piece reads on: what it costs more is the request that it was in when its time was over, and to ask for
    # companies that the piece before it knew already.
    assert in_pieces <= whole + 2 * len(results)


async def test_changes_are_followed_in_pieces_too(source: Source) -> None:
    await source.sync()
    await source.configure(concurrency=1)
    for number, customer in enumerate(list(source.expected())[:240]):
        source.rename(customer, f"Renamed {number}")
    updated = pulls = 0
    while True:
        result = await source.sync(time_limit=0)
        updated += result.updated
        pulls += 1
        if result.is_complete:
            break
    assert updated == 240
    assert pulls > 1
    await source.assert_agrees()


async def test_a_time_limit_ends_a_wait(stripe: Source) -> None:
    """Not only between two pages: a provider that keeps one waiting must not hold a run for ever."""
    await stripe.configure(concurrency=1)
    stripe.fault("slow", "/v1/customers", skip=2, seconds=3600)
    result = await stripe.sync(time_limit=0.2)
    assert not result.is_complete
    stripe.sandbox.faults.clear()
    await stripe.sync()
    await stripe.assert_agrees()


async def test_a_refresh_goes_on_although_the_mapping_changed(source_of: MakeSource) -> None:
    source = await source_of("stripe")
    await source.sync()
    gone = list(source.expected())[200]
    source.change("delete_customer", gone)
    await source.configure(concurrency=1)
    while True:
        first = await source.sync(full=True, time_limit=0)
        cursor = await source.cursor()
        assert cursor is not None
        if first.read:
            break
    assert "refresh" in cursor.cursor
    rule = Rule(source="metadata.crm_id", target="custom_fields.crm")
    await field_rules.put(source.db, source.connection, "customers", rule)

    # A full one was not asked for: the unfinished one goes on, mapping anew what it meets.
    result = await source.sync()

    assert (result.mode, result.is_complete, result.deleted) == ("full", True, 1)
    assert result.read < len(source.expected())
    assert result.updated > 0
    await source.assert_agrees()
