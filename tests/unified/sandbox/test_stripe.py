"""The Stripe stand-in behaves as documented: order, paging, filters, lines, events, errors, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.waiting import LIMIT_SECONDS
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import AccountSpec, StripeLimits, StripeSandbox

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_790_000_000
DAY = 86_400


def read_all(client: httpx.Client, path: str, **params: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    while True:
        page = client.get(path, params={"limit": 100, **params}).raise_for_status().json()
        records += page["data"]
        if not page["has_more"]:
            return records
        params["starting_after"] = page["data"][-1]["id"]


@pytest.mark.parametrize("name", ["customers", "invoices", "events"])
def test_paging_covers_everything_once_newest_first(
    server: SandboxServer, stripe: httpx.Client, name: str
) -> None:
    records = read_all(stripe, f"/v1/{name}")
    ids = [record["id"] for record in records]
    oracle = getattr(server.stripe.account(), f"all_{name}")()
    assert ids == [record["id"] for record in oracle]
    assert len(set(ids)) == len(ids) == server.stripe.account().source_counts()[name]
    created = [record["created"] for record in records]
    assert created == sorted(created, reverse=True)


def test_some_records_share_a_second(stripe: httpx.Client) -> None:
    created = [record["created"] for record in read_all(stripe, "/v1/customers")]
    assert len(set(created)) < len(created)


def test_default_page_holds_ten_and_no_total(stripe: httpx.Client) -> None:
    page = stripe.get("/v1/customers").json()
    assert len(page["data"]) == 10
    assert set(page) == {"object", "data", "has_more", "url"}
    assert (page["object"], page["has_more"], page["url"]) == ("list", True, "/v1/customers")


def test_ending_before_goes_back_to_the_newer_page(stripe: httpx.Client) -> None:
    ids = [record["id"] for record in read_all(stripe, "/v1/invoices")]
    page = stripe.get("/v1/invoices", params={"limit": 5, "ending_before": ids[20]}).json()
    assert [record["id"] for record in page["data"]] == ids[15:20]
    assert page["has_more"]
    page = stripe.get("/v1/invoices", params={"limit": 5, "ending_before": ids[3]}).json()
    assert [record["id"] for record in page["data"]] == ids[:3]
    assert not page["has_more"]


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        ("gt", lambda created, bound: created > bound),
        ("gte", lambda created, bound: created >= bound),
        ("lt", lambda created, bound: created < bound),
        ("lte", lambda created, bound: created <= bound),
    ],
)
def test_created_filters_are_exact_at_a_tie(
    stripe: httpx.Client, operator: str, holds: Callable[[int, int], bool]
) -> None:
    records = read_all(stripe, "/v1/customers")
    created = [record["created"] for record in records]
    bound = next(second for second in created[50:] if created.count(second) > 1)
    got = read_all(stripe, "/v1/customers", **{f"created[{operator}]": bound})
    assert [record["id"] for record in got] == [
        record["id"] for record in records if holds(record["created"], bound)
    ]


def test_windows_of_created_add_up_to_the_whole(stripe: httpx.Client) -> None:
    everything = [record["id"] for record in read_all(stripe, "/v1/invoices")]
    middle = NOW - 365 * DAY
    newer = read_all(stripe, "/v1/invoices", **{"created[gte]": middle})
    older = read_all(stripe, "/v1/invoices", **{"created[lt]": middle})
    assert [record["id"] for record in newer + older] == everything


def test_filters_by_customer_status_and_email(stripe: httpx.Client) -> None:
    invoices = read_all(stripe, "/v1/invoices")
    owner = next(invoice["customer"] for invoice in invoices if invoice["customer"])
    got = read_all(stripe, "/v1/invoices", customer=owner, status="paid")
    assert [one["id"] for one in got] == [
        one["id"] for one in invoices if one["customer"] == owner and one["status"] == "paid"
    ]
    customers = read_all(stripe, "/v1/customers")
    email = next(one["email"] for one in customers if one["email"])
    assert read_all(stripe, "/v1/customers", email=email) == [
        one for one in customers if one["email"] == email
    ]


def test_invoices_embed_ten_lines_and_page_the_rest(server: SandboxServer, stripe: httpx.Client) -> None:
    embedded = {one["id"]: one["lines"] for one in read_all(stripe, "/v1/invoices")}
    longest = 0
    for invoice in server.stripe.account().all_invoices():
        lines, shown = invoice["lines"]["data"], embedded[invoice["id"]]
        assert shown["data"] == lines[:10]
        assert shown["has_more"] == (len(lines) > 10)
        longest = max(longest, len(lines))
        if len(lines) > 10:
            assert read_all(stripe, shown["url"]) == lines
    assert longest > 100


def test_lines_page_backward_too(server: SandboxServer, stripe: httpx.Client) -> None:
    invoice = server.stripe.mutate("create_invoice", lines=30)
    url = invoice["lines"]["url"]
    lines = read_all(stripe, url)
    assert len(stripe.get(url).json()["data"]) == 10
    page = stripe.get(url, params={"ending_before": lines[15]["id"], "limit": 5}).json()
    assert page["data"] == lines[10:15]
    assert page["has_more"]


def test_amounts_add_up_in_every_currency(server: SandboxServer) -> None:
    seen = set()
    for invoice in server.stripe.account().all_invoices():
        lines = invoice["lines"]["data"]
        off = sum(one["amount"] for one in invoice["total_discount_amounts"])
        taxes = {"exclusive": 0, "inclusive": 0}
        for tax in invoice["total_taxes"]:
            taxes[tax["tax_behavior"]] += tax["amount"]
        shipping = invoice["shipping_cost"]["amount_total"] if invoice["shipping_cost"] else 0
        assert invoice["subtotal"] == sum(line["amount"] for line in lines)
        assert off == sum(one["amount"] for line in lines for one in line["discount_amounts"])
        assert sum(taxes.values()) == sum(tax["amount"] for line in lines for tax in line["taxes"])
        assert invoice["total"] == invoice["subtotal"] - off + taxes["exclusive"] + shipping
        credited = invoice["pre_payment_credit_notes_amount"]
        assert invoice["amount_due"] == max(0, invoice["total"] + invoice["starting_balance"] - credited)
        assert invoice["amount_remaining"] == invoice["amount_due"] - invoice["amount_paid"]
        if invoice["status"] == "paid":
            assert invoice["amount_remaining"] == 0
            assert invoice["status_transitions"]["paid_at"] is not None
        step = {"kwd": 10, "bhd": 10, "isk": 100, "ugx": 100}.get(invoice["currency"], 1)
        assert all(line["amount"] % step == 0 for line in lines)
        assert invoice["total"] % step == 0
        seen.add(invoice["currency"])
    assert seen == {"usd", "eur", "gbp", "jpy", "krw", "kwd", "bhd", "isk", "ugx", "huf", "twd"}


def test_the_data_holds_the_awkward_cases(server: SandboxServer) -> None:
    account = server.stripe.account()
    customers, invoices = list(account.all_customers()), list(account.all_invoices())
    lines = [line for invoice in invoices for line in invoice["lines"]["data"]]
    emails = [customer["email"] for customer in customers if customer["email"]]
    assert any(customer["email"] is None for customer in customers)
    assert any(customer["name"] is None for customer in customers)
    assert len(set(emails)) < len(emails)
    assert {invoice["status"] for invoice in invoices} == {
        "draft", "open", "paid", "uncollectible", "void", None,
    }  # fmt: skip
    assert any(invoice["customer"] is None and invoice["customer_account"] for invoice in invoices)
    assert any(invoice["total"] < 0 for invoice in invoices)
    assert any(invoice["total"] != invoice["amount_due"] for invoice in invoices)
    assert any(invoice["post_payment_credit_notes_amount"] for invoice in invoices)
    assert any("." in line["pricing"]["unit_amount_decimal"] for line in lines)
    assert {line["quantity_decimal"] is None for line in lines} == {True, False}
    assert any(invoice["parent"] is None for invoice in invoices)


def test_a_deleted_customer_leaves_a_stub_and_its_invoices(
    server: SandboxServer, stripe: httpx.Client
) -> None:
    invoice = next(one for one in read_all(stripe, "/v1/invoices") if one["customer"])
    owner = invoice["customer"]
    if "deleted" not in stripe.get(f"/v1/customers/{owner}").json():
        server.stripe.mutate("delete_customer", None, owner)
    got = stripe.get(f"/v1/customers/{owner}")
    assert got.status_code == 200
    assert got.json() == {"id": owner, "object": "customer", "deleted": True}
    assert owner not in {one["id"] for one in read_all(stripe, "/v1/customers")}
    assert stripe.get(f"/v1/invoices/{invoice['id']}").json()["customer"] == owner


def test_customers_deleted_before_the_start_are_referred_to(
    server: SandboxServer, stripe: httpx.Client
) -> None:
    live = {one["id"] for one in server.stripe.account().all_customers()}
    assert len(live) < 230
    gone = {one["customer"] for one in server.stripe.account().all_invoices()} - live - {None}
    for customer in gone:
        assert stripe.get(f"/v1/customers/{customer}").json()["deleted"] is True


def test_changes_show_in_the_feed_in_order(server: SandboxServer, stripe: httpx.Client) -> None:
    sandbox = server.stripe
    customer = sandbox.mutate("create_customer", name="Zoë Ltd", email=None)
    sandbox.mutate("update_customer", None, customer["id"], name="Zoë & Co")
    invoice = sandbox.mutate(
        "create_invoice", customer=customer["id"], currency="jpy", lines=[{"amount": 500}]
    )
    sandbox.mutate("finalize_invoice", None, invoice["id"])
    sandbox.mutate("pay_invoice", None, invoice["id"])
    draft = sandbox.mutate("create_invoice", lines=12)
    sandbox.mutate("delete_invoice", None, draft["id"])
    sandbox.mutate("delete_customer", None, customer["id"])
    feed = read_all(stripe, "/v1/events", **{"created[gte]": NOW})
    mine = [
        event
        for event in reversed(feed)
        if event["data"]["object"].get("id") in {customer["id"], invoice["id"], draft["id"]}
    ]
    assert [event["type"] for event in mine] == [
        "customer.created",
        "customer.updated",
        "invoice.created",
        "invoice.updated",
        "invoice.finalized",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.created",
        "invoice.deleted",
        "customer.deleted",
    ]
    assert mine[1]["data"]["previous_attributes"] == {"name": "Zoë Ltd"}
    assert mine[1]["data"]["object"]["name"] == "Zoë & Co"
    assert mine[0]["data"]["object"]["name"] == "Zoë Ltd"
    assert mine[6]["data"]["object"]["amount_paid"] == mine[6]["data"]["object"]["amount_due"]
    assert len(mine[8]["data"]["object"]["lines"]["data"]) == 10
    assert mine[8]["data"]["object"]["lines"]["has_more"]
    gone = stripe.get(f"/v1/invoices/{draft['id']}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "resource_missing")
    assert stripe.get(f"/v1/invoices/{invoice['id']}").json()["status"] == "paid"
    assert stripe.get(f"/v1/events/{mine[0]['id']}").json() == mine[0]


def test_only_drafts_can_be_deleted(server: SandboxServer) -> None:
    invoice = server.stripe.mutate("create_invoice", lines=[{"amount": 500}], currency="usd")
    server.stripe.mutate("finalize_invoice", None, invoice["id"])
    with pytest.raises(ValueError, match="only drafts"):
        server.stripe.mutate("delete_invoice", None, invoice["id"])


def test_new_records_lead_the_list(server: SandboxServer, stripe: httpx.Client) -> None:
    before = stripe.get("/v1/customers").json()["data"][0]["id"]
    made = [server.stripe.mutate("create_customer")["id"] for _ in range(3)]
    page = stripe.get("/v1/customers").json()["data"]
    assert [one["id"] for one in page[:4]] == [*reversed(made), before]


def test_a_clock_that_jumped_ahead_leaves_a_record_from_the_future_on_top(
    server: SandboxServer, stripe: httpx.Client
) -> None:
    server.stripe.clock.advance(days=3650)
    future = server.stripe.mutate("create_customer")["id"]
    server.stripe.clock.advance(days=-3650)
    later = server.stripe.mutate("create_customer")["id"]
    ids = [one["id"] for one in read_all(stripe, "/v1/customers")]
    assert ids[:2] == [future, later]
    assert len(set(ids)) == len(ids)


def test_events_are_kept_for_thirty_days(server: SandboxServer, stripe: httpx.Client) -> None:
    oldest = read_all(stripe, "/v1/events")[-1]
    assert oldest["created"] >= NOW - 30 * DAY
    server.stripe.clock.advance(days=31)
    assert stripe.get("/v1/events").json()["data"] == []
    assert stripe.get(f"/v1/events/{oldest['id']}").status_code == 404
    server.stripe.mutate("create_customer")
    assert [one["type"] for one in stripe.get("/v1/events").json()["data"]] == ["customer.created"]


def test_events_filter_by_type_pattern_and_types(stripe: httpx.Client) -> None:
    events = read_all(stripe, "/v1/events")
    only = {event["type"] for event in read_all(stripe, "/v1/events", type="customer.*")}
    assert only == {event["type"] for event in events if event["type"].startswith("customer.")}
    wanted = ["invoice.paid", "customer.deleted"]
    some = read_all(stripe, "/v1/events", **{"types[]": wanted})
    assert [one["id"] for one in some] == [one["id"] for one in events if one["type"] in wanted]
    many = stripe.get("/v1/events", params={"types[]": [f"a.{number}" for number in range(21)]})
    assert many.status_code == 400
    both = stripe.get("/v1/events", params={"type": "invoice.paid", "types[]": "invoice.paid"})
    assert both.status_code == 400


def test_event_payloads_have_the_shape_of_their_version(server: SandboxServer, stripe: httpx.Client) -> None:
    events = [
        one for one in read_all(stripe, "/v1/events", type="invoice.*") if one["type"] != "invoice.upcoming"
    ]
    versions = {event["api_version"] for event in events}
    assert "2024-06-20" in versions
    assert len(versions) == 2
    for event in events:
        invoice, old = event["data"]["object"], event["api_version"] == "2024-06-20"
        assert ("paid" in invoice) == ("total_tax_amounts" in invoice) == old
        assert ("parent" in invoice) == ("total_taxes" in invoice) == (not old)
        assert all(("pricing" in line) == (not old) for line in invoice["lines"]["data"])
    server.stripe.account().events.version = "2024-06-20"
    server.stripe.mutate("create_invoice")
    assert "paid" in stripe.get("/v1/events", params={"limit": 1}).json()["data"][0]["data"]["object"]


def test_upcoming_invoices_have_no_id(stripe: httpx.Client) -> None:
    upcoming = read_all(stripe, "/v1/events", type="invoice.upcoming")
    assert upcoming
    assert all("id" not in event["data"]["object"] for event in upcoming)


def test_an_update_can_share_the_second_of_the_creation(stripe: httpx.Client) -> None:
    events = read_all(stripe, "/v1/events", type="customer.*")
    created = {e["data"]["object"]["id"]: e["created"] for e in events if e["type"] == "customer.created"}
    updates = [event for event in events if event["type"] == "customer.updated"]
    assert updates
    assert all(event["created"] == created[event["data"]["object"]["id"]] for event in updates)


def test_errors_are_worded_as_stripe_words_them(stripe: httpx.Client) -> None:
    def error(path: str, **params: object) -> tuple[int, dict[str, Any]]:
        response = stripe.get(path, params=params)  # type: ignore[arg-type]
        return response.status_code, response.json()["error"]

    status, body = error("/v1/customers", starting_after="cus_unknown")
    assert (status, body["code"], body["param"]) == (400, "resource_missing", "starting_after")
    assert body["type"] == "invalid_request_error"
    assert body["doc_url"].endswith("resource-missing")
    assert error("/v1/customers", limit=101)[0] == 400
    assert error("/v1/customers", limit=0)[0] == 400
    assert error("/v1/customers", limit="many")[1]["param"] == "limit"
    assert error("/v1/customers", updated=1)[1]["code"] == "parameter_unknown"
    assert error("/v1/customers", **{"created[after]": 1})[1]["code"] == "parameter_unknown"
    assert error("/v1/customers/cus_unknown")[0] == 404
    assert error("/v1/nothing")[0] == 404


def test_a_deleted_cursor_is_refused(server: SandboxServer, stripe: httpx.Client) -> None:
    last = stripe.get("/v1/customers").json()["data"][-1]["id"]
    server.stripe.mutate("delete_customer", None, last)
    assert stripe.get("/v1/customers", params={"starting_after": last}).status_code == 400


def test_headers_echo_the_version_and_name_the_request(stripe: httpx.Client) -> None:
    response = stripe.get("/v1/account", headers={"stripe-version": "2026-03-25.dahlia"})
    assert response.headers["stripe-version"] == "2026-03-25.dahlia"
    assert response.headers["request-id"].startswith("req_")
    assert stripe.get("/v1/account", headers={"stripe-version": "latest"}).status_code == 400


def test_keys_choose_the_account(server: SandboxServer) -> None:
    def ids(key: str) -> set[str]:
        response = httpx.get(f"{server.url}/stripe/v1/customers", auth=(key, ""), timeout=LIMIT_SECONDS)
        return {one["id"] for one in response.raise_for_status().json()["data"]}

    assert not ids("sk_test_fake_acme") & ids("sk_test_fake_globex")
    live = httpx.get(
        f"{server.url}/stripe/v1/invoices", auth=("sk_live_fake_acme", ""), timeout=LIMIT_SECONDS
    ).json()["data"][0]
    assert live["livemode"] is True
    assert live["lines"]["data"][0]["livemode"] is True


def test_missing_unknown_and_revoked_keys_get_401(server: SandboxServer, stripe: httpx.Client) -> None:
    url = f"{server.url}/stripe/v1/account"
    assert httpx.get(url, timeout=LIMIT_SECONDS).status_code == 401
    unknown = httpx.get(url, auth=("sk_test_fake_nobody", ""), timeout=LIMIT_SECONDS)
    assert unknown.status_code == 401
    assert "sk_test_fake_nobody" not in unknown.text
    server.stripe.revoke("sk_test_fake_acme")
    assert stripe.get("/v1/account").json()["error"]["code"] == "api_key_expired"
    server.stripe.restore("sk_test_fake_acme")
    assert stripe.get("/v1/account").status_code == 200


def test_limits_hold_for_a_key_and_for_each_endpoint() -> None:
    limits = StripeLimits(endpoint=0.001, sandbox=0.001, live=0.001, burst=3)
    with SandboxServer(stripe=StripeSandbox(5, 5, limits=limits)) as server:
        url = f"{server.url}/stripe/v1"
        with httpx.Client(auth=("sk_test_fake_acme", ""), timeout=LIMIT_SECONDS) as client:
            statuses = [client.get(f"{url}/customers").status_code for _ in range(5)]
            assert statuses == [200, 200, 200, 429, 429]
            # The account's own budget is used up too, whatever the endpoint.
            refused = client.get(f"{url}/events")
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit"
        assert refused.headers["stripe-should-retry"] == "true"
        assert "retry-after" not in refused.headers
        assert (
            httpx.get(f"{url}/events", auth=("sk_test_fake_globex", ""), timeout=LIMIT_SECONDS).status_code
            == 200
        )
        assert server.stripe.stats.limited["GET /v1/customers"] == 2


def test_same_seed_same_data_other_seed_other_data() -> None:
    def content(seed: int) -> tuple[list[dict[str, Any]], ...]:
        account = StripeSandbox(40, 40, seed=seed, now=NOW).account()
        return list(account.all_customers()), list(account.all_invoices()), list(account.all_events())

    assert content(1) == content(1)
    assert content(1) != content(2)


def test_accounts_can_differ_in_size() -> None:
    sandbox = StripeSandbox(
        5, 5, api_keys={"sk_test_fake_big": AccountSpec(customers=60), "sk_test_fake_small": AccountSpec()}
    )
    assert sandbox.account().source_counts()["customers"] > 50
    assert sandbox.account("sk_test_fake_small").source_counts()["customers"] <= 5


def test_totals_are_the_sum_over_all_invoices(server: SandboxServer, stripe: httpx.Client) -> None:
    totals: dict[str, int] = {}
    for invoice in read_all(stripe, "/v1/invoices"):
        totals[invoice["currency"]] = totals.get(invoice["currency"], 0) + invoice["total"]
    assert totals == {code: sums["total"] for code, sums in server.stripe.account().source_totals().items()}


def test_an_empty_account_answers() -> None:
    with (
        SandboxServer(stripe=StripeSandbox(0, 0)) as empty,
        httpx.Client(auth=("sk_test_fake_acme", ""), timeout=LIMIT_SECONDS) as client,
    ):
        for name in ("customers", "invoices", "events"):
            assert client.get(f"{empty.url}/stripe/v1/{name}").json()["data"] == []
