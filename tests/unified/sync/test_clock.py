"""Clocks that jump: the provider's, by its Date header, and the database's, by which states are ordered."""

import pytest

from tests.unified.sync.source import Source

HOUR = 3600
DAY = 24 * HOUR


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 40 * DAY])
async def test_a_provider_whose_clock_was_wrong_during_a_load(source: Source, jump: int) -> None:
    source.fault("clock", times=None, seconds=jump)
    await source.sync()
    await source.assert_agrees()
    source.sandbox.faults.clear()
    ids = list(source.expected())
    source.rename(ids[0], "Changed after the clock was right again")
    await source.sync()
    await source.assert_agrees()


@pytest.mark.parametrize("answer", range(4))
async def test_a_provider_whose_clock_jumps_for_one_answer(source: Source, answer: int) -> None:
    await source.sync()
    ids = list(source.expected())
    source.fault("clock", skip=answer, seconds=HOUR)
    await source.sync()
    source.sandbox.faults.clear()
    source.rename(ids[0], "Changed")
    await source.sync()
    await source.assert_agrees()


async def test_a_database_clock_that_was_set_back_loses_no_change(source: Source) -> None:
    await source.sync()
    # As if all that is stored had been observed when the clock was an hour ahead.
    await source.query(
        "UPDATE {leaf} SET observed_at = observed_at + interval '1 hour',"
        " synced_at = synced_at + interval '1 hour' RETURNING 1"
    )
    await source.query("UPDATE cursors SET observed_at = observed_at + interval '1 hour' RETURNING 1")
    ids = list(source.expected())
    source.rename(ids[0], "Changed by the clock that is right")
    source.change("delete_customer" if source.connector == "stripe" else "archive_contact", ids[1])
    result = await source.sync()
    assert (result.updated, result.deleted) == (1, 1)
    await source.assert_agrees()
    # A refresh begins after all that is stored, too, or it would bury nothing.
    source.change("delete_customer" if source.connector == "stripe" else "archive_contact", ids[2])
    assert (await source.sync(full=True)).deleted == 1
    await source.assert_agrees()
