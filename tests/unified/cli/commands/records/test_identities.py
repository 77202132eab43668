"""`unified identities`, from customers of two sources to one, and a person's word on it."""

import asyncio
from typing import Any

import pytest

from tests.unified.cli.conftest import Unified
from tests.unified.sync.identities.tenant import Tenant
from unified.store.database import Database
from unified.store.server import embedded

IDS: dict[str, str] = {}


@pytest.fixture(scope="module")
def acme(unified: Unified) -> Unified:
    """A workspace in which Ann is known to both systems, and Ben to one."""
    unified.ok("migrate")

    async def fill() -> None:
        async with Database.open(embedded.start(unified.home)) as db:
            tenant = await Tenant.create(db, "acme")
            await tenant.add(
                "stripe", "cus_1", email="ann@acme.com", name="Ann S.", custom_fields={"no": "x17"}
            )
            await tenant.add("hubspot", "501", email="Ann@acme.com", name="Ann Smith", phone="+442079460018")
            await tenant.add(
                "hubspot", "502", email="ben@acme.com", name="Ben Jones", custom_fields={"no": "X-17"}
            )
            for name, record in (("stripe", "cus_1"), ("hubspot", "501"), ("hubspot", "502")):
                IDS[record] = str(tenant.id((name, record)))

    asyncio.run(fill())
    embedded.leave(unified.home)
    unified.ok("identities", "resolve", "acme")
    return unified


def identity_of(acme: Unified, record: str) -> Any:
    return acme.json("identities", "show", "acme", IDS[record])


def test_identities_are_listed_and_shown(acme: Unified) -> None:
    found = acme.json("identities", "list", "acme")
    assert sorted((one["name"], one["records"], one["sources"]) for one in found) == [
        ("Ann Smith", 2, ["hubspot", "stripe"]),
        ("Ben Jones", 1, ["hubspot"]),
    ]
    assert [one["name"] for one in acme.json("identities", "list", "acme", "--search", "BEN@")] == [
        "Ben Jones"
    ]
    shown = identity_of(acme, "cus_1")
    assert shown["golden"]["provenance"]["name"]["why"] == "recency"
    assert {record["rule"] for record in shown["records"]} == {None, "email"}
    text = acme.ok("identities", "show", "acme", shown["identity_id"])
    assert "recency" in text
    assert "cus_1" in text


def test_a_person_splits_and_merges(acme: Unified) -> None:
    before = identity_of(acme, "cus_1")["identity_id"]
    acme.ok("identities", "split", "acme", before, "--record", IDS["501"], "--note", "sisters", "--yes")
    assert identity_of(acme, "cus_1")["identity_id"] != identity_of(acme, "501")["identity_id"]
    why = acme.ok("identities", "explain", "acme", IDS["cus_1"], IDS["501"])
    assert "two customers" in why
    assert "different: sisters" in why
    assert "ann@acme.com" in why
    acme.ok("identities", "merge", "acme", IDS["cus_1"], IDS["501"], "--yes")
    merged = identity_of(acme, "501")
    assert {IDS["cus_1"], IDS["501"]} == {record["unified_id"] for record in merged["records"]}
    assert before in {merged["identity_id"], *merged["former_ids"]}


def test_settings_change_what_is_one(acme: Unified) -> None:
    acme.ok("identities", "settings", "acme", "--key", "custom_fields.no", "--region", "gb")
    acme.ok("identities", "resolve", "acme")
    assert len(acme.json("identities", "list", "acme")) == 1


@pytest.mark.parametrize(
    ("arguments", "reason", "code"),
    [
        (("show", "acme", "00000000-0000-0000-0000-000000000001"), "no identity or record", 1),
        (("resolve", "nobody"), "no workspace", 1),
        (("settings", "acme", "--rules", "shoe_size"), "no rule 'shoe_size'", 2),
        (("settings", "acme", "--key", "shoe_size"), "can't be part of a key", 2),
        (("settings", "acme", "--region", "Germany"), "not a country code", 2),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    acme: Unified, arguments: tuple[str, ...], reason: str, code: int
) -> None:
    assert reason in acme.refused("identities", *arguments, code=code)
