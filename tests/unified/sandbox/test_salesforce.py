"""simple-salesforce against the stand-in: it reads all, page by page, writes, and is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from requests import Session
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
)

from unified.sandbox.salesforce import SalesforceSandbox
from unified.sandbox.server import Server
from unified.sandbox.tables.api import RequestLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_790_000_000


class Plainly(HTTPAdapter):
    """The client always asks by https; the stand-in has no certificate."""

    def send(self, request: Any, *args: Any, **how: Any) -> Any:
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, *args, **how)


@pytest.fixture
def sandbox() -> SalesforceSandbox:
    return SalesforceSandbox(now=NOW, page=70)


@pytest.fixture
def client(sandbox: SalesforceSandbox) -> Iterator[Salesforce]:
    with Server(sandbox) as server, Session() as session:
        session.mount("https://", Plainly())
        instance = f"{server.url.removeprefix('http://')}/salesforce"
        yield Salesforce(instance=instance, session_id="00D-fake-acme", session=session, version="68.0")


def test_it_reads_all_by_locators(client: Salesforce, sandbox: SalesforceSandbox) -> None:
    found = client.query_all("SELECT Id, Name FROM Account")
    assert found["totalSize"] == len(found["records"])
    assert {one["Id"] for one in found["records"]} == set(sandbox.account().all("Account"))
    assert [one["Id"] for one in found["records"]] != sorted(one["Id"] for one in found["records"])


def test_what_was_deleted_is_found_on_request(client: Salesforce) -> None:
    everything = client.query_all("SELECT Id, IsDeleted FROM Contact", include_deleted=True)["records"]
    living = client.query_all("SELECT Id FROM Contact")["records"]
    assert len(living) == len([one for one in everything if not one["IsDeleted"]]) < len(everything)


def test_a_locator_is_used_once(client: Salesforce) -> None:
    first = client.query("SELECT Id FROM Account")
    client.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    with pytest.raises(SalesforceMalformedRequest, match="INVALID_QUERY_LOCATOR"):
        client.query_more(first["nextRecordsUrl"], identifier_is_url=True)


def test_pages_shrink_as_soon_as_a_long_text_is_asked_for() -> None:
    sandbox = SalesforceSandbox(now=NOW, Account=1_200, Contact=0, Invoice=0)
    with Server(sandbox) as server, Session() as session:
        session.mount("https://", Plainly())
        instance = f"{server.url.removeprefix('http://')}/salesforce"
        client = Salesforce(instance=instance, session_id="00D-fake-acme", session=session, version="68.0")
        assert client.query("SELECT Id FROM Account")["done"]
        assert len(client.query("SELECT Id, Description FROM Account")["records"]) == 1_000


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT * FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Id, Nonsense FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nonsense", "INVALID_TYPE"),
    ],
)
def test_a_query_is_refused_with_its_code(client: Salesforce, soql: str, code: str) -> None:
    with pytest.raises(SalesforceMalformedRequest, match=code):
        client.query(soql)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("Name = 'O\\'Neil'", 0),
        ("NOT (IsPersonAccount = false)", 10),
        ("(IsPersonAccount = true AND LastName != null) OR Id IN ('001')", 10),
        ("CreatedDate > 2026-09-21T00:00:00Z", 0),
    ],
)
def test_conditions(where: str, found: int, client: Salesforce, sandbox: SalesforceSandbox) -> None:
    org = sandbox.account()
    for row in list(org.rows["Account"]):
        row.is_deleted = False
    assert client.query(f"SELECT COUNT() FROM Account WHERE {where} LIMIT 500")["totalSize"] == found  # noqa: S608


def test_it_creates_changes_and_deletes(client: Salesforce, sandbox: SalesforceSandbox) -> None:
    made: Any = client.Contact.create({"LastName": "King", "FirstName": "Ada"})  # type: ignore[operator]
    assert client.Contact.get(made["id"])["Name"] == "Ada King"  # type: ignore[operator,index]
    client.Contact.update(made["id"], {"FirstName": "Grace"})  # type: ignore[operator]
    assert sandbox.account().all("Contact")[made["id"]]["Name"] == "Grace King"
    client.Contact.delete(made["id"])  # type: ignore[operator]
    assert made["id"] not in sandbox.account().all("Contact")


def test_a_session_that_ended_and_a_limit(client: Salesforce, sandbox: SalesforceSandbox) -> None:
    sandbox.set_limits(RequestLimit(1, 86_400))
    client.query("SELECT Id FROM Account LIMIT 1")
    with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
        client.query("SELECT Id FROM Account LIMIT 1")
    sandbox.revoke("00D-fake-acme")
    with pytest.raises(SalesforceExpiredSession, match="INVALID_SESSION_ID"):
        client.query("SELECT Id FROM Account LIMIT 1")


def test_describe_shows_what_the_user_may_see(client: Salesforce, sandbox: SalesforceSandbox) -> None:
    sandbox.mutate("hide", None, "Contact.Phone", "Invoice")
    names = {one["name"] for one in client.Contact.describe()["fields"]}  # type: ignore[operator,index]
    assert "Phone" not in names
    assert "LastName" in names
    listed: Any = client.describe()
    assert {"Account", "SalesforceInvoice"} <= {one["name"] for one in listed["sobjects"]}
    assert "Invoice" not in {one["name"] for one in listed["sobjects"]}
