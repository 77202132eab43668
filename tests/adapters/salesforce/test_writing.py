"""How Salesforce's accounts and contacts are written: partial results, duplicates, keys, and what is looked up."""

from typing import Any

import pytest

from tests.adapters.salesforce.test_conformance import SalesforceBench
from tests.adapters.salesforce.test_pull import data
from unified.conformance.bench import Copy
from unified.kit.errors import ConfigurationError, ProviderError
from unified.kit.writing.changes import Write, Written
from unified.schema.address import UnifiedAddress
from unified.schema.customer import UnifiedCustomer


async def write(org: SalesforceBench, stream: str, *writes: Write, **settings: Any) -> dict[str, Written]:
    async with org.open(**settings) as adapter:
        found = [one async for one in adapter.write(stream, writes)]
    return {one.write.idempotency_key: one for one in found}


def create(key: str, **body: Any) -> Write:
    return Write("create", None, body, key)


def customer(**fields: Any) -> UnifiedCustomer:
    adapter = SalesforceBench(empty=True)
    now = adapter.now()
    return UnifiedCustomer(**adapter.open().origin("contacts", now, now).identify("x"), **fields)


async def test_each_record_has_an_outcome_of_its_own(org: SalesforceBench) -> None:
    """An answer of 200 with failures inside."""
    one, other = sorted(org.ids("contacts"))[:2]
    org.edit("delete", "contacts", other)
    done = await write(
        org, "contacts",
        create("fine", LastName="King"), create("empty", FirstName="Ada"), create("odd", LastName="K", Nonsense="1"),
        Write("update", one, {"Title": "CTO"}, "changed"), Write("update", other, {"Title": "CTO"}, "deleted"),
        Write("update", "003000000000000AAA", {"Title": "CTO"}, "never"),
        Write("update", one[:-3] + "xyz", {"AccountId": "001000000000000AAA"}, "reference"),
        Write("delete", other, {}, "gone already"),
    )  # fmt: skip
    assert {key: written.outcome for key, written in done.items()} == {
        "fine": "applied", "empty": "refused", "odd": "refused", "changed": "applied", "deleted": "missing",
        "never": "missing", "reference": "refused", "gone already": "applied",
    }  # fmt: skip
    assert "REQUIRED_FIELD_MISSING" in str(done["empty"].reason)


async def test_a_key_field_makes_a_creation_repeatable(org: SalesforceBench) -> None:
    before = org.ids("contacts")
    for _ in range(2):
        done = await write(org, "contacts", create("acme/1/1", LastName="King"), key_field="Unified_Key__c")
        assert done["acme/1/1"].outcome == "applied"
    (made,) = org.ids("contacts") - before
    key = data(org).all("Contact")[made]["Unified_Key__c"]
    assert (done["acme/1/1"].source_id, len(key), "acme" in key) == (made, 32, False)


async def test_a_key_field_sends_a_lost_creation_again(org: SalesforceBench) -> None:
    before = org.ids("contacts")
    org.fault("cut", "/services/data/v68.0/composite")
    done = await write(org, "contacts", create("k", LastName="King"), key_field="Unified_Key__c")
    assert done["k"].outcome == "applied"
    assert len(org.ids("contacts") - before) == 1


async def test_equal_creations_without_an_answer_are_found_one_each(org: SalesforceBench) -> None:
    before = org.ids("accounts")
    writes = [create(f"k{number}", Name="Same GmbH") for number in range(5)]
    org.fault("cut", "/services/data/v68.0/composite")
    with pytest.raises(ProviderError):
        await write(org, "accounts", *writes, retry_count=0)
    again = [Write("create", None, one.body, one.idempotency_key, sent_at=org.now()) for one in writes]
    done = await write(org, "accounts", *again)
    assert {one.source_id for one in done.values()} == org.ids("accounts") - before
    assert len(done) == 5


