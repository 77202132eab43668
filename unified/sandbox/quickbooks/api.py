"""The stand-in's API: queries, change data, single writes of customers, and the company.

Source: https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api (``data-queries``,
``change-data-capture``, ``minor-versions``), .../docs/develop/troubleshooting/error-codes. Not here: what records hold
(`unified.sandbox.quickbooks.records`), and how a query is read (`unified.sandbox.quickbooks.queries`).
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from unified.sandbox.draw import seed_of
from unified.sandbox.provider import Answer, ApiError, Call, Reply
from unified.sandbox.quickbooks.queries import Query
from unified.sandbox.quickbooks.records import (
    BLANK,
    LONGEST_DAYS,
    IntuitWebhooks,
    announced,
    company_time,
    credit_memo,
    credited,
    customer,
    instant,
    invoice,
    items,
    numbered,
    payment,
    sent_time,
    settled,
    vendor,
)
from unified.sandbox.tables.account import Feed, TableAccount, sums
from unified.sandbox.tables.api import TableSandbox
from unified.sandbox.tables.listing import PageNumber
from unified.sandbox.tables.table import Record, Row, Rows, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.routing import Route

NAMES = frozenset(("Customer", "Vendor"))
"""Entities that are made inactive and never deleted."""

_MOST, _USUAL = 1000, 100
_LONGEST_KEY = 50
_XML = b'<?xml version="1.0"?><IntuitResponse xmlns="http://schema.intuit.com/finance/v3"/>'
# Members of a customer that may be sent back, and that change nothing.
_READ_ONLY = ("MetaData", "domain", "Balance", "BalanceWithJobs", "FullyQualifiedName", "Level")


class QuickBooksAccount(TableAccount):
    """One company. Names are made inactive or merged, documents are deleted and seen no more.

    Attributes:
        mistaken: Ids of living records that change data show as deleted, as was seen of some that had just changed
            (https://github.com/intuit/QuickBooks-V3-DotNET-SDK/issues/189).
    """

    def __init__(self, key: str, **how: Any) -> None:
        super().__init__(key, **how)
        self.mistaken: set[str] = set()

    def merge(self, loser: str, winner: str) -> Record:
        """Merge a customer into another one, as giving it the other's name does.

        It is in no answer any more but as a deleted one in the change data, and its documents are the other's. That
        these change is not stamped: nothing says so, and a reader that counts on it would be wrong where they do not.
        """
        rows, row, left = self.rows["Customer"], self._live("Customer", loser), self._live("Customer", winner)
        for table in ("Invoice", "CreditMemo", "Payment"):
            for document in self.rows[table].live():
                if document.fields["CustomerRef"]["value"] == loser:
                    document.fields = {**document.fields, "CustomerRef": {"value": winner}}
        rows.remove(row, self._clock.time())
        self._publish(announced("merge", rows.table, {**rows.shown(left), "deletedid": loser}))
        return rows.shown(left)

    def mistake(self, record_id: str) -> None:
        """Show a living record as deleted in the change data, from now on."""
        self.mistaken.add(record_id)

    def update(self, table: str, record_id: str, /, **fields: Any) -> Record:
        """Change fields of a record; its version counts up."""
        row = self._live(table, record_id)
        return super().update(
            table, record_id, **{**fields, "SyncToken": str(int(row.fields["SyncToken"]) + 1)}
        )

    def delete(self, table: str, record_id: str, /) -> Record:
        """Make a name inactive, which its own name then says; delete a document."""
        if table not in NAMES:
            return super().delete(table, record_id)
        fields = self._live(table, record_id).fields
        if not fields["Active"]:
            raise KeyError(f"{record_id} of {table} is inactive already")
        return self.update(table, record_id, Active=False, DisplayName=f"{fields['DisplayName']} (deleted)")

    def all(self, table: str) -> dict[str, Record]:
        """Every record that is neither inactive nor deleted, by id."""
        return {name: one for name, one in super().all(table).items() if one.get("Active", True)}

    def source_counts(self) -> dict[str, int]:
        """How many records a complete copy holds, by table, and how many lines the invoices have."""
        counts = {name: len(self.all(name)) for name in self.rows if name != "Announced"}
        return {**counts, "Line": sum(len(items(one)) for one in self.all("Invoice").values())}

    def source_totals(self) -> dict[str, Any]:
        """Sums of the invoices, by currency."""
        return sums(
            self.all("Invoice").values(),
            lambda one: str(one["CurrencyRef"]["value"]),
            {
                "TotalAmt": lambda one: one["TotalAmt"], "Balance": lambda one: one["Balance"],
                "TotalTax": lambda one: one["TxnTaxDetail"]["TotalTax"],
            },
        )  # fmt: skip


def _table(name: str, make: Callable[..., Record], first: int, count: int, **more: Any) -> Table:
    return Table(
        name, name, make, numbered(first), count, "Id", created="CreateTime", updated="LastUpdatedTime",
        moment=company_time, **more,
    )  # fmt: skip


class QuickBooksSandbox(TableSandbox):
    """Stand-in for `https://quickbooks.api.intuit.com`.

    Args:
        page: records of one answer at most, whatever is asked for.
    """

    name = "quickbooks"
    default_keys = ("qb_fake_acme", "qb_fake_globex")
    webhook_form = IntuitWebhooks()
    account_type = QuickBooksAccount
    paging = PageNumber("page")
    feed = Feed("Announced", announced)
    mutations: ClassVar[frozenset[str]] = TableSandbox.mutations | {"merge", "mistake"}
    tables: ClassVar[tuple[Table, ...]] = (
        _table("Customer", customer, 1, 250),
        _table("Vendor", vendor, 5001, 60),
        _table("Invoice", invoice, 101, 300, settle=settled),
        _table("CreditMemo", credit_memo, 20_001, 60, settle=credited),
        _table("Payment", payment, 30_001, 120),
        Table("Announced", "event", lambda _: {}, numbered(1), 0, created="time", moment=sent_time),
    )

    def __init__(self, *, page: int = _MOST, **how: Any) -> None:
        super().__init__(**how)
        self._page = page
        self._answered: dict[str, bytes] = {}

    @staticmethod
    def realm(key: str) -> str:
        """The id of the company behind a key."""
        return str(9_130_000_000_000_000 + seed_of(key) % 1_000_000_000)

    # What the pipeline asks ------------------------------------------------------------------------------

    def named(self, key: str) -> Record:
        """The company."""
        return {"intuitaccountid": self.realm(key)}

    def endpoint(self, path: str, answer: Answer[TableAccount], *methods: str) -> Route:
        """A route of the API, which answers in XML unless JSON is asked for."""

        def laid_out(call: Call[TableAccount]) -> Reply:
            reply = answer(call)
            if "json" in call.request.headers.get("accept", ""):
                return reply
            return Reply(_XML, reply.status, reply.headers, "application/xml")

        return super().endpoint(path, laid_out, *methods)

    def routes(self) -> list[Route]:
        """Queries, change data, single records, customers that are written, and the company."""
        base = "/v3/company/{realm}"
        return [
            *(
                self.endpoint(f"{base}/{table.name.lower()}/{{id}}", partial(self._one, table.name))
                for table in self.tables
                if table.name != "Announced"
            ),
            self.endpoint(f"{base}/query", self._query, "GET", "POST"),
            self.endpoint(f"{base}/cdc", self._captured),
            self.endpoint(f"{base}/customer", self._save, "POST"),
            self.endpoint(f"{base}/companyinfo/{{id}}", self._company),
        ]

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """https://developer.intuit.com/app/developer/qbo/docs/develop/troubleshooting/error-codes."""
        known = {401: "3200", 403: "3100", 429: "003001", 404: "500"}
        fault = {"Message": message, "Detail": message, "code": code or known.get(status, "10000")}
        kind = {401: "AUTHENTICATION", 403: "AUTHORIZATION", 429: "THROTTLE"}.get(status, "ValidationFault")
        del parameter
        return ApiError(
            status, {"Fault": {"Error": [fault], "type": kind}, "time": company_time(self.clock.time())}
        )

    def page(self, table: Table, records: Sequence[Record], after: str | None) -> Any:
        """What a query is answered with: nothing at all where nothing is found."""
        del after
        return {"QueryResponse": _listed(table.name, records, 1)}

    # Endpoints -------------------------------------------------------------------------------------------

    def _account(self, call: Call[TableAccount]) -> TableAccount:
        for key in self._keys:
            if self.account(key) is call.account and self.realm(key) == call.request.path_params["realm"]:
                return call.account
        raise self.error(HTTPStatus.FORBIDDEN, "ApplicationAuthorizationFailed")

    def _answer(self, **parts: Any) -> Reply:
        return Reply(msgspec.json.encode({**parts, "time": company_time(self.clock.time())}))

    def _company(self, call: Call[TableAccount]) -> Reply:
        self._account(call)
        return self._answer(CompanyInfo={"CompanyName": "Acme", "Country": "US", "Id": "1"})

    def _query(self, call: Call[TableAccount]) -> Reply:
        account, posted = self._account(call), call.body.decode() if call.request.method == "POST" else ""
        try:
            query = Query.read(posted or call.request.query_params.get("query", ""))
            rows = account.rows[query.entity]
            found = [(row, one) for row in rows.live() if query.holds(one := shown(rows, row))]
        except (ValueError, KeyError):
            raise self.error(HTTPStatus.BAD_REQUEST, "QueryParserError", code="4000") from None
        if query.is_count:
            return self._answer(QueryResponse={"totalCount": len(found)})
        found.sort(key=lambda pair: (query.key(pair[1]), int(pair[0].id)), reverse=query.is_down)
        most = min(_USUAL if query.most is None else query.most, _MOST, self._page)
        records = [one for _, one in found[query.start - 1 : query.start - 1 + most]]
        return self._answer(QueryResponse=_listed(rows.table.name, records, query.start))

    def _one(self, name: str, call: Call[TableAccount]) -> Reply:
        """A single record; an inactive one is shown as well."""
        rows = self._account(call).rows[name]
        row = rows.find(call.request.path_params["id"])
        if row is None or row.is_deleted:
            raise self.error(HTTPStatus.BAD_REQUEST, "Object Not Found", code="610")
        return self._answer(**{name: shown(rows, row)})

    def _captured(self, call: Call[TableAccount]) -> Reply:
        """What changed, a thousand at most of all entities together; of a deleted record only that it is."""
        account, parameters = self._account(call), call.request.query_params
        since = instant(parameters["changedSince"]).timestamp()
        if self.clock.time() - since > LONGEST_DAYS:
            raise self.error(HTTPStatus.BAD_REQUEST, "changedSince is longer ago than 30 days", code="2030")
        answers, left = [], _MOST
        for name in parameters["entities"].split(","):
            rows = account.rows[name]
            changed = [row for row in rows if row.updated >= since][:left]
            left -= len(changed)
            mistaken = getattr(account, "mistaken", ())
            answers.append(
                _listed(name, [marker(row) if row.id in mistaken else shown(rows, row) for row in changed], 1)
            )
        return self._answer(CDCResponse=[{"QueryResponse": answers}])

    def _save(self, call: Call[TableAccount]) -> Reply:
        """Create or update a customer; a request's id replays the first answer."""
        account, key = self._account(call), call.request.query_params.get("requestid", "")
        if len(key) > _LONGEST_KEY:
            raise self.error(HTTPStatus.BAD_REQUEST, "requestid is too long", code="2050")
        if key in self._answered:
            return Reply(self._answered[key])
        sent = msgspec.json.decode(call.body, type=dict[str, Any])
        fields = {name: _emptied(value) for name, value in sent.items() if name not in _READ_ONLY}
        record_id, token = fields.pop("Id", None), fields.pop("SyncToken", None)
        is_sparse = bool(fields.pop("sparse", False)) and record_id is not None
        if unknown := sorted(fields.keys() - BLANK.keys()):
            raise self.error(
                HTTPStatus.BAD_REQUEST, f"Property Name:{unknown[0]} is unsupported", code="2010"
            )
        if "DisplayName" in fields or not is_sparse:
            self._check_name(account, fields.get("DisplayName"), record_id)
        rows = account.rows["Customer"]
        whole = {name: value for name, value in BLANK.items() if name not in ("SyncToken", *_READ_ONLY)}
        written = fields if is_sparse else {**whole, **fields}
        if record_id is None:
            record = account.create("Customer", **{**BLANK, **written, **_full_name(rows, written)})
        else:
            row = rows.find(record_id)
            if row is None or not row.fields["Active"]:
                raise self.error(HTTPStatus.BAD_REQUEST, "Object Not Found", code="610")
            if token != row.fields["SyncToken"]:
                raise self.error(HTTPStatus.BAD_REQUEST, "Stale Object Error", code="5010")
            if fields.get("Active") is False:
                record = account.delete("Customer", record_id)
            else:
                full = _full_name(rows, {**row.fields, **written})
                record = account.update("Customer", record_id, **{**written, **full})
        row = rows.find(record["Id"])
        reply = self._answer(Customer=shown(rows, row) if row else {})
        if key:
            self._answered[key] = reply.content
        return reply

    def _check_name(self, account: TableAccount, name: str | None, record_id: str | None) -> None:
        """Unique over customers and vendors, and free of colons and tabs."""
        if not name or ":" in name or "\t" in name:
            raise self.error(
                HTTPStatus.BAD_REQUEST, "The name is missing, or has a colon or a tab", code="2040"
            )
        for table in NAMES:
            for row in account.rows[table].live():
                if row.fields["DisplayName"].casefold() == name.casefold() and row.id != record_id:
                    raise self.error(HTTPStatus.BAD_REQUEST, "Duplicate Name Exists Error", code="6240")


def _full_name(rows: Rows, fields: Record) -> Record:
    """A customer's name, after that of the customer whose job it is."""
    parent = rows.find((fields["ParentRef"] or {}).get("value", ""))
    above = f"{parent.fields['FullyQualifiedName']}:" if parent else ""
    return {"FullyQualifiedName": f"{above}{fields['DisplayName']}"}


def _listed(name: str, records: Sequence[Record], start: int) -> Record:
    """Records as an answer counts them: ``maxResults`` says how many these are. There is nothing where none is."""
    return {name: list(records), "startPosition": start, "maxResults": len(records)} if records else {}


def _emptied(value: Any) -> Any:
    """A value that was sent; an empty text empties a field, and so does an object of nothing else."""
    if isinstance(value, dict):
        return value if any(_emptied(one) is not None for one in value.values()) else None
    return None if value == "" else value


def shown(rows: Rows, row: Row) -> Record:
    """A record with its times where QuickBooks has them; a marker of a deleted one."""
    record = {name: value for name, value in rows.shown(row).items() if value is not None}
    times = {"CreateTime": record.pop("CreateTime"), "LastUpdatedTime": record.pop("LastUpdatedTime")}
    return marker(row) if row.is_deleted else {**record, "MetaData": times}


def marker(row: Row) -> Record:
    """All that change data show of a deleted record."""
    times = {"LastUpdatedTime": company_time(row.updated)}
    return {"domain": "QBO", "status": "Deleted", "Id": row.id, "MetaData": times}
