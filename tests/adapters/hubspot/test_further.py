"""Streams that a HubSpot connection reads where it chooses them: each whole, followed, mapped."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from adapters.hubspot.adapter import HubSpotAdapter
from tests.adapters.hubspot.test_conformance import HubSpotBench
from unified.conformance.bench import NOW, Copy
from unified.kit.errors import PermissionDeniedError
from unified.sandbox.hubspot import HubSpotSandbox
from unified.schema.customer import CustomerKind, UnifiedCustomer
from unified.schema.record import UnifiedRecord

# Owners are no objects (`test_owners`), and custom ones are several (`test_custom`).
CHOSEN = [stream.name for stream in HubSpotAdapter.streams if not stream.is_usual]
FURTHER = [name for name in CHOSEN if name not in ("owners", "custom_objects")]


class Small(HubSpotBench):
    """Little of each kind."""

    def stand_in(self, *, empty: bool) -> HubSpotSandbox:
        """More than a page of associations is of no interest here."""
        del empty
        return HubSpotSandbox(20, 15, 20, 25, now=NOW, limits=None)

    def ids(self, stream: str) -> set[str]:
        """Those that are not archived."""
        return set(self.provider.account().ids(stream))


@pytest.fixture
def portal() -> Iterator[Small]:
    with Small() as running:
        yield running


@pytest.mark.parametrize("stream", FURTHER)
async def test_all_of_it_is_read_and_then_what_changed(portal: Small, stream: str) -> None:
    copy = Copy(stream)
    await portal.sync(copy)
    assert copy.records.keys() == portal.ids(stream)
    assert len(copy.records) > 10
    portal.provider.clock.advance(days=1)
    await portal.sync(copy)
    first, second = sorted(copy.records)[:2]
    name = next(iter(copy.records[first]["properties"].keys() & {"dealname", "subject", "name", "hs_title"}))
    portal.provider.mutate("update", None, stream, first, {name: "Changed"})
    if stream != "line_items":  # they go with their invoice
        portal.provider.mutate("archive", None, stream, second)
        portal.provider.mutate("create", None, stream, {})
    portal.provider.clock.advance(seconds=60)
    await portal.sync(copy)
    assert copy.records.keys() == portal.ids(stream)
    assert copy.records[first]["properties"][name] == "Changed"
    assert (second in copy.gone) == (stream != "line_items")


@pytest.mark.parametrize("stream", FURTHER)
async def test_each_is_mapped(portal: Small, stream: str) -> None:
    copy = Copy(stream)
    await portal.sync(copy)
    now = datetime.fromtimestamp(NOW, UTC)
    async with portal.open() as adapter:
        for raw in copy.records.values():
            record = adapter.map_record(stream, msgspec.json.encode(raw), adapter.origin(stream, now, now))
            properties = raw["properties"]
            names = [properties.get(one) for one in ("dealname", "subject", "name", "hs_title")]
            assert isinstance(record, UnifiedCustomer | UnifiedRecord)
            assert record.name == next(filter(None, names), None)
            assert record.created_at is not None
            if isinstance(record, UnifiedCustomer):
                assert (record.kind, record.company) == (CustomerKind.COMPANY, record.name)
            else:
                kept = {name: value for name, value in properties.items() if value and value not in names}
                linked = {name: record.custom_fields.pop(name, []) for name in ("contact_ids", "company_ids")}
                assert kept.items() >= record.custom_fields.items()
                of = raw["associations"]
                assert [*linked.values()] == [
                    [one["id"] for one in of.get(name, ())] for name in ("contacts", "companies")
                ]
    if stream in ("deals", "tickets", "quotes"):
        assert any(raw["associations"]["contacts"] for raw in copy.records.values())


@pytest.mark.parametrize("hours", [24, 0])
async def test_an_association_that_changes_alone_shows_within_a_day(portal: Small, hours: int) -> None:
    copy = await portal.loaded("deals")
    deal, before = next((one, raw) for one, raw in copy.records.items() if raw["associations"]["contacts"])
    others = {record["id"] for record in portal.provider.account().all("contacts")}
    other = min(others - {one["id"] for one in before["associations"]["contacts"]})
    portal.provider.mutate("associate", None, "deals", deal, other)
    await portal.sync(copy, associations_hours=hours)
    assert copy.met == []
    portal.provider.clock.advance(days=1)
    for _ in range(40):  # killed after every page
        await portal.sync(copy, pages=1, associations_hours=hours)
        if copy.cursor and "until" not in copy.cursor:
            break
    linked = [other] if hours else [one["id"] for one in before["associations"]["contacts"]]
    now = datetime.fromtimestamp(NOW, UTC)
    async with portal.open() as adapter:
        raw = msgspec.json.encode(copy.records[deal])
        record = adapter.map_record("deals", raw, adapter.origin("deals", now, now))
    assert record.custom_fields["contact_ids"] == linked
    portal.provider.clock.advance(seconds=3600)
    await portal.sync(copy, associations_hours=hours)
    assert copy.met == [], "all was read an hour ago"


async def test_a_token_is_tried_for_the_streams_that_are_chosen(portal: Small) -> None:
    for path in (
        "objects/2026-09/deals",
        "objects/2026-09/quotes",
        "owners/2026-09",
        "objects/2026-09/2-5001002",
    ):
        portal.fault("status", f"/crm/{path}", status=403, times=None)
    async with portal.open() as adapter:
        await adapter.test()
        adapter.connection = replace(adapter.connection, streams=CHOSEN)
        with pytest.raises(
            PermissionDeniedError, match=r"may not read deals, quotes, owners, custom_objects: "
        ):
            await adapter.test()
