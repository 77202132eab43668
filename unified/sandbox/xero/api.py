"""The stand-in's API: lists with their pages and filters, single records, contacts that are written, tenants.

Source: https://developer.xero.com/documentation/api/accounting (``requests-and-responses`` for paging, order, filters
and partial results) and .../guides/oauth2/limits. Each key opens an organisation of its own; a key that is named in
``grants`` opens several, which the tenant header chooses from.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from unified.sandbox.clock import iso_ms
from unified.sandbox.draw import seed_of
from unified.sandbox.provider import ApiError, Call, Reply, api_key
from unified.sandbox.tables.account import Feed, TableAccount
from unified.sandbox.tables.api import TableSandbox
from unified.sandbox.tables.listing import BadParameterError, PageNumber
from unified.sandbox.tables.table import Record, Row, Rows, Table
from unified.sandbox.xero.account import FATES, XeroAccount
from unified.sandbox.xero.contacts import refused, saved, without
from unified.sandbox.xero.filters import chosen_by
from unified.sandbox.xero.records import TIMES, contact, credit_note, guid, invoice, payment, settled
from unified.sandbox.xero.webhooks import XeroWebhooks, announced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.routing import Route

    from unified.sandbox.limits import RollingWindow

_NONE = "00000000-0000-0000-0000-000000000000"
_DEFAULT_PAGE, _MOST_PAGE = 100, 1000
_LONGEST_KEY = 128
_MINUTE = 60


class XeroSandbox(TableSandbox):
    """Stand-in for `https://api.xero.com`; the accounting API lies below `/api.xro/2.0`.

    Args:
        page: records on a page at most, whatever is asked for.
        grants: key → keys whose organisations it opens; by default its own.
    """

    name = "xero"
    base = "/api.xro/2.0"
    default_keys = ("xero_fake_acme", "xero_fake_globex")
    webhook_form = XeroWebhooks()
    account_type = XeroAccount
    paging = PageNumber("page", "pageSize", _DEFAULT_PAGE, _MOST_PAGE)
    feed = Feed("Announced", announced)
    mutations: ClassVar[frozenset[str]] = frozenset({"create", "update", "delete", "merge"})
    tables: ClassVar[tuple[Table, ...]] = (
        Table("Contacts", "Contact", contact, guid("contact"), 250, "ContactID", **TIMES),
        Table("Invoices", "Invoice", invoice, guid("invoice"), 300, "InvoiceID", settle=settled, **TIMES),
        Table("CreditNotes", "CreditNote", credit_note, guid("note"), 60, "CreditNoteID", settle=settled, **TIMES),
        Table("Payments", "Payment", payment, guid("payment"), 120, "PaymentID", **TIMES),
        Table(
            "Announced", "event", lambda _: {}, lambda index, _: str(index), 0, created="eventDateUtc",
            moment=lambda seconds: iso_ms(int(seconds * 1000)).rstrip("Z"),
        ),
    )  # fmt: skip

    def __init__(
        self, *, page: int = _MOST_PAGE, grants: Mapping[str, Sequence[str]] | None = None, **how: Any
    ) -> None:
        super().__init__(**how)
        self._page = page
        self._grants = dict(grants or {})
        self._answered: dict[tuple[str, str], bytes] = {}

    @staticmethod
    def tenant(key: str) -> str:
        """The tenant id of the organisation behind a key."""
        return guid("tenant")(0, seed_of(key))

    # What the pipeline asks ------------------------------------------------------------------------------

    def named(self, key: str) -> Record:
        """The organisation."""
        return {
            "tenantId": self.tenant(key),
            "tenantType": "ORGANISATION",
            "resourceUrl": "https://api.xero.com/elsewhere",
        }

    def routes(self) -> list[Route]:
        """Lists and records of every table, contacts that are written, the organisation, and the connections."""
        routes = [
            # The guide writes it small, the OpenAPI file and the official clients do not.
            self.endpoint("/connections", self._connections),
            self.endpoint("/Connections", self._connections),
            self.endpoint(f"{self.base}/Organisation", self._organisation),
            self.endpoint(f"{self.base}/Contacts", self._save, "PUT", "POST"),
        ]
        for table in self.tables:
            if table.name in FATES:
                path = f"{self.base}/{table.name}"
                routes.append(self.endpoint(path, partial(self._list, table)))
                routes.append(self.endpoint(f"{path}/{{id}}", partial(self._get, table)))
        return routes

    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """https://developer.xero.com/documentation/api/accounting/responsecodes: two forms."""
        del parameter
        if status == HTTPStatus.BAD_REQUEST:
            return ApiError(
                status, {"ErrorNumber": 16, "Type": code or "QueryParseException", "Message": message}
            )
        title = code or HTTPStatus(status).phrase
        return ApiError(
            status, {"Type": None, "Title": title, "Status": status, "Detail": message, "Extensions": {}}
        )

    def status_error(self, status: int, code: str | None) -> ApiError:
        """A limit says which, and how long it lasts."""
        error = super().status_error(status, code)
        if status == HTTPStatus.TOO_MANY_REQUESTS and self.limit is not None:
            problem = "minute" if self.limit.seconds <= _MINUTE else "day"
            error.reply.headers |= {
                "x-rate-limit-problem": problem, "retry-after": str(int(self.limit.seconds)),
            }  # fmt: skip
        return error

    def limit_headers(self, window: RollingWindow) -> dict[str, str]:
        """What is left."""
        return {"x-minlimit-remaining": str(window.remaining), "x-appminlimit-remaining": "9999"}

    def unknown_key_error(self, _key: str | None) -> ApiError:
        """401."""
        return self.error(HTTPStatus.UNAUTHORIZED, "AuthenticationUnsuccessful")

    def page(self, table: Table, records: Sequence[Record], after: str | None) -> Any:
        """Without the keys that have no value, which only a single record shows."""
        del after
        return self._envelope(**{table.name: [without(one, "") for one in records]})

    # Endpoints -------------------------------------------------------------------------------------------

    def _envelope(self, **parts: Any) -> Record:
        stamp = f"/Date({int(self.clock.time() * 1000)})/"
        return {"Id": _NONE, "Status": "OK", "ProviderName": "Sandbox", "DateTimeUTC": stamp, **parts}

    def _opened(self, call: Call[TableAccount]) -> dict[str, str]:
        """Tenant id → key, of the organisations that the request's token opens."""
        key = self.key_of(api_key(call.request) or "") or ""
        return {self.tenant(one): one for one in self._grants.get(key, (key,))}

    def _account(self, call: Call[TableAccount]) -> TableAccount:
        """The organisation that the header names; without one the only one, as of a custom connection."""
        opened = self._opened(call)
        tenant = call.request.headers.get("xero-tenant-id")
        if tenant is None and len(opened) == 1:
            tenant = next(iter(opened))
        if tenant not in opened:
            raise self.error(HTTPStatus.FORBIDDEN, "AuthenticationUnsuccessful")
        return self.account(opened[tenant])

    def _connections(self, call: Call[TableAccount]) -> Reply:
        """https://developer.xero.com/documentation/guides/oauth2/tenants."""
        listed = [
            {"id": guid("connection")(0, seed_of(tenant)), "tenantId": tenant, "tenantType": "ORGANISATION",
             "tenantName": key.rpartition("_")[2].title()}
            for tenant, key in self._opened(call).items()
        ]  # fmt: skip
        return Reply(msgspec.json.encode(listed))

    def _organisation(self, call: Call[TableAccount]) -> Reply:
        self._account(call)
        tenant = call.request.headers.get("xero-tenant-id") or next(iter(self._opened(call)))
        name = self._opened(call)[tenant].rpartition("_")[2].title()
        found = {
            "OrganisationID": tenant, "Name": name, "IsDemoCompany": True, "BaseCurrency": "NZD", "CountryCode": "NZ",
        }  # fmt: skip
        return Reply(msgspec.json.encode(self._envelope(Organisations=[found])))

    def _list(self, table: Table, call: Call[TableAccount]) -> Reply:
        """All of it without a page, and then documents without their lines."""
        rows, asked = self._account(call).rows[table.name], dict(call.request.query_params)
        try:
            chosen = chosen_by(rows, asked, call.request.headers.get("if-modified-since"))
        except BadParameterError as error:
            code = "HighVolumeException" if error.parameter == "where" else None
            raise self.error(HTTPStatus.BAD_REQUEST, str(error), code=code) from None
        field, _, direction = asked.get("order", "UpdatedDateUTC").partition(" ")
        if field not in (table.id, "UpdatedDateUTC"):
            raise self.error(HTTPStatus.BAD_REQUEST, f"No property or field '{field[:40]}' exists")
        chosen.sort(
            key=lambda row: (row.updated if field != table.id else 0, row.id), reverse=direction == "DESC"
        )
        records = [self._shown(rows, row, asked) for row in chosen]
        if "page" not in asked:
            hidden = {"LineItems": [], "MergedToContactID": ""}
            bare = [{name: hidden.get(name, value) for name, value in one.items()} for one in records]
            return Reply(msgspec.json.encode(self.page(table, bare, None)))
        size = min(int(asked.get("pageSize", _DEFAULT_PAGE)), _MOST_PAGE, self._page)
        number = int(asked["page"])
        pagination = {
            "page": number, "pageSize": size, "pageCount": -(-len(records) // size), "itemCount": len(records),
        }  # fmt: skip
        found = self.page(table, records[(number - 1) * size : number * size], None)
        return Reply(msgspec.json.encode({**found, "pagination": pagination}))

    @staticmethod
    def _shown(rows: Rows, row: Row, asked: Mapping[str, str]) -> Record:
        """A record, its unit prices of two digits unless four are asked for."""
        record = without(rows.shown(row), None)
        if "LineItems" in record and asked.get("unitdp") != "4":
            record["LineItems"] = [
                {**line, "UnitAmount": round(line["UnitAmount"], 2)} for line in record["LineItems"]
            ]
        return record

    def _get(self, table: Table, call: Call[TableAccount]) -> Reply:
        rows = self._account(call).rows[table.name]
        row = rows.find(call.request.path_params["id"])
        if row is None:
            raise self.error(HTTPStatus.NOT_FOUND, "The resource you're looking for cannot be found")
        found = {table.name: [self._shown(rows, row, call.request.query_params)]}
        return Reply(msgspec.json.encode(self._envelope(**found)))

    def _save(self, call: Call[TableAccount]) -> Reply:
        """Create or update contacts; a key replays the first answer."""
        account, key = self._account(call), call.request.headers.get("idempotency-key", "")
        if len(key) > _LONGEST_KEY:
            raise self.error(HTTPStatus.BAD_REQUEST, "Idempotency key is too long")
        place = (call.request.headers.get("xero-tenant-id", ""), key)
        if key and place in self._answered:
            return Reply(self._answered[place])
        elements = msgspec.json.decode(call.body)["Contacts"]
        if call.request.query_params.get("summarizeErrors", "true").lower() != "false":
            self._all_or_none(account, elements)
        outcomes = [refused(account, one) or saved(account, one) for one in elements]
        content = msgspec.json.encode(self._envelope(Contacts=outcomes))
        if key:
            self._answered[place] = content
        return Reply(content)

    @staticmethod
    def _all_or_none(account: TableAccount, elements: Sequence[Record]) -> None:
        if wrong := [outcome for one in elements if (outcome := refused(account, one))]:
            raise ApiError(
                HTTPStatus.BAD_REQUEST,
                {"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception occurred",
                 "Elements": wrong},
            )  # fmt: skip