async def test_a_duplicate_is_a_conflict_that_names_the_other_record(org: SalesforceBench) -> None:
    data(org).blocks_duplicates = True
    first = await write(org, "contacts", create("a", LastName="King", Email="ada.king@acme.example"))
    again = create("b", LastName="Lovelace", Email="ada.king@acme.example")
    done = await write(org, "contacts", again)
    assert (done["b"].outcome, done["b"].source_id) == ("conflict", first["a"].source_id)
    assert "DUPLICATES_DETECTED" in str(done["b"].reason)
    assert (await write(org, "contacts", again, allow_duplicates=True))["b"].outcome == "applied"


async def test_a_locked_row_is_tried_again(org: SalesforceBench) -> None:
    one, other = sorted(org.ids("contacts"))[:2]
    data(org).locked.add(one)
    writes = [Write("update", name, {"Title": "CTO"}, name) for name in (one, other)]
    done = await write(org, "contacts", *writes)
    assert {written.outcome for written in done.values()} == {"applied"}
    assert data(org).all("Contact")[one]["Title"] == "CTO"


@pytest.mark.parametrize("has_picklists", [True, False])
async def test_codes_go_where_an_org_picks_them_from_lists(
    org: SalesforceBench, *, has_picklists: bool
) -> None:
    if not has_picklists:
        org.provider.mutate("hide", None, *(f"Contact.Mailing{part}Code" for part in ("Country", "State")))
    place = UnifiedAddress(line1="Ring 2", line2="Hinterhaus", city="Köln", state="NW", country="DE")
    async with org.open() as adapter:
        body = adapter.from_unified("contacts", customer(name="Ada King", billing_address=place))
        (made,) = [one async for one in adapter.write("contacts", [Write("create", None, body, "k")])]
        copy = Copy("contacts")
        async for page in adapter.fetch("contacts", [str(made.source_id)]):
            copy.add(page)
            record = adapter.map_record(
                "contacts", page.records[0].body, adapter.origin("contacts", org.now(), org.now())
            )
    raw = copy.records[str(made.source_id)]
    assert (raw.get("MailingCountryCode"), raw["MailingCountry"]) == (
        ("DE", None) if has_picklists else (None, "DE")
    )
    assert raw["MailingStreet"] == "Ring 2\nHinterhaus"
    assert isinstance(record, UnifiedCustomer)
    assert record.billing_address == place


async def test_a_body_says_what_is_written_and_no_more(org: SalesforceBench) -> None:
    adapter = org.open()
    record = customer(
        name="Ada King", email="a@acme.example", custom_fields={"Tier__c": "Gold", "other": "x"}
    )
    assert adapter.from_unified("contacts", record) == {
        "FirstName": "Ada", "LastName": "King", "Email": "a@acme.example", "Tier__c": "Gold",
    }  # fmt: skip
    assert adapter.from_unified("accounts", record, ("phone",)) == {"Phone": None}
    with pytest.raises(ConfigurationError, match="email is not written"):
        adapter.from_unified("accounts", record, ("email",))


async def test_records_are_found_by_what_they_hold(org: SalesforceBench) -> None:
    made = await write(
        org, "contacts",
        create("a", LastName="O'Neil", Email="o'neil@acme.example", MobilePhone="+49170", Tier__c="Gold"),
    )  # fmt: skip
    wanted = {
        "email": "O'NEIL@acme.example", "name": "o'neil", "phone": "+49170", "custom_fields.Tier__c": "Gold",
    }  # fmt: skip
    async with org.open() as adapter:
        for field, value in wanted.items():
            pages = [page async for page in adapter.find("contacts", field, [value, "nobody"])]
            assert made["a"].source_id in {one.source_id for page in pages for one in page.records}, field
        assert [
            one async for page in adapter.find("accounts", "email", ["x@y.example"]) for one in page.records
        ] == []
        with pytest.raises(ConfigurationError, match="no Contact is found by company"):
            [page async for page in adapter.find("contacts", "company", ["x"])]
