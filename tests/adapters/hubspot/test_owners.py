"""Owners: read whole by two requests each time, archived ones as tombstones, joined with what is assigned to them."""

from datetime import UTC, datetime

import msgspec

from tests.adapters.hubspot.test_conformance import HubSpotBench
from unified.conformance.bench import NOW, Copy
from unified.sandbox.hubspot import HubSpotSandbox
from unified.schema.record import UnifiedRecord


class Small(HubSpotBench):
    """Twelve owners, of whom two are archived and one is a queue."""

    def stand_in(self, *, empty: bool) -> HubSpotSandbox:
        """What few deals need."""
        del empty
        return HubSpotSandbox(0, 0, 0, 30, now=NOW, limits=None)


async def test_two_requests_bring_all_and_archived_ones_are_tombstones() -> None:
    with Small() as portal:
        copy = await portal.loaded("owners")
        assert (len(copy.records), sorted(copy.gone)) == (10, ["11", "3"])
        portal.provider.mutate("archive_owner", None, "1")
        portal.provider.clock.advance(seconds=90)
        changed_at = portal.now()
        portal.provider.mutate("update_owner", None, "2", email="new@owner.example")
        portal.provider.stats.reset()
        await portal.sync(copy)
        assert portal.provider.stats.report()["requests"] == {"GET /crm/owners/{version}": 2}
        assert copy.records["2"]["email"] == "new@owner.example"
        assert datetime.fromisoformat(copy.records["2"]["updatedAt"]) == changed_at
        assert (copy.gone["1"] < changed_at, "1" in copy.records) == (True, False)


async def test_each_is_mapped_and_deals_name_them() -> None:
    with Small() as portal:
        owners, deals = Copy("owners"), Copy("deals")
        await portal.sync(owners)
        await portal.sync(deals)
        now = datetime.fromtimestamp(NOW, UTC)
        async with portal.open() as adapter:
            origin = adapter.origin("owners", now, now)
            mapped = {
                one: adapter.map_record("owners", msgspec.json.encode(raw), origin)
                for one, raw in owners.records.items()
            }
        person, queue = mapped["1"], mapped["5"]
        assert isinstance(person, UnifiedRecord)
        assert isinstance(queue, UnifiedRecord)
        raw = owners.records["1"]
        assert person.name == f"{raw['firstName']} {raw['lastName']}"
        assert person.custom_fields == {name: raw[name] for name in ("email", "teams", "type", "userId")}
        assert (queue.name, queue.custom_fields) == ("Queue 4", {"type": "QUEUE"})
        assigned = {raw["properties"]["hubspot_owner_id"] for raw in deals.records.values()}
        assert assigned <= owners.records.keys() | owners.gone.keys()


async def test_one_that_is_odd_costs_no_other() -> None:
    with Small() as portal:
        owners = portal.provider.account().owners
        owners.update("3", updatedAt="soon")
        odd = owners.create(id="90", updatedAt=None)
        owners.archive(odd["id"])
        owners.listed(archived=True)[-1].pop("updatedAt")
        owners.update("4", id=None)
        owners.update("11", id=None)
        copy = Copy("owners")
        await portal.sync(copy)
        assert (len(copy.records), sorted(copy.gone), copy.rejects) == (9, ["3", "90"], 2)
