"""Both sides of the exchange held against Xero's OpenAPI file: what the adapter asks, and what the stand-in answers."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import jsonschema
import pytest
import yaml

from adapters.xero.adapter import XeroAdapter
from tests.adapters.xero.test_conformance import XeroBench
from tests.exchanges import Exchanges
from unified.kit.writing.changes import Write
from unified.sandbox.xero import XeroSandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "xero"
BASE = "/api.xro/2.0"
KEY = XeroBench.credentials["access_token"]
TENANT = XeroSandbox.tenant(KEY)
HEADERS = {"authorization": f"Bearer {KEY}", "accept": "application/json", "xero-tenant-id": TENANT}

pytestmark = pytest.mark.skipif(
    not PUBLISHED.is_dir(), reason="Xero's OpenAPI files (../shared/data/xero) are not on this machine"
)

# The file's examples show these; its schemas leave them out.
_LIST = frozenset({"Id", "Status", "ProviderName", "DateTimeUTC"})
_SHOWN = {
    **dict.fromkeys(("Contacts", "Invoices", "CreditNotes", "Payments", "Organisations"), _LIST),
    "Invoice": frozenset({"DateString", "DueDateString"}),
    "CreditNote": frozenset({"DateString", "DueDateString"}),
}
_MS_DATE = r"^/Date\(-?\d+([+-]\d{4})?\)/$"  # x-is-msdate and x-is-msdate-time


@cache
def document(name: str = "xero_accounting") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load((PUBLISHED / f"{name}.yaml").read_bytes(), Loader=yaml.CSafeLoader)
    return loaded


@cache
def validator(schema: str, *, written: bool = False) -> Any:
    """A schema that takes no field that the file does not know; of a body, none that is read-only."""
    components = {
        name: _closed(one, _SHOWN.get(name, frozenset()), written=written)
        for name, one in document()["components"]["schemas"].items()
    }
    kind = jsonschema.Draft202012Validator
    root = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": components}}
    return kind(root, format_checker=kind.FORMAT_CHECKER)


def _closed(schema: dict[str, Any], shown: frozenset[str], *, written: bool) -> dict[str, Any]:
    fields = {
        name: {**one, "pattern": _MS_DATE} if {"x-is-msdate", "x-is-msdate-time"} & one.keys() else one
        for name, one in schema.get("properties", {}).items()
        if not (written and one.get("readOnly"))
    }
    extra: dict[str, Any] = {} if written else {name: {} for name in shown}
    is_open = not fields or schema is document()["components"]["schemas"]["Element"]
    return schema if is_open else {**schema, "properties": {**fields, **extra}, "additionalProperties": False}


class Operation:
    """What the file says of a method on a path.

    Raises:
        AssertionError: If it says nothing of it.
    """

    def __init__(self, request: httpx.Request) -> None:
        path = request.url.path.removeprefix(f"/xero{BASE}")
        patterns = [
            one for one in document()["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[0-9a-f-]{36}", one), path)
        ]
        assert patterns, f"{request.method} {path} is not in the file"
        self.path = patterns[0]
        found = document()["paths"][self.path]
        self._told = found[request.method.lower()]
        listed = [*found.get("parameters", ()), *self._told.get("parameters", ())]
        self._parameters = [self._resolved("parameters", one) for one in listed]

    @staticmethod
    def _resolved(kind: str, one: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (
            document()["components"][kind][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        )
        return found

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in self._parameters if one["in"] == place}

    def body(self) -> str:
        """The schema of what is sent."""
        return self._schema(self._told["requestBody"])

    def answer(self, status: int) -> str:
        """The schema of an answer of that status."""
        return self._schema(self._resolved("responses", self._told["responses"][str(status)]))

    @staticmethod
    def _schema(holder: dict[str, Any]) -> str:
        name: str = holder["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        return name


def check_request(request: httpx.Request) -> Operation:
    """That the file knows all that is asked for, and has all that it demands."""
    operation = Operation(request)
    allowed = operation.parameters("query")
    unknown = set(request.url.params) - set(allowed)
    assert not unknown, f"{operation.path} does not take {unknown}"
    for name, value in request.url.params.multi_items():
        check_value(value, allowed[name]["schema"])
    known = {
        one["name"] for one in document()["components"]["parameters"].values() if one["in"] == "header"
    } | {"If-Modified-Since"}
    sent = {name for name in known if name in request.headers}
    taken = operation.parameters("header")
    needed = {name for name, one in taken.items() if one.get("required")}
    assert needed <= sent <= set(taken), f"{request.method} {operation.path} was sent {sent}"
    assert request.headers["accept"] == "application/json"
    if request.method != "GET":
        validator(operation.body(), written=True).validate(json.loads(request.content))
    return operation


def check_answer(response: httpx.Response) -> None:
    schema = Operation(response.request).answer(response.status_code)
    validator(schema).validate(response.json())


def check_value(value: str, schema: dict[str, Any]) -> None:
    if schema["type"] == "integer":
        assert int(value) >= 1
    elif schema["type"] == "boolean":
        assert value in ("true", "false")
    elif schema["type"] == "array":
        assert all(
            re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in value.split(",")
        )


@pytest.fixture(scope="module")
def bench() -> Iterator[XeroBench]:
    with XeroBench() as running:
        yield running


@pytest.fixture
def http(bench: XeroBench) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{bench.url}{BASE}", headers=HEADERS) as client:
        yield client


async def test_each_request_and_its_answer_are_of_the_file(bench: XeroBench) -> None:
    async with bench.open(tenant_id=TENANT) as adapter:
        exchanges = Exchanges(adapter.http)
        await adapter.test()
        for stream in bench.streams():
            pages = [page async for page in adapter.pull(stream, None)]
            again = [page async for page in adapter.pull(stream, pages[-1].cursor)]
            ids = [record.source_id or "" for page in pages for record in page.records][:3]
            fetched = [page async for page in adapter.fetch(stream, ids)]
            assert again
            assert sum(len(page.records) for page in fetched) == len(ids) == 3
        gone, changed, taken, *_ = bench.provider.account().all("Contacts").values()
        body = {
            "Name": "Quite new", "EmailAddress": "new@acme.example", "TaxNumber": "1",
            "Phones": [{"PhoneType": "DEFAULT", "PhoneNumber": "1"}],
            "Addresses": [{"AddressType": "POBOX", "City": "Köln"}],
        }  # fmt: skip
        writes = [
            Write("create", None, body, "k1"),
            Write("update", changed["ContactID"], {"Name": taken["Name"]}, "k2"),
            Write("update", changed["ContactID"], {"TaxNumber": "2"}, "k3"),
            Write("delete", gone["ContactID"], {}, "k4"),
        ]
        outcomes = [one.outcome async for one in adapter.write("contacts", writes)]
        assert sorted(outcomes) == ["applied", "applied", "applied", "refused"]
        assert [page async for page in adapter.find("contacts", "name", ["quite new"])]
    for answer in exchanges.answers:
        check_request(answer.request)
        check_answer(answer)
    requests = [answer.request for answer in exchanges.answers]
    used = {(request.method, Operation(request).path, *request.url.params) for request in requests}
    listed = ("order", "page", "pageSize")
    assert used >= {
        ("GET", "/Organisation"),
        ("GET", "/Contacts", "order", "includeArchived", "page", "pageSize"),
        ("GET", "/Contacts", "order", "includeArchived", "IDs", "page", "pageSize"),
        ("GET", "/Contacts", "order", "includeArchived", "where", "page", "pageSize"),
        ("GET", "/CreditNotes/{CreditNoteID}", "unitdp"),
        ("GET", "/Payments", *listed),
        ("GET", "/Payments/{PaymentID}"),
        ("PUT", "/Contacts", "summarizeErrors"),
        ("POST", "/Contacts", "summarizeErrors"),
    }
    since = {request.headers.get("if-modified-since") for request in requests} - {None}
    assert {f"{datetime.fromisoformat(said or ''):%Y-%m-%dT%H:%M:%S}" for said in since} == since
    names = {said.partition(" ")[0] for request in requests if (said := request.url.params.get("order"))}
    assert names == {"ContactID", "InvoiceID", "CreditNoteID", "PaymentID"}


@pytest.mark.parametrize("path", ["/Contacts", "/Invoices", "/CreditNotes", "/Payments"])
def test_lists_without_pages_and_single_records_are_of_the_file(http: httpx.Client, path: str) -> None:
    listed = http.get(path, params={"includeArchived": "true"} if path == "/Contacts" else {})
    check_answer(listed)
    key = f"{path[1:-1]}ID"
    for record in listed.json()[path[1:]][:30]:
        check_answer(http.get(f"{path}/{record[key]}"))


@pytest.mark.parametrize(
    ("method", "params", "body"),
    [
        ("GET", {"order": "Nonsense ASC"}, None),
        ("GET", {"where": 'Website=="x"'}, None),
        ("PUT", {}, {"Contacts": [{"Name": "Quite new"}, {"EmailAddress": "x@acme.example"}]}),
        (
            "POST",
            {"summarizeErrors": "true"},
            {"Contacts": [{"ContactID": str(UUID(int=1)), "Name": "Nobody"}]},
        ),
    ],
)
def test_refusals_are_of_the_file(http: httpx.Client, method: str, params: Any, body: Any) -> None:
    answer = http.request(method, "/Contacts", params=params, json=body)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    validator("Error").validate(answer.json())
    for element in answer.json().get("Elements", ()):
        validator("Contact").validate(element)


def test_connections_are_of_the_file(bench: XeroBench) -> None:
    (path, said), *_ = document("xero-identity")["paths"].items()
    answer = httpx.get(f"{bench.url}{path}", headers=HEADERS).json()
    schema = said["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    kind = jsonschema.Draft202012Validator
    components = {name: _closed(one, frozenset(), written=False)
                  for name, one in document("xero-identity")["components"]["schemas"].items()}  # fmt: skip
    kind({**schema, "components": {"schemas": components}}, format_checker=kind.FORMAT_CHECKER).validate(
        answer
    )
    tenants = XeroAdapter.oauth.tenants
    assert tenants is not None
    assert (tenants.url.casefold(), answer[0][tenants.id]) == (
        f"https://api.xero.com{path}".casefold(),
        TENANT,
    )


def test_the_mapping_knows_each_word_of_the_file(bench: XeroBench) -> None:
    fields = {name: one.get("properties", {}) for name, one in document()["components"]["schemas"].items()}
    adapter = bench.open()

    def mapped(stream: str, **raw: Any) -> Any:
        return adapter.map_record(
            stream, json.dumps(raw).encode(), adapter.origin(stream, bench.now(), bench.now())
        )

    known = str(UUID(int=1))
    for kind in set(fields["Phone"]["PhoneType"]["enum"]) - {"FAX"}:
        phones = [{"PhoneType": kind, "PhoneNumber": "1"}]
        assert mapped("contacts", ContactID=known, Name="Acme", Phones=phones).phone == "1", kind
    for kind in fields["Address"]["AddressType"]["enum"]:
        found = mapped(
            "contacts", ContactID=known, Name="Acme", Addresses=[{"AddressType": kind, "City": "Köln"}]
        )
        assert found.billing_address or found.shipping_address, kind
    bill = {"InvoiceID": known, "Type": "ACCPAY", "Total": 1, "CurrencyCode": "NZD"}
    for status in set(fields["Invoice"]["Status"]["enum"]) - {"DELETED"}:  # which becomes a tombstone
        assert mapped("invoices", **bill, Status=status).status, status


@pytest.mark.parametrize(
    ("schema", "wrong"),
    [
        ("Contacts", {"Contacts": [{"Nickname": "x"}]}),
        ("Contacts", {"Contacts": [{"Phones": [{"PhoneType": "HOME"}]}]}),
        ("Contacts", {"Contacts": [{"Website": "https://acme.example"}]}),
        ("Contacts", {"Contacts": [{"Name": None}]}),
        ("Contacts", {"Contacts": [{"TaxNumber": "1" * 51}]}),
    ],
)
def test_a_body_can_be_of_another_form(schema: str, wrong: Any) -> None:
    """The checks above would show nothing if the file took anything."""
    assert not validator(schema, written=True).is_valid(wrong)
