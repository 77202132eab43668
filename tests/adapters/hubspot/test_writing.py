"""Contacts written to HubSpot's stand-in, and looked up there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.adapters.writes import changed_fields, write
from unified.kit.errors import ConfigurationError, RateLimitedError, UndecidedError
from unified.kit.writing.changes import Write, Written
from unified.schema import UnifiedAddress, UnifiedCustomer

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.hubspot.adapter import HubSpotAdapter
    from tests.adapters.hubspot.conftest import Portal

THEN = datetime.fromtimestamp(1_790_000_000, UTC)
BATCH = "/crm/objects/2026-09/contacts/batch"

TROUBLE: list[tuple[str, dict[str, Any]]] = [
    ("cut", {}),
    ("status", {"status": 502}),
    ("status", {"status": 429}),
    ("html", {"status": 200}),
    ("malformed", {}),
]


@pytest.fixture
def portal(portal_of: Callable[..., Portal]) -> Portal:
    return portal_of(contacts=30, companies=3, invoices=0)


def customer_of(adapter: HubSpotAdapter, **fields: Any) -> UnifiedCustomer:
    return UnifiedCustomer(**adapter.origin("customers", THEN, THEN).identify("x"), **fields)


def creation(number: int, email: str | None = "", **properties: str) -> Write:
    """A new contact; without an e-mail address for None."""
    address = f"new{number}@example.com" if email == "" else email
    known = {"email": address} if address else {}
    body = {"properties": {"firstname": f"Contact {number}", **known, **properties}}
    return Write("create", None, body, f"acme/main/{number}/v1")


def update(contact_id: str, key: str, **properties: str | None) -> Write:
    return Write("update", contact_id, {"properties": properties}, key)


def requests(portal: Portal, action: str) -> int:
    return portal.sandbox.stats.requests[f"POST /crm/objects/{{version}}/{{kind}}/batch/{action}"]


def first_names(portal: Portal) -> Counter[str | None]:
    return Counter(contact["properties"]["firstname"] for contact in portal.data.all("contacts"))


def outcomes(written: dict[str, Written]) -> dict[str, int]:
    return Counter(one.outcome for one in written.values())


async def test_a_contact_is_created_changed_and_archived(portal: Portal) -> None:
    portal.change("define_property", "contacts", "crm_tier")
    async with portal.adapter(properties=["crm_tier"]) as adapter:
        wanted = customer_of(
            adapter,
            name="Ada King Lovelace",
            email="Ada@Example.com",
            emails=("Ada@Example.com", "old@example.com"),
            phone="+44 1",
            phones=("+44 1", "+44 2"),
            company="Engines Ltd",
            billing_address=UnifiedAddress(line1="1 St James's", city="London", country="GB"),
            custom_fields={"crm_tier": "gold", "jobtitle": "Countess", "unknown to HubSpot": "x"},
        )
        write = Write("create", None, adapter.from_unified("customers", wanted), "k1")
        [made] = [one async for one in adapter.write("customers", [write])]
        assert made.outcome == "applied"
        assert made.source_id is not None
        [page] = [page async for page in adapter.fetch("customers", [made.source_id])]
        origin = adapter.origin("customers", THEN, THEN)
        held = adapter.map_record("customers", page.records[0].body, origin)
        assert changed_fields(adapter, held, wanted) == ()

        desired = wanted.model_copy(
            update={
                "name": "Ada",
                "phones": ("+44 3",),
                "phone": "+44 3",
                "custom_fields": {"crm_tier": "tin"},
            }
        )
        fields = changed_fields(adapter, held, desired)
        assert fields == ("custom_fields.crm_tier", "name", "phone", "phones")
        change = Write("update", made.source_id, adapter.from_unified("customers", desired, fields), "k2")
        portal.sandbox.clock.advance(seconds=60)
        [changed] = [one async for one in adapter.write("customers", [change])]
        assert changed.raw is not None
        answered = adapter.map_record("customers", changed.raw.body, origin)
        assert isinstance(answered, UnifiedCustomer)
        assert (answered.name, answered.phones) == ("Ada", ("+44 3",))

        [gone] = [
            one async for one in adapter.write("customers", [Write("delete", made.source_id, {}, "k3")])
        ]
        assert (gone.outcome, gone.raw) == ("applied", None)
    index = portal.data.find("contacts", made.source_id)
    assert index is not None
    contact = portal.data.properties("contacts", index, state := portal.data.state("contacts", index))
    assert state.archived_ms is not None
    assert {name: value for name, value in contact.items() if value and "date" not in name} == {
        "hs_object_id": made.source_id, "email": "ada@example.com", "hs_additional_emails": "old@example.com",
        "firstname": "Ada", "phone": "+44 3", "company": "Engines Ltd", "address": "1 St James's",
        "city": "London", "country": "GB", "crm_tier": "tin", "jobtitle": "Countess",
    }  # fmt: skip


async def test_what_one_contact_is_refused_for_keeps_no_other_from_being_written(portal: Portal) -> None:
    portal.change("set_rule", "contacts", "firstname", "Contact .*")
    writes = [creation(number) for number in range(100)]
    writes[41] = creation(41, firstname="breaks the rule")
    written, error = await write(portal, *writes)
    assert error is None
    assert outcomes(written) == {"applied": 99, "refused": 1}
    assert "breaks a rule" in (written["acme/main/41/v1"].reason or "")
    assert requests(portal, "create") == 1
    ids = {one.source_id for one in written.values() if one.source_id}
    assert len(ids) == 99
    for one in written.values():
        if one.source_id:
            index = portal.data.find("contacts", one.source_id)
            assert index is not None
            contact = portal.data.full("contacts", index)
            assert contact["properties"]["email"] == one.write.body["properties"]["email"]


@pytest.mark.parametrize("status", [400, 409])
async def test_a_batch_that_is_refused_as_a_whole_is_divided(portal: Portal, status: int) -> None:
    portal.fault("status", f"{BATCH}/create", status=status, times=3)
    written, error = await write(portal, *(creation(number) for number in range(8)))
    assert error is None
    # 8, its first half, and that one's first half are refused; then 2 + 2 + 4 are created.
    assert outcomes(written) == {"applied": 6, "refused": 2} or outcomes(written) == {"applied": 8}
    made = {name for name in first_names(portal) if name and name.startswith("Contact ")}
    assert made == {
        str(one.write.body["properties"]["firstname"]) for one in written.values() if one.outcome == "applied"
    }


async def test_a_contact_that_exists_is_in_conflict_unless_it_holds_what_was_sent(portal: Portal) -> None:
    [first, second] = portal.ids("contacts")[:2]
    for contact_id, number in ((first, 1), (second, 2)):
        portal.change("update_contact", contact_id, email=f"new{number}@example.com", firstname="Contact 2")
    written, error = await write(portal, *(creation(number) for number in (1, 2, 3)))
    assert error is None
    found = [written[f"acme/main/{number}/v1"] for number in (1, 2, 3)]
    assert [one.outcome for one in found] == ["conflict", "applied", "applied"]
    assert [one.source_id for one in found[:2]] == [first, second]
    assert found[0].raw is not None
    assert b'"Contact 2"' in bytes(found[0].raw.body)


async def test_of_two_new_contacts_with_one_address_the_second_is_in_conflict(portal: Portal) -> None:
    written, _ = await write(portal, creation(1, "same@example.com"), creation(2, "Same@example.com"))
    assert sorted(one.outcome for one in written.values()) == ["applied", "conflict"]
    assert len({one.source_id for one in written.values()}) == 1


async def test_a_cut_connection_creates_nobody_twice(portal: Portal) -> None:
    portal.fault("cut", f"{BATCH}/create", times=2)
    written, error = await write(portal, *(creation(number) for number in range(150)))
    assert error is None
    assert outcomes(written) == {"applied": 150}
    made = first_names(portal)
    assert all(made[f"Contact {number}"] == 1 for number in range(150))
    assert requests(portal, "create") == 2


@pytest.mark.parametrize("drop", ["id", "objectWriteTraceId"])
async def test_a_result_that_names_nobody_is_found_by_its_address(portal: Portal, drop: str) -> None:
    portal.fault("bad_record", f"{BATCH}/create", drop=drop)
    written, error = await write(portal, *(creation(number) for number in range(3)))
    assert (outcomes(written), error) == ({"applied": 3}, None)
    made = first_names(portal)
    assert [made[f"Contact {number}"] for number in range(3)] == [1, 1, 1]


async def test_what_was_not_carried_out_is_sent_again(portal: Portal) -> None:
    portal.fault("status", f"{BATCH}/create", status=502, times=2)
    written, error = await write(portal, *(creation(number) for number in range(3)))
    assert (outcomes(written), error) == ({"applied": 3}, None)
    assert requests(portal, "create") == 3


async def test_without_an_address_a_contact_is_sent_once(portal: Portal) -> None:
    portal.fault("cut", f"{BATCH}/create")
    writes = [creation(1, None), creation(2), creation(3, None)]
    written, error = await write(portal, *writes)
    assert error is None
    assert {key: one.outcome for key, one in written.items()} == {
        "acme/main/1/v1": "unknown", "acme/main/2/v1": "applied", "acme/main/3/v1": "unknown",
    }  # fmt: skip
    made = first_names(portal)
    assert all(made[f"Contact {number}"] == 1 for number in (1, 2, 3))

    again = [Write("create", None, one.body, one.idempotency_key, sent_at=THEN) for one in writes]
    written, error = await write(portal, *again)
    assert outcomes(written) == {"applied": 1, "unknown": 2}
    assert requests(portal, "create") == 1


async def test_a_key_property_lets_contacts_without_an_address_be_sent_again(portal: Portal) -> None:
    portal.change("define_property", "contacts", "made_by", unique=True)
    portal.fault("cut", f"{BATCH}/upsert", times=2)
    written, error = await write(portal, creation(1, None), creation(2), key_property="made_by")
    assert (outcomes(written), error) == ({"applied": 2}, None)
    made = first_names(portal)
    assert (made["Contact 1"], made["Contact 2"]) == (1, 1)
    index = portal.data.owner("contacts", "made_by", "acme/main/1/v1")
    assert index is not None
    assert portal.data.record_id("contacts", index) == written["acme/main/1/v1"].source_id


async def test_a_provider_that_is_down_leaves_open_what_was_sent_and_nothing_else(portal: Portal) -> None:
    portal.fault("status", f"{BATCH}/create", status=503, times=None)
    written, error = await write(
        portal, *(creation(number) for number in range(300)), concurrency=1, retry_count=1
    )
    assert isinstance(error, UndecidedError)
    assert outcomes(written) == {"unknown": 100}
    portal.sandbox.faults.clear()
    sent = [
        Write("create", None, one.write.body, one.write.idempotency_key, sent_at=THEN)
        for one in written.values()
    ]
    written, error = await write(portal, *sent, *(creation(number) for number in range(100, 300)))
    assert (outcomes(written), error) == ({"applied": 300}, None)
    made = first_names(portal)
    assert all(made[f"Contact {number}"] == 1 for number in range(300))


async def test_what_a_look_up_did_not_find_is_not_open_any_more(portal: Portal) -> None:
    portal.fault("status", f"{BATCH}/create", status=502)
    portal.fault("status", f"{BATCH}/create", status=429, code="DAILY", times=None)
    written, error = await write(portal, creation(1))
    assert isinstance(error, RateLimitedError)
    assert written == {}


@pytest.mark.parametrize("settings", [{}, {"key_property": "made_by"}], ids=["by address", "by key"])
async def test_whatever_the_network_does_each_contact_is_created_once(
    portal: Portal, settings: dict[str, Any]
) -> None:
    portal.change("define_property", "contacts", "made_by", unique=True)
    for kind, how in TROUBLE:
        portal.fault(kind, BATCH, times=6, probability=0.3, **how)
    waiting = {one.idempotency_key: one for one in map(creation, range(250))}
    runs = 0
    while waiting:
        written, _ = await write(portal, *waiting.values(), retry_count=0, **settings)
        for key, one in written.items():
            if one.outcome == "unknown":
                waiting[key] = replace(waiting[key], sent_at=THEN)
            else:
                assert one.outcome == "applied"
                del waiting[key]
        runs += 1
    made = first_names(portal)
    assert all(made[f"Contact {number}"] == 1 for number in range(250))
    assert runs > 1


async def test_a_contact_that_is_gone_is_missing_and_one_that_was_merged_has_a_new_id(portal: Portal) -> None:
    [gone, primary, other, kept] = portal.ids("contacts")[:4]
    portal.change("archive_contact", gone)
    merged = portal.change("merge_contacts", primary, other)["id"]
    written, error = await write(
        portal,
        update(gone, "k1", firstname="late"),
        update(primary, "k2", firstname="merged"),
        update(kept, "k3", firstname=None, lastname="kept"),
        Write("delete", gone, {}, "k4"),
        update("99999999999", "k5", firstname="never"),
    )
    assert error is None
    assert {key: one.outcome for key, one in sorted(written.items())} == {
        "k1": "missing", "k2": "applied", "k3": "applied", "k4": "applied", "k5": "missing",
    }  # fmt: skip
    assert written["k2"].source_id == merged
    index = portal.data.find("contacts", kept)
    assert index is not None
    properties = portal.data.full("contacts", index)["properties"]
    assert (properties["firstname"], properties["lastname"]) == (None, "kept")


async def test_an_address_that_another_contact_has_is_refused_on_an_update(portal: Portal) -> None:
    [first, second] = portal.ids("contacts")[:2]
    portal.change("update_contact", first, email="taken@example.com")
    written, _ = await write(portal, update(second, "k1", email="taken@example.com"))
    assert (written["k1"].outcome, written["k1"].source_id) == ("refused", second)
    assert f"Existing ID: {first}" in (written["k1"].reason or "")


async def test_what_was_applied_before_the_daily_limit_is_reported(portal: Portal) -> None:
    portal.fault("status", f"{BATCH}/create", status=429, code="DAILY", skip=2, times=None)
    written, error = await write(portal, *(creation(number) for number in range(400)))
    assert isinstance(error, RateLimitedError)
    assert outcomes(written) == {"applied": 200}
    made = {name for name in first_names(portal) if name and name.startswith("Contact ")}
    assert made == {str(one.write.body["properties"]["firstname"]) for one in written.values()}


async def test_a_rate_limit_in_the_middle_only_slows_down(portal: Portal) -> None:
    portal.fault("status", f"{BATCH}/create", status=429, skip=1, times=3)
    written, error = await write(portal, *(creation(number) for number in range(400)))
    assert (outcomes(written), error) == ({"applied": 400}, None)


async def test_contacts_are_found_as_they_are_now(portal: Portal) -> None:
    [first, second, third] = portal.ids("contacts")[:3]
    portal.change("define_property", "contacts", "vat_id")
    portal.change("update_contact", first, email="ada@example.com", phone="+49 1", vat_id="DE1")
    portal.change("update_contact", second, email="bob@example.com", mobilephone="+49 1")
    portal.change("update_contact", third, vat_id="de1")

    async def find(field: str, *values: str) -> list[str | None]:
        async with portal.adapter() as adapter:
            return [
                record.source_id
                async for page in adapter.find("customers", field, values)
                for record in page.records
            ]

    assert await find("email", "ADA@example.com", "nobody@example.com", "") == [first]
    assert await find("email", *(f"nobody{number}@example.com" for number in range(150))) == []
    assert sorted(map(str, await find("phone", "+49 1", "+49 2"))) == sorted([first, second])
    many = [f"none{number}" for number in range(150)]
    assert sorted(map(str, await find("custom_fields.vat_id", *many, "DE1"))) == sorted([first, third])
    with pytest.raises(ConfigurationError, match="by name"):
        await find("name", "Ada")


async def test_only_contacts_are_written(portal: Portal) -> None:
    async with portal.adapter() as adapter:
        with pytest.raises(ConfigurationError, match="does not write invoices"):
            adapter.write("invoices", [])
        with pytest.raises(ConfigurationError, match="finds no events"):
            adapter.find("events", "email", [])
