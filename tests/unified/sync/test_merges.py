"""Contacts that were merged at HubSpot: when they count as deleted, and whose their invoices are."""

from datetime import datetime

import pytest

from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.deliveries import deliver, drained
from tests.unified.sync.source import Source


async def deaths(source: Source) -> dict[str, datetime | None]:
    return dict(await source.query("SELECT source_id, deleted_at FROM {leaf}"))


async def owners(source: Source) -> dict[str, str]:
    return dict(await source.query("SELECT source_id, customer_id FROM {leaf}", "invoices"))


async def two_with_invoices(source: Source) -> tuple[str, str]:
    living = (await source.stored()).keys()
    first, second, *_ = sorted({one for one in (await owners(source)).values() if one in living})
    return first, second


@pytest.mark.parametrize("way", ["poll", "webhook", "full"])
async def test_the_time_is_that_of_the_merge_and_the_invoices_move(source_of: MakeSource, way: str) -> None:
    source = await source_of("hubspot")
    await source.sync_all()
    before, known = await owners(source), await deaths(source)
    losers = await two_with_invoices(source)
    merged = source.change("merge_contacts", *losers)
    if way == "webhook":
        event = {
            "eventId": 1,
            "subscriptionId": 7,
            "portalId": source.data.portal_id,
            "occurredAt": 1_790_000_000_000,
            "subscriptionType": "contact.merge",
            "primaryObjectId": losers[0],
            "mergedObjectIds": [losers[1]],
            "newObjectId": merged["id"],
        }
        await deliver(source, [event])
        await drained(source)
    else:
        await source.sync(full=way == "full")
    merged_at = datetime.fromisoformat(merged["updatedAt"])
    after = await deaths(source)
    assert {one: after[one] for one in losers} == dict.fromkeys(losers, merged_at)
    moved = {invoice: merged["id"] for invoice, customer in before.items() if customer in losers}
    assert moved
    assert await owners(source) == {**before, **moved}
    # The survivor changes later, and names one more that was never here: nothing else does.
    source.sandbox.clock.advance(days=10)
    ids = ";".join((*losers, "17"))
    source.change("update_contact", merged["id"], hs_merged_object_ids=ids, firstname="Una")
    result = await source.sync()
    assert (result.updated, result.deleted) == (1, 0)
    assert await deaths(source) == {**after, merged["id"]: None}
    assert after.keys() - known.keys() == {merged["id"]}
