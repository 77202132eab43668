"""Salesforce's REST API over HTTP: queries with their pages, `describe`, single records, and the daily limit.

Source: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/ (`resources_query`,
`resources_sobject_describe`, `errorcodes`). Not here: writing (`collections`), and counting, faults and latency
(`unified.sandbox.provider`).
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from unified.sandbox.limits import RollingWindow
from unified.sandbox.provider import ApiError, Call, Reply
from unified.sandbox.salesforce import soql
from unified.sandbox.salesforce.collections import Collections
from unified.sandbox.salesforce.documents import PACKAGED
from unified.sandbox.salesforce.invoices import LINES, LINES_OF
from unified.sandbox.salesforce.oauth import SalesforceOAuth
from unified.sandbox.salesforce.objects import FIELDS, TABLES
from unified.sandbox.salesforce.org import Org, Seen, org_of
from unified.sandbox.salesforce.webhooks import OutboundMessages
from unified.sandbox.tables.api import TableSandbox
from unified.sandbox.tables.listing import Token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.routing import Route

    from unified.sandbox.tables.account import TableAccount
    from unified.sandbox.tables.table import Record, Table

DATA = "/services/data/{version}"

_PAGE = 2000
_WIDE_PAGE = 1000
_WIDE = "Description"
_LONGEST = 16_384
_DAY = 86_400.0
_CODES = {
    400: "MALFORMED_QUERY", 401: "INVALID_SESSION_ID", 403: "INSUFFICIENT_ACCESS", 404: "NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED", 500: "UNKNOWN_EXCEPTION", 503: "SERVER_UNAVAILABLE",
}  # fmt: skip


class SalesforceSandbox(TableSandbox):
    """Stand-in for `https://{domain}.my.salesforce.com`.

    Attributes:
        oauth: its apps, grants and tokens.
        page_size: records in a page of a query; fewer as soon as a long text is asked for.
    """

    name = "salesforce"
    default_keys = ("00D-fake-acme", "00D-fake-globex")
    tables: ClassVar[tuple[Table, ...]] = TABLES
    paging = Token("locator")
    webhook_form = OutboundMessages()
    mutations: ClassVar[frozenset[str]] = TableSandbox.mutations | {
        "merge",
        "undelete",
        "hide",
        "forget_locators",
    }

    def __init__(self, *, page: int = _PAGE, **how: Any) -> None:
        lines = {LINES_OF[name]: count * LINES for name, count in how.items() if name in LINES_OF}
        super().__init__(**how, **lines)
        self.oauth = SalesforceOAuth(self.clock, self._keys[0])
        self.page_size = page

    def open_account(self, key: str) -> TableAccount:
        """The org of an access token."""
        org = Org(
            key, seed=self._seed, tables=self._counts, feed=None, clock=self.clock, until=self.until,
            announce=partial(self.webhooks.announce, key),
        )  # fmt: skip
        # An org has the invoices of one object, or of none; that of a package or of its own is there on request.
        for name in ("blng__Invoice__c", "Rechnung__c", *PACKAGED):
            if not any(table.name == name and count for table, count in self._counts.items()):
                org.hide(name, LINES_OF.get(name, name))
        return org

    def routes(self) -> list[Route]:
        """Queries, descriptions, single records and collections."""
        collections = Collections(self)
        return [
            self.endpoint("/services/data", lambda _: _reply([{"label": "Winter '27", "version": "68.0"}])),
            self.endpoint(f"{DATA}/query", partial(self._query, deleted=False)),
            self.endpoint(f"{DATA}/query/", partial(self._query, deleted=False)),
            self.endpoint(f"{DATA}/queryAll", partial(self._query, deleted=True)),
            self.endpoint(f"{DATA}/queryAll/", partial(self._query, deleted=True)),
            self.endpoint(f"{DATA}/query/{{locator}}", self._more),
            self.endpoint(f"{DATA}/sobjects", self._objects),
            self.endpoint(f"{DATA}/sobjects/{{table}}/describe", self._describe),
            *collections.routes(),
            *self.oauth.all_routes(self),
        ]

    def key_of(self, credential: str) -> str | None:
        """The org that an access token opens; for tests and demos a key is one as well."""
        return super().key_of(credential) or self.oauth.account_of(credential)

    def oauth_report(self) -> dict[str, Any]:
        """Calls of the token endpoint, and how grants stand."""
        return self.oauth.report()

    # Words -----------------------------------------------------------------------------------------------

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """A list of one error: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm."""
        fields = {"fields": [parameter]} if parameter else {}
        body: Any = [
            {"message": message, "errorCode": code or _CODES.get(status, "UNKNOWN_EXCEPTION"), **fields}
        ]
        return ApiError(status, body)

    def unknown_key_error(self, _key: str | None) -> ApiError:
        """The end of a session says the same as a wrong token."""
        return self.error(401, "Session expired or invalid")

    def status_error(self, status: int, code: str | None) -> ApiError:
        """A limit is a 403 here."""
        return self.error(status, HTTPStatus(status).phrase, code=code)

    def page(self, table: Table, records: Sequence[Record], after: str | None) -> Any:
        """Unused: queries have pages of their own."""
        raise NotImplementedError

    # The daily limit -------------------------------------------------------------------------------------

    def admit(self, key: str, endpoint: str) -> dict[str, str]:
        """One request of the day's; a limit that is used up is a 403."""
        del endpoint
        most = self.limit.requests if self.limit else 100_000
        window = self._windows.setdefault(
            key, RollingWindow(most, self.limit.seconds if self.limit else _DAY)
        )
        if not window.take() and self.limit:
            raise self.error(403, "TotalRequests Limit exceeded.", code="REQUEST_LIMIT_EXCEEDED")
        return {"sforce-limit-info": f"api-usage={most - window.remaining}/{most}"}

    # Reading ---------------------------------------------------------------------------------------------

    def _query(self, call: Call[TableAccount], *, deleted: bool) -> Reply:
        text = call.request.query_params.get("q", "")
        if len(str(call.request.url)) > _LONGEST:
            raise self.error(414, "URI Too Long", code="URI_TOO_LONG")
        try:
            query = soql.read(text)
        except (soql.MalformedError, ValueError) as error:
            raise self.error(400, f"{text[:40]}: {error}") from None
        self._check(org_of(call), query)
        found = query.of(self._in_no_order(org_of(call), query, deleted=deleted))
        if not query.fields:
            return _reply({"totalSize": len(found), "done": True, "records": []})
        version = call.request.path_params["version"]
        shown = [_shown(query.source, record, query.fields, version) for record in found]
        return self._page(org_of(call), version, shown, len(shown), wide=_WIDE in query.fields)

    def _in_no_order(self, org: Org, query: soql.Query, *, deleted: bool) -> Any:
        """What is not ordered comes in an order that nobody should rely on."""
        records = org.records(query, deleted=deleted)
        if query.order or not query.fields:
            return records
        return iter(sorted(records, key=lambda record: record.get("Id")[::-1]))

    def _check(self, org: Org, query: soql.Query) -> None:
        known = org.fields(query.source)
        if not known:
            raise self.error(400, f"sObject type '{query.source}' is not supported.", code="INVALID_TYPE")
        for name in query.named:
            first, _, rest = name.partition(".")
            related = (
                next((one for one in known.values() if one.relationship == first), None) if rest else None
            )
            if not (rest in org.fields(related.refers[0]) if related else name in known):
                raise self.error(
                    400, f"No such column '{name}' on entity '{query.source}'.", code="INVALID_FIELD"
                )

    def _page(self, org: Org, version: str, left: list[Record], total: int, *, wide: bool) -> Reply:
        size = min(self.page_size, _WIDE_PAGE) if wide else self.page_size
        body: Record = {"totalSize": total, "done": len(left) <= size, "records": left[:size]}
        if len(left) > size:
            locator = org.keep_rest(total, left[size:], size)
            body["nextRecordsUrl"] = f"/services/data/{version}/query/{locator}"
        return _reply(body)

    def _more(self, call: Call[TableAccount]) -> Reply:
        """The rest of a query; a locator is used once."""
        found = org_of(call).locators.pop(call.request.path_params["locator"], None)
        if found is None:
            raise self.error(400, "invalid query locator", code="INVALID_QUERY_LOCATOR")
        total, left = found
        return self._page(
            org_of(call), call.request.path_params["version"], left, total, wide=_WIDE in left[0]
        )

    def _objects(self, call: Call[TableAccount]) -> Reply:
        names = [name for name in FIELDS if org_of(call).fields(name)]
        listed = [
            {"name": name, "label": name, "queryable": True, "createable": name in ("Account", "Contact"),
             "custom": name.endswith("__c"), "keyPrefix": None}
            for name in [*names, "SalesforceInvoice"]
        ]  # fmt: skip
        return _reply({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})

    def _describe(self, call: Call[TableAccount]) -> Reply:
        table = call.request.path_params["table"]
        fields = org_of(call).fields(table)
        if not fields:
            raise self.error(404, "The requested resource does not exist")
        children = [
            {"childSObject": name, "field": one.name, "relationshipName": f"{name}s"}
            for name in FIELDS
            for one in org_of(call).fields(name).values()
            if table in one.refers
        ]
        described = [one.described() for one in fields.values()]
        return _reply({"name": table, "queryable": True, "fields": described, "childRelationships": children})


def _shown(table: str, record: Seen, fields: Sequence[str], version: str) -> Record:
    """A record as a query shows it: what was asked for, below what it is."""
    url = f"/services/data/{version}/sobjects/{table}/{record.get('Id')}"
    shown: Record = {"attributes": {"type": table, "url": url}}
    for name in fields:
        first, _, rest = name.partition(".")
        if not rest:
            shown[name] = record.get(name)
        elif record.get(first) is None:
            shown[first] = None
        else:
            shown.setdefault(first, {"attributes": {"type": first}})[rest] = soql.value_at(record, name)
    return shown


def _reply(body: Mapping[str, Any] | Sequence[Any]) -> Reply:
    return Reply(msgspec.json.encode(body))
