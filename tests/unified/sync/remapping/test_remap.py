"""Changed rules and versions are applied to what is stored, without a request to the source."""

from typing import Any

import pytest

from tests.unified.sync.source import Source
from unified.kit.mapping.rules import Rule
from unified.schema import UnifiedCustomer
from unified.store.connections import field_rules
from unified.sync.connection import lease
from unified.sync.errors import ConnectionBusyError
from unified.sync.pull import PullResult
from unified.sync.remapping.remap import remap

# Any e-mail address is an impossible currency.
IMPOSSIBLE = {
    "stripe": Rule(source="email", target="currency", required=True),
    "hubspot": Rule(source="properties.email", target="currency", required=True),
}


async def remapped(source: Source) -> PullResult:
    """Remap, which must not ask the source; what was done with the customers."""
    source.sandbox.stats.reset()
    results = {result.stream: result for result in await remap(source.db, source.connection)}
    assert source.requests == 0
    assert all(result.mode == "remap" and result.is_complete for result in results.values())
    (entry, *_) = await source.history()
    customers = results["customers"]
    assert (entry.mode, entry.is_complete, entry.error_message) == ("remap", True, None)
    assert (entry.records_read, entry.updated, entry.rejected) == (
        customers.read, customers.updated, customers.rejected
    )  # fmt: skip
    return customers


def with_email(source: Source) -> int:
    """How many customers the rule breaks."""
    return sum(bool(raw.get("properties", raw)["email"]) for raw in source.expected().values())


async def test_a_new_rule_reaches_stored_records(source: Source) -> None:
    await source.sync()
    assert (await remapped(source)).unchanged == len(source.expected())
    path = {"stripe": "created", "hubspot": "properties.lifecyclestage"}[source.connector]
    await field_rules.put(
        source.db, source.connection, "customers", Rule(source=path, target="custom_fields.extra")
    )

    result = await remapped(source)

    assert (result.read, result.updated) == (len(source.expected()), len(source.expected()))
    rows = await source.query("SELECT count(*) FROM {leaf} WHERE custom_fields ? 'extra'")
    assert rows == [(len(source.expected()),)]
    await source.assert_agrees()
    assert (await source.sync()).updated == 0


async def test_a_rule_that_fits_no_record_sets_them_aside_and_its_removal_brings_them_back(
    source: Source,
) -> None:
    await source.sync()
    content = "SELECT source_id, content_hash, currency, raw_data::text FROM {leaf} ORDER BY source_id"
    before = await source.query(content)
    rule = IMPOSSIBLE[source.connector]
    await field_rules.put(source.db, source.connection, "customers", rule)
    bad = with_email(source)

    result = await remapped(source)

    assert (result.read, result.rejected) == (len(source.expected()), bad)
    assert len(await source.rejects()) == bad
    assert await source.stored() != {}
    await source.assert_agrees()
    # Once more, nothing new: each stored body and each reject is looked at once.
    again = await remapped(source)
    assert (again.read, again.rejected) == (len(source.expected()), bad)

    await field_rules.remove(source.db, source.connection, "customers", rule.target)
    await remapped(source)
    assert await source.rejects() == []
    assert await source.query(content) == before


async def test_rejects_of_a_load_are_mapped_once_the_rule_is_mended(source: Source) -> None:
    rule = IMPOSSIBLE[source.connector]
    await field_rules.put(source.db, source.connection, "customers", rule)
    first = await source.sync()
    assert first.rejected == with_email(source)
    await field_rules.remove(source.db, source.connection, "customers", rule.target)

    result = await remapped(source)

    assert (result.inserted, result.rejected) == (first.rejected, 0)
    assert await source.rejects() == []
    await source.assert_agrees()


async def test_rows_of_an_older_schema_version_become_todays(source: Source) -> None:
    await source.sync()
    everything = "SELECT * FROM {leaf} ORDER BY source_id"
    before = await source.query(everything)
    # 1.0.0 knew neither lists nor the time of observation.
    await source.query(
        "UPDATE {leaf} SET schema_version = '1.0.0', emails = '{{}}', phones = '{{}}',"
        " observed_at = synced_at RETURNING 1"
    )

    result = await remapped(source)

    assert result.updated == result.read == len(before)
    assert await source.query("SELECT DISTINCT schema_version FROM {leaf}") == [
        (UnifiedCustomer.__schema_version__,)
    ]
    content = "SELECT source_id, content_hash, emails, phones FROM {leaf} ORDER BY source_id"
    today = await source.query(content)
    await source.sync(full=True)
    assert await source.query(content) == today
    assert any(emails for _, _, emails, _ in today)


async def test_a_reject_newer_than_its_row_survives_a_remap(stripe: Source) -> None:
    await stripe.sync()
    await stripe.configure(concurrency=1)
    broken: dict[str, Any] = {"object": "card"}
    stripe.fault("bad_record", "/v1/customers", skip=1, replace=broken)
    await stripe.sync(full=True)
    (before,) = await stripe.rejects()
    # Something else was observed later still.
    other = next(name for name in stripe.expected() if name != before.source_id)
    stripe.rename(other, "Renamed")
    await stripe.sync()

    result = await remapped(stripe)

    assert (result.read, result.rejected) == (len(stripe.expected()) + 1, 1)
    (after,) = await stripe.rejects()
    assert (after.key, after.raw, after.observed_at) == (before.key, before.raw, before.observed_at)


async def test_what_was_deleted_while_set_aside_does_not_rise(stripe: Source) -> None:
    await field_rules.put(stripe.db, stripe.connection, "customers", IMPOSSIBLE["stripe"])
    await stripe.sync()
    gone = next(reject.source_id for reject in await stripe.rejects())
    stripe.change("delete_customer", gone)
    await stripe.sync(full=True)
    assert gone not in {reject.source_id for reject in await stripe.rejects()}
    await field_rules.remove(stripe.db, stripe.connection, "customers", "currency")
    await remapped(stripe)
    await stripe.assert_agrees()


async def test_a_remap_waits_for_no_sync(stripe: Source) -> None:
    async with lease(stripe.db, stripe.connection, "customers"):
        with pytest.raises(ConnectionBusyError, match="another process syncs customers"):
            await remap(stripe.db, stripe.connection)
    # And it says nothing about the source.
    await remapped(stripe)
    assert (await stripe.state()).sync_status == "idle"
