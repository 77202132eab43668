"""Single records and collections of up to two hundred: created, changed, deleted, upserted, read by id.

Source: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_composite_sobjects_collections.htm.
An answer of 200 holds failures. Not here: queries (`api`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.provider import ApiError, Call, Reply
from unified.sandbox.salesforce.org import Seen, org_of

if TYPE_CHECKING:
    from starlette.routing import Route

    from unified.sandbox.tables.account import TableAccount
    from unified.sandbox.tables.api import TableSandbox
    from unified.sandbox.tables.table import Record

_ROOT = "/services/data/{version}"
_MOST = 200
_MOST_READ = 2000
_NEEDED = {"Account": "Name", "Contact": "LastName"}


class _RefusedError(Exception):
    """One record is refused."""

    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(message)
        self.code = code
        self.shown = {"statusCode": code, "message": message, "fields": list(fields)}


class Collections:
    """The endpoints that write, on behalf of one stand-in."""

    def __init__(self, sandbox: TableSandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[Route]:
        """All of them."""
        endpoint = self._sandbox.endpoint
        return [
            endpoint(f"{_ROOT}/composite/sobjects", self._create, "POST"),
            endpoint(f"{_ROOT}/composite/sobjects", self._update, "PATCH"),
            endpoint(f"{_ROOT}/composite/sobjects", self._delete, "DELETE"),
            endpoint(f"{_ROOT}/composite/sobjects/{{table}}", self._retrieve, "POST"),
            endpoint(f"{_ROOT}/composite/sobjects/{{table}}/{{field}}", self._upsert, "PATCH"),
            endpoint(f"{_ROOT}/sobjects/{{table}}", self._create_one, "POST"),
            endpoint(f"{_ROOT}/sobjects/{{table}}/", self._create_one, "POST"),
            endpoint(f"{_ROOT}/sobjects/{{table}}/{{id}}", self._get, "GET"),
            endpoint(f"{_ROOT}/sobjects/{{table}}/{{id}}", self._change_one, "PATCH", "DELETE"),
        ]

    # Collections -----------------------------------------------------------------------------------------

    def _create(self, call: Call[TableAccount]) -> Reply:
        return self._each(call, lambda table, record: self._made(call, table, record))

    def _update(self, call: Call[TableAccount]) -> Reply:
        return self._each(
            call, lambda table, record: self._changed(call, table, record.pop("id", ""), record)
        )

    def _upsert(self, call: Call[TableAccount]) -> Reply:
        field = call.request.path_params["field"]

        def one(table: str, record: Record) -> Record:
            key = record.get(field)
            there = [row for row in org_of(call).rows[table].live() if row.fields.get(field) == key]
            if len(there) > 1:
                raise _RefusedError("DUPLICATE_EXTERNAL_ID", f"{field} is not unique", field)
            if there:
                return {**self._changed(call, table, there[0].id, record), "created": False}
            return {**self._made(call, table, record), "created": True}

        return self._each(call, one)

    def _delete(self, call: Call[TableAccount]) -> Reply:
        results = []
        for record_id in call.request.query_params.get("ids", "").split(","):
            table = {"001": "Account", "003": "Contact"}.get(record_id[:3], "Account")
            results.append(
                _tried(lambda table=table, record_id=record_id: self._gone(call, table, record_id))
            )
        return Reply(msgspec.json.encode(results))

    def _each(self, call: Call[TableAccount], one: Any) -> Reply:
        body = msgspec.json.decode(call.body, type=dict[str, Any])
        records = body.get("records", [])
        if not 1 <= len(records) <= _MOST or body.get("allOrNone"):
            raise self._sandbox.error(400, f"1 to {_MOST} records", code="INVALID_BATCH_SIZE")
        results = [
            _tried(lambda record=record: one(record.pop("attributes", {}).get("type", ""), record))
            for record in map(dict, records)
        ]
        return Reply(msgspec.json.encode(results))

    def _retrieve(self, call: Call[TableAccount]) -> Reply:
        """Records by id, null for one that is gone or unseen."""
        table, body = call.request.path_params["table"], msgspec.json.decode(call.body, type=dict[str, Any])
        known, rows = org_of(call).fields(table), org_of(call).rows[table]
        if len(body["ids"]) > _MOST_READ:
            raise self._sandbox.error(400, "too many ids", code="EXCEEDED_ID_LIMIT")
        if unknown := [name for name in body["fields"] if name not in known]:
            message = f"No such column '{unknown[0]}' on entity '{table}'."
            raise self._sandbox.error(400, message, code="INVALID_FIELD")
        found: list[Record | None] = []
        for record_id in body["ids"]:
            row = rows.find(record_id)
            if row is None or row.is_deleted:
                found.append(None)
                continue
            record = Seen(org_of(call), row)
            shown = {name: record.get(name) for name in ("Id", *body["fields"])}
            found.append({"attributes": {"type": table}, **shown})
        return Reply(msgspec.json.encode(found))

    # Single records --------------------------------------------------------------------------------------

    def _get(self, call: Call[TableAccount]) -> Reply:
        table, rows = call.request.path_params["table"], org_of(call).rows
        row = rows[table].find(call.request.path_params["id"]) if table in rows else None
        if row is None or row.is_deleted:
            raise self._sandbox.error(404, "The requested resource does not exist")
        record = Seen(org_of(call), row)
        shown = {name: record.get(name) for name in org_of(call).fields(table)}
        return Reply(msgspec.json.encode({"attributes": {"type": table}, **shown}))

    def _create_one(self, call: Call[TableAccount]) -> Reply:
        body = msgspec.json.decode(call.body, type=dict[str, Any])
        try:
            made = self._made(call, call.request.path_params["table"], body)
        except _RefusedError as error:
            raise self._refusal(error) from None
        return Reply(msgspec.json.encode(made), 201)

    def _change_one(self, call: Call[TableAccount]) -> Reply:
        table, record_id = call.request.path_params["table"], call.request.path_params["id"]
        try:
            if call.request.method == "DELETE":
                self._gone(call, table, record_id)
            else:
                self._changed(call, table, record_id, msgspec.json.decode(call.body, type=dict[str, Any]))
        except _RefusedError as error:
            raise self._refusal(error) from None
        return Reply(b"", 204)

    def _refusal(self, error: _RefusedError) -> ApiError:
        status = 404 if error.code == "ENTITY_IS_DELETED" else 400
        return self._sandbox.error(status, str(error), code=error.code)

    # One change ------------------------------------------------------------------------------------------

    def _made(self, call: Call[TableAccount], table: str, record: Record) -> Record:
        self._check(call, table, record)
        needed = _NEEDED[table]
        if not record.get(needed) and not (table == "Account" and record.get("LastName")):
            raise _RefusedError("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{needed}]", needed)
        if call.request.headers.get("sforce-duplicate-rule-header") != "allowSave=true":
            self._check_duplicates(call, table, record)
        fields = dict.fromkeys(name for name, one in org_of(call).fields(table).items() if one.writable)
        fields |= {"IsPersonAccount": False, "MasterRecordId": None, "PersonContactId": None, **record}
        if table == "Contact":
            fields.pop("PersonContactId")
        made = org_of(call).create(table, **fields)
        return {"id": made["Id"], "success": True, "errors": []}

    def _changed(self, call: Call[TableAccount], table: str, record_id: str, record: Record) -> Record:
        self._check(call, table, record)
        self._live(call, table, record_id)
        org_of(call).update(table, record_id, **record)
        return {"id": record_id, "success": True, "errors": []}

    def _gone(self, call: Call[TableAccount], table: str, record_id: str) -> Record:
        self._live(call, table, record_id)
        org_of(call).delete(table, record_id)
        return {"id": record_id, "success": True, "errors": []}

    def _live(self, call: Call[TableAccount], table: str, record_id: str) -> None:
        row = org_of(call).rows[table].find(record_id)
        if row is None:
            raise _RefusedError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if row.is_deleted:
            raise _RefusedError("ENTITY_IS_DELETED", "entity is deleted")
        locked = org_of(call).locked
        if record_id in locked:
            locked.discard(record_id)
            raise _RefusedError("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")

    def _check(self, call: Call[TableAccount], table: str, record: Record) -> None:
        if table not in _NEEDED:
            raise _RefusedError("INVALID_TYPE", f"{table} can't be written")
        known = org_of(call).fields(table)
        for name in record:
            if name not in known or known[name].kind == "address":
                raise _RefusedError(
                    "INVALID_FIELD", f"No such column '{name}' on sobject of type {table}", name
                )
            if not known[name].writable:
                raise _RefusedError("INVALID_FIELD_FOR_INSERT_UPDATE", f"Unable to write {name}", name)
        if (owner := record.get("AccountId")) and org_of(call).rows["Account"].find(owner) is None:
            raise _RefusedError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", "AccountId")

    def _check_duplicates(self, call: Call[TableAccount], table: str, record: Record) -> None:
        """The standard rule for contacts, as far as it is strict: an e-mail address that another one has."""
        email = record.get("Email")
        if table != "Contact" or not email or not org_of(call).blocks_duplicates:
            return
        if any(row.fields.get("Email") == email for row in org_of(call).rows[table].live()):
            raise _RefusedError("DUPLICATES_DETECTED", "Use one of these records?")


def _tried(change: Any) -> Record:
    try:
        return change()  # type: ignore[no-any-return]
    except _RefusedError as error:
        return {"success": False, "errors": [error.shown]}
