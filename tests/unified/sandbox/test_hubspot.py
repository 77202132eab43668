"""The HubSpot stand-in behaves as documented: properties, lists, search, batches, links, changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.waiting import LIMIT_SECONDS
from unified.sandbox.hubspot import HubSpotLimits, HubSpotSandbox
from unified.sandbox.hubspot.search import SearchError, search
from unified.sandbox.server import SandboxServer

if TYPE_CHECKING:
    from unified.sandbox.hubspot.records import Kind

NOW = 1_790_000_000
OBJECTS = "/crm/objects/2026-09"


def read_all(client: httpx.Client, kind: str, **params: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    while True:
        page = client.get(f"{OBJECTS}/{kind}", params={"limit": 100, **params}).raise_for_status().json()
        records += page["results"]
        if "paging" not in page:
            return records
        params["after"] = page["paging"]["next"]["after"]


def find(client: httpx.Client, kind: str, *filters: dict[str, Any], **body: Any) -> httpx.Response:
    groups = [{"filters": list(filters)}] if filters else []
    return client.post(f"{OBJECTS}/{kind}/search", json={"filterGroups": groups, **body})


@pytest.mark.parametrize("kind", ["contacts", "companies", "invoices", "line_items"])
def test_lists_cover_everything_once_in_order_of_id(
    server: SandboxServer, hubspot: httpx.Client, kind: Kind
) -> None:
    ids = [record["id"] for record in read_all(hubspot, kind)]
    assert ids == [record["id"] for record in server.hubspot.account().all(kind)]
    assert len(ids) == server.hubspot.account().source_counts()[kind]
    numbers = [int(one) for one in ids]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] > len(numbers)


def test_only_named_properties_come_and_defaults_without(hubspot: httpx.Client) -> None:
    default = hubspot.get(f"{OBJECTS}/contacts").json()
    assert default["paging"]["next"]["link"].startswith(
        f"https://api.hubapi.com{OBJECTS}/contacts?limit=10&after="
    )
    assert len(default["results"]) == 10
    assert set(default["results"][0]["properties"]) == {
        "createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname",
    }  # fmt: skip
    named = hubspot.get(f"{OBJECTS}/contacts", params={"properties": "phone,city,no_such_property"})
    assert set(named.json()["results"][0]["properties"]) == {
        "city", "createdate", "hs_object_id", "lastmodifieddate", "phone",
    }  # fmt: skip
    invoice = hubspot.get(f"{OBJECTS}/invoices").json()["results"][0]["properties"]
    assert set(invoice) == {"hs_createdate", "hs_lastmodifieddate", "hs_object_id"}


def test_values_are_strings_or_null(server: SandboxServer) -> None:
    for kind in ("contacts", "companies", "invoices", "line_items"):
        for record in server.hubspot.account().all(kind):
            assert all(value is None or isinstance(value, str) for value in record["properties"].values())


def test_a_url_of_too_many_properties_is_refused(hubspot: httpx.Client) -> None:
    names = ",".join(f"custom_property_number_{number}" for number in range(400))
    assert hubspot.get(f"{OBJECTS}/contacts", params={"properties": names}).status_code == 414


def test_the_modified_date_is_named_differently_for_contacts(hubspot: httpx.Client) -> None:
    def sorted_by(kind: str, name: str) -> int:
        return find(hubspot, kind, sorts=[{"propertyName": name, "direction": "ASCENDING"}]).status_code

    assert sorted_by("contacts", "lastmodifieddate") == 200
    assert sorted_by("contacts", "hs_lastmodifieddate") == 400
    assert sorted_by("companies", "hs_lastmodifieddate") == 200
    assert sorted_by("companies", "lastmodifieddate") == 400


def test_search_windows_by_modification_are_exact(hubspot: httpx.Client) -> None:
    everyone = read_all(hubspot, "contacts")
    low, high = (NOW - 200 * 86_400) * 1000, (NOW - 20 * 86_400) * 1000
    window = {
        "propertyName": "lastmodifieddate",
        "operator": "BETWEEN",
        "value": str(low),
        "highValue": str(high),
    }
    got = find(hubspot, "contacts", window, limit=200).json()
    ids = {record["id"] for record in got["results"]}
    states = {record["id"]: record["updatedAt"] for record in everyone}
    assert got["total"] == len(ids) > 0
    start, end = "2026-03-05T14:13:20.000Z", "2026-09-01T14:13:20.000Z"
    assert ids == {one for one, updated in states.items() if start <= updated <= end}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"operator": "EQ", "value": "paid"}, lambda status: status == "paid"),
        ({"operator": "NEQ", "value": "paid"}, lambda status: status != "paid"),
        ({"operator": "IN", "values": ["open", "draft"]}, lambda status: status in ("open", "draft")),
        ({"operator": "NOT_IN", "values": ["open", "draft"]}, lambda status: status not in ("open", "draft")),
        ({"operator": "HAS_PROPERTY"}, lambda status: status is not None),
        ({"operator": "NOT_HAS_PROPERTY"}, lambda status: status is None),
    ],
)
def test_search_operators(
    server: SandboxServer, hubspot: httpx.Client, condition: dict[str, Any], holds: Any
) -> None:
    got = find(hubspot, "invoices", {"propertyName": "hs_invoice_status", **condition}, limit=200).json()
    expected = [
        record["id"]
        for record in server.hubspot.account().all("invoices")
        if holds(record["properties"]["hs_invoice_status"])
    ]
    assert [record["id"] for record in got["results"]] == expected


def test_search_compares_numbers_as_numbers(hubspot: httpx.Client) -> None:
    over = {"propertyName": "hs_amount_billed", "operator": "GT", "value": "900"}
    got = find(hubspot, "invoices", over, limit=200, properties=["hs_amount_billed"]).json()["results"]
    assert got
    assert all(float(record["properties"]["hs_amount_billed"]) > 900 for record in got)


def test_search_by_ascending_id_walks_past_any_cap(server: SandboxServer, hubspot: httpx.Client) -> None:
    ids: list[str] = []
    while True:
        after = {"propertyName": "hs_object_id", "operator": "GT", "value": ids[-1] if ids else "0"}
        page = find(
            hubspot,
            "contacts",
            after,
            limit=50,
            sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        ).json()
        ids += [record["id"] for record in page["results"]]
        if "paging" not in page:
            break
    assert ids == [record["id"] for record in server.hubspot.account().all("contacts")]


def test_search_gives_ten_thousand_results_and_no_more() -> None:
    portal = HubSpotSandbox(contacts=10_500, companies=0, invoices=0, now=NOW).account()
    last = search(portal, "contacts", {"limit": 200, "after": "9800"}, NOW)
    assert last.total > 10_000
    assert len(last.page) == 200
    assert last.after == "10000"
    with pytest.raises(SearchError, match="10000"):
        search(portal, "contacts", {"limit": 200, "after": "10000"}, NOW)


def test_search_refuses_what_hubspot_refuses(hubspot: httpx.Client) -> None:
    one = {"propertyName": "email", "operator": "HAS_PROPERTY"}
    refused = [
        {"limit": 201},
        {"filterGroups": [{"filters": [one]}] * 6},
        {"filterGroups": [{"filters": [one] * 7}]},
        {"sorts": ["email", "city"]},
        {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "LIKE", "value": "x"}]}]},
        {"properties": ["a_rather_long_custom_property_name"] * 100},
    ]
    for body in refused:
        response = hubspot.post(f"{OBJECTS}/contacts/search", json=body)
        assert response.status_code == 400, body
        assert response.json()["category"] == "VALIDATION_ERROR"


def test_search_carries_no_associations_and_no_rate_headers() -> None:
    with (
        SandboxServer(hubspot=HubSpotSandbox(20, 5, 5)) as server,
        httpx.Client(timeout=LIMIT_SECONDS) as client,
    ):
        client.headers["authorization"] = "Bearer pat-fake-acme"
        base = f"{server.url}/hubspot{OBJECTS}/contacts"
        found = client.post(f"{base}/search", json={"associations": ["companies"]})
        assert "associations" not in found.json()["results"][0]
        assert not [name for name in found.headers if "ratelimit" in name]
        listed = client.get(base)
        assert listed.headers["x-hubspot-ratelimit-max"] == "100"
        assert listed.headers["x-hubspot-ratelimit-remaining"] == "99"
        assert listed.headers["x-hubspot-ratelimit-interval-milliseconds"] == "10000"


def test_changes_reach_search_late_and_lists_at_once() -> None:
    sandbox = HubSpotSandbox(20, 5, 5, now=NOW, search_lag_seconds=10, limits=None)
    with SandboxServer(hubspot=sandbox) as server:
        client = httpx.Client(
            base_url=f"{server.url}/hubspot",
            headers={"authorization": "Bearer pat-fake-acme"},
            timeout=LIMIT_SECONDS,
        )
        with client:
            made = sandbox.mutate("create_contact", firstname="Neu")["id"]
            known = read_all(client, "contacts")[0]["id"]
            sandbox.mutate("update_contact", None, known, firstname="Anders")

            def names() -> dict[str, str]:
                results = find(client, "contacts", limit=200).json()["results"]
                return {record["id"]: record["properties"]["firstname"] for record in results}

            assert made not in names()
            assert names()[known] != "Anders"
            assert made in {record["id"] for record in read_all(client, "contacts")}
            sandbox.clock.advance(seconds=11)
            assert names()[made] == "Neu"
            assert names()[known] == "Anders"


def test_archiving_hides_and_does_not_bump(server: SandboxServer, hubspot: httpx.Client) -> None:
    before = read_all(hubspot, "contacts")[0]
    server.hubspot.clock.advance(days=1)
    server.hubspot.mutate("archive_contact", None, before["id"])
    assert before["id"] not in {record["id"] for record in read_all(hubspot, "contacts")}
    assert (
        find(
            hubspot, "contacts", {"propertyName": "hs_object_id", "operator": "EQ", "value": before["id"]}
        ).json()["total"]
        == 0
    )
    assert hubspot.get(f"{OBJECTS}/contacts/{before['id']}").status_code == 404
    archived = {record["id"]: record for record in read_all(hubspot, "contacts", archived="true")}
    mine = archived[before["id"]]
    assert mine["archived"] is True
    assert mine["updatedAt"] == before["updatedAt"]
    assert mine["archivedAt"] > before["updatedAt"]
    assert len(archived) == server.hubspot.account().source_counts()["archived_contacts"] > 1
    server.hubspot.clock.advance(days=91)
    assert read_all(hubspot, "contacts", archived="true") == []


def test_updates_bump_the_record_and_nothing_else(server: SandboxServer, hubspot: httpx.Client) -> None:
    server.hubspot.clock.advance(seconds=60)
    contacts = read_all(hubspot, "contacts")
    company = read_all(hubspot, "companies")[0]["id"]
    server.hubspot.mutate("update_company", None, company, name="Umbenannt AG")
    assert read_all(hubspot, "contacts") == contacts
    renamed = hubspot.get(f"{OBJECTS}/companies/{company}").json()
    assert renamed["properties"]["name"] == "Umbenannt AG"
    assert renamed["updatedAt"] == renamed["properties"]["hs_lastmodifieddate"] == "2026-09-21T14:14:20.000Z"


def test_a_merge_makes_a_new_record_that_both_old_ids_lead_to(
    server: SandboxServer, hubspot: httpx.Client
) -> None:
    one, two = (record["id"] for record in read_all(hubspot, "contacts")[:2])
    merged = server.hubspot.mutate("merge_contacts", None, one, two)["id"]
    listed = {record["id"] for record in read_all(hubspot, "contacts")}
    assert merged in listed
    assert not listed & {one, two}
    for old in (one, two):
        got = hubspot.get(f"{OBJECTS}/contacts/{old}", params={"properties": "hs_merged_object_ids"}).json()
        assert got["id"] == merged
        assert got["properties"]["hs_merged_object_ids"] == f"{one};{two}"


def test_contacts_merged_before_the_start_answer_to_their_old_ids() -> None:
    portal = HubSpotSandbox(contacts=2000, companies=0, invoices=0, now=NOW).account()
    merged = [one for one in portal.all("contacts") if one["properties"]["hs_merged_object_ids"]]
    assert merged
    for record in merged:
        for old in record["properties"]["hs_merged_object_ids"].split(";"):
            index = portal.find("contacts", old)
            assert index is not None
            assert portal.record_id("contacts", index) == record["id"] != old


def test_batch_read_is_partial_with_207(hubspot: httpx.Client) -> None:
    ids = [record["id"] for record in read_all(hubspot, "companies")[:3]]
    body = {"inputs": [{"id": one} for one in [*ids, "1"]], "properties": ["name"]}
    partial = hubspot.post(f"{OBJECTS}/companies/batch/read", json=body)
    assert partial.status_code == 207
    assert [record["id"] for record in partial.json()["results"]] == ids
    assert partial.json()["numErrors"] == 1
    assert partial.json()["errors"][0]["context"] == {"ids": ["1"]}
    body["inputs"] = [{"id": one} for one in ids]
    assert hubspot.post(f"{OBJECTS}/companies/batch/read", json=body).status_code == 200
    body["inputs"] = [{"id": "1"}] * 101
    assert hubspot.post(f"{OBJECTS}/companies/batch/read", json=body).status_code == 400


def test_associations_of_contacts_to_companies(hubspot: httpx.Client) -> None:
    contacts = [record["id"] for record in read_all(hubspot, "contacts")]
    path = "/crm/associations/2026-09/contacts/companies/batch/read"
    answer = hubspot.post(path, json={"inputs": [{"id": one} for one in contacts]})
    assert answer.status_code == 207
    links = {result["from"]["id"]: result["to"] for result in answer.json()["results"]}
    alone = {one for error in answer.json()["errors"] for one in error["context"]["fromObjectId"]}
    assert set(links) | alone == set(contacts)
    assert alone
    assert any(len(to) > 1 for to in links.values())
    companies = {record["id"] for record in read_all(hubspot, "companies")}
    for to in links.values():
        assert {one["toObjectId"] for one in to} <= companies
        labels = [kind["label"] for one in to for kind in one["associationTypes"]]
        assert labels.count("Primary") <= 1
    assert hubspot.post(path, json={"inputs": [{"id": "1"}] * 1001}).status_code == 400
    company, contact = next((to[0]["toObjectId"], one) for one, to in links.items())
    back = hubspot.post(
        "/crm/associations/2026-09/companies/contacts/batch/read", json={"inputs": [{"id": company}]}
    ).json()
    assert contact in {one["toObjectId"] for one in back["results"][0]["to"]}


def test_associations_page_per_record() -> None:
    sandbox = HubSpotSandbox(5, 2, 5, now=NOW, limits=None, association_page=100)
    invoice = sandbox.mutate("create_invoice", lines=230)["id"]
    with SandboxServer(hubspot=sandbox) as server, httpx.Client(timeout=LIMIT_SECONDS) as client:
        client.headers["authorization"] = "Bearer pat-fake-acme"
        url = f"{server.url}/hubspot/crm/associations/2026-09/invoices/line_items/batch/read"
        found: list[str] = []
        after: str | None = None
        while True:
            inputs = [{"id": invoice, **({"after": after} if after else {})}]
            result = client.post(url, json={"inputs": inputs}).json()["results"][0]
            found += [one["toObjectId"] for one in result["to"]]
            if "paging" not in result:
                break
            after = result["paging"]["next"]["after"]
        assert len(set(found)) == len(found) == 230
        base = f"{server.url}/hubspot{OBJECTS}"
        lines = client.post(
            f"{base}/line_items/batch/read",
            json={"inputs": [{"id": one} for one in found[:100]], "properties": ["amount"]},
        )
        assert len(lines.json()["results"]) == 100


def test_invoice_amounts_follow_from_their_lines(server: SandboxServer, hubspot: httpx.Client) -> None:
    portal = server.hubspot.account()
    names = "hs_subtotal,hs_amount_billed,hs_amount_paid,hs_balance_due,hs_invoice_status,hs_currency"
    longest = 0
    for invoice in read_all(hubspot, "invoices", properties=names, associations="line_items"):
        have = invoice["properties"]
        ids = [one["id"] for one in invoice["associations"]["line items"]["results"]]
        longest = max(longest, len(ids))
        lines = [portal.shown("line_items", *_state(portal, one), ["amount", "hs_tax_amount"]) for one in ids]
        digits = 0 if have["hs_currency"] == "JPY" else 3 if have["hs_currency"] == "KWD" else 2
        net = sum(_minor(line["properties"]["amount"], digits) for line in lines)
        tax = sum(_minor(line["properties"]["hs_tax_amount"] or "0", digits) for line in lines)
        assert _minor(have["hs_subtotal"], digits) == net
        assert _minor(have["hs_amount_billed"], digits) == net + tax
        if have["hs_invoice_status"] != "voided":
            owed = net + tax - _minor(have["hs_amount_paid"], digits)
            assert _minor(have["hs_balance_due"], digits) == owed
    assert longest > 10


def _state(portal: Any, record_id: str) -> tuple[int, Any]:
    index = portal.find("line_items", record_id)
    return index, portal.state("line_items", index)


def _minor(text: str, digits: int) -> int:
    whole, _, fraction = text.partition(".")
    assert len(fraction) in (0, digits)
    return int(whole + fraction.ljust(digits, "0"))


def test_archiving_an_invoice_takes_its_lines_along(server: SandboxServer, hubspot: httpx.Client) -> None:
    invoice = server.hubspot.mutate("create_invoice", lines=4)["id"]
    before = len(read_all(hubspot, "line_items"))
    server.hubspot.mutate("archive_invoice", None, invoice)
    assert len(read_all(hubspot, "line_items")) == before - 4


def test_limits_name_their_policy() -> None:
    limits = HubSpotLimits(ten_seconds=2, search_per_second=1, daily=4)
    with SandboxServer(hubspot=HubSpotSandbox(5, 5, 5, limits=limits)) as server:
        base = f"{server.url}/hubspot{OBJECTS}"
        with httpx.Client(headers={"authorization": "Bearer pat-fake-acme"}, timeout=LIMIT_SECONDS) as client:
            assert [client.get(f"{base}/contacts").status_code for _ in range(2)] == [200, 200]
            rolling = client.get(f"{base}/contacts")
            assert (rolling.status_code, rolling.json()["policyName"]) == (429, "TEN_SECONDLY_ROLLING")
            server.hubspot.set_limits(HubSpotLimits(daily=1))
            assert client.get(f"{base}/contacts").status_code == 200
            daily = client.get(f"{base}/contacts")
            assert (daily.status_code, daily.json()["policyName"]) == (429, "DAILY")


def test_tokens_choose_the_portal_and_bad_ones_get_401(server: SandboxServer, hubspot: httpx.Client) -> None:
    path = "/account-info/2026-09/details"
    mine = hubspot.get(path).json()
    other = hubspot.get(path, headers={"authorization": "Bearer pat-fake-globex"}).json()
    assert mine["portalId"] != other["portalId"]
    bad = hubspot.get(path, headers={"authorization": "Bearer pat-fake-nobody"})
    assert (bad.status_code, bad.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    server.hubspot.revoke("pat-fake-acme")
    gone = hubspot.get(path)
    assert (gone.status_code, gone.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert set(gone.json()) == {"status", "message", "correlationId", "category"}


def test_bad_requests_are_refused(hubspot: httpx.Client) -> None:
    assert hubspot.get(f"{OBJECTS}/contacts", params={"limit": 101}).status_code == 400
    assert hubspot.get(f"{OBJECTS}/contacts", params={"after": "x"}).status_code == 400
    assert hubspot.get(f"{OBJECTS}/unicorns").status_code == 400
    assert hubspot.get(f"{OBJECTS}/contacts/1").json()["category"] == "OBJECT_NOT_FOUND"
    assert hubspot.get("/crm/objects/2020-01/contacts").status_code == 404
    assert hubspot.post(f"{OBJECTS}/contacts/search", content=b"{").status_code == 400


def test_same_seed_same_portal() -> None:
    def content(seed: int) -> list[dict[str, Any]]:
        return list(HubSpotSandbox(40, 10, 20, seed=seed, now=NOW).account().all("contacts"))

    assert content(1) == content(1)
    assert content(1) != content(2)
