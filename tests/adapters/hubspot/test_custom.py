"""Custom objects: found by their schemas, all in one stream; new ones are read whole, lost ones looked for."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest

from tests.adapters.hubspot.test_conformance import HubSpotBench
from unified.conformance.bench import NOW, Copy
from unified.kit.errors import PermissionDeniedError, StaleCursorError
from unified.sandbox.hubspot import HubSpotSandbox
from unified.schema.record import UnifiedRecord

CAR, VISIT, PET = "2-5001001", "2-5001002", "2-5001003"
SCHEMAS = "/crm-object-schemas/2026-09/schemas"


class Small(HubSpotBench):
    """Some cars and visits; pets are defined later."""

    def stand_in(self, *, empty: bool) -> HubSpotSandbox:
        """No lag: what search shows is how it is."""
        del empty
        return HubSpotSandbox(20, 15, 0, 0, 0, custom=25, now=NOW, limits=None)

    def later(self, change: str, *arguments: object, **fields: object) -> None:
        """Make a change a minute after the one before."""
        self.provider.clock.advance(seconds=60)
        self.provider.mutate(change, None, *arguments, **fields)

    def of(self, copy: Copy, kind: str) -> set[str]:
        """What a copy holds of an object."""
        return {one for one in copy.records if one.startswith(f"{kind}:")}


@pytest.fixture
def portal() -> Iterator[Small]:
    with Small() as running:
        yield running


@pytest.fixture
async def copy(portal: Small) -> Copy:
    return await portal.loaded("custom_objects")


async def fetched(portal: Small, *ids: str) -> tuple[set[str | None], set[str]]:
    """Which of some ids a fetch finds, and which it says are gone."""
    async with portal.open() as adapter:
        pages = [page async for page in adapter.fetch("custom_objects", ids)]
    found = {record.source_id for page in pages for record in page.records}
    return found, {stone.source_id for page in pages for stone in page.tombstones}


async def test_records_say_which_object_they_are_of(portal: Small, copy: Copy) -> None:
    now = datetime.fromtimestamp(NOW, UTC)
    assert copy.records.keys() == portal.ids("custom_objects")
    numbers = [{one.partition(":")[2] for one in portal.of(copy, kind)} for kind in (CAR, VISIT)]
    assert numbers[0] & numbers[1], "ids of two objects may be the same"
    async with portal.open() as adapter:
        origin = adapter.origin("custom_objects", now, now)
        raw = copy.records[min(portal.of(copy, CAR))]
        record = adapter.map_record("custom_objects", msgspec.json.encode(raw), origin)
    assert isinstance(record, UnifiedRecord)
    properties, custom = raw["properties"], record.custom_fields
    assert (record.source_id, record.name) == (f"{CAR}:{raw['id']}", properties["model"])
    assert custom.items() >= {
        "object_type": "car", "object_type_id": CAR, "vin": properties["vin"], "price": properties["price"],
        "hubspot_owner_id": properties["hubspot_owner_id"],
    }.items()  # fmt: skip
    assert custom["contact_ids"] == [one["id"] for one in raw["associations"]["contacts"]]
    assert not {"model", "hs_object_id", "hs_createdate"} & custom.keys()


async def test_a_sync_without_changes_takes_few_requests(portal: Small, copy: Copy) -> None:
    await portal.sync(copy)
    assert copy.met == []
    asked = portal.provider.stats.report()["requests"]
    # The schemas; of each of two objects the lowest and the highest id, and the bin.
    assert asked == {
        "GET /crm-object-schemas/{version}/schemas": 1,
        "POST /crm/objects/{version}/{kind}/search": 4,
        "GET /crm/objects/{version}/{kind}": 2,
    }


async def test_an_object_that_is_new_is_read_whole_and_followed_from_then_on(
    portal: Small, copy: Copy
) -> None:
    before = dict(copy.records)
    portal.later("define_object", PET)
    await portal.sync(copy)
    assert copy.records.keys() == portal.ids("custom_objects")
    assert {*copy.met} == portal.of(copy, PET)
    portal.provider.clock.advance(seconds=3600)
    await portal.sync(copy)
    assert copy.met == []
    first = min(portal.of(copy, PET))
    portal.later("update", PET, first.partition(":")[2], {"pet_name": "Rex"})
    await portal.sync(copy)
    assert (copy.met, copy.records[first]["properties"]["pet_name"]) == ([first], "Rex")
    assert before.items() <= copy.records.items()


async def test_one_that_is_listed_nowhere_keeps_its_records(
    portal: Small, copy: Copy, caplog: pytest.LogCaptureFixture
) -> None:
    cars = portal.of(copy, CAR)
    portal.later("hide_object", CAR)
    with caplog.at_level(logging.WARNING):
        await portal.sync(copy)
    assert portal.of(copy, CAR) == cars
    assert f"HubSpot lists {CAR} neither among the custom objects nor among the deleted ones" in caplog.text
    assert await fetched(portal, min(cars)) == (set(), set()), "nothing is known of it: it is not gone"
    portal.later("hide_object", CAR, hidden=False)
    changed = min(cars)
    portal.later("update", CAR, changed.partition(":")[2], {"year": "2026"})
    await portal.sync(copy)
    assert copy.met == [changed]


async def test_one_that_was_deleted_takes_its_records_along_by_a_full_refresh(
    portal: Small, copy: Copy
) -> None:
    visits = portal.of(copy, VISIT)
    for one in visits:
        portal.provider.mutate("archive", None, VISIT, one.partition(":")[2])
    portal.later("delete_object", VISIT)
    with pytest.raises(StaleCursorError, match=f"HubSpot lists {VISIT} as a deleted custom object"):
        await portal.sync(copy)
    copy.cursor = None
    await portal.sync(copy)
    assert copy.records.keys() == portal.ids("custom_objects") == portal.of(copy, CAR)
    assert await fetched(portal, min(visits)) == (set(), {min(visits)})


async def test_one_that_is_deleted_while_it_is_read_ends_no_refresh(portal: Small) -> None:
    copy = Copy("custom_objects")
    await portal.sync(copy, pages=1, concurrency=1)
    read = {one.partition(":")[0] for one in copy.records}
    other = ({CAR, VISIT} - read).pop()
    for one in list(portal.provider.account().all(other)):
        portal.provider.mutate("archive", None, other, one["id"])
    portal.later("delete_object", other)
    await portal.sync(copy)
    assert {one.partition(":")[0] for one in copy.records} == read


async def test_what_archives_and_events_of_each_mean(portal: Small, copy: Copy) -> None:
    car, visit = min(portal.of(copy, CAR)), max(portal.of(copy, VISIT))
    for one in (car, visit):
        kind, _, number = one.partition(":")
        portal.later("archive", kind, number)
    await portal.sync(copy)
    assert {car, visit} <= copy.gone.keys()
    assert copy.records.keys() == portal.ids("custom_objects")


async def test_a_token_without_the_schemas_is_told_so(portal: Small) -> None:
    portal.fault("status", SCHEMAS, status=403, times=None)
    with pytest.raises(PermissionDeniedError, match="granted all required scopes"):
        await portal.sync(Copy("custom_objects"))
