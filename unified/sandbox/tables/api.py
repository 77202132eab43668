"""Declared tables over HTTP: lists, single records, and writes, with the provider's own envelopes and refusals.

Not here: counting, faults and latency (`unified.sandbox.provider`), and any system's words.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from unified.sandbox.limits import RollingWindow
from unified.sandbox.provider import ApiError, Call, Provider, Reply
from unified.sandbox.tables.account import Feed, TableAccount
from unified.sandbox.tables.listing import BadParameterError, Entry, Paging, bracketed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.routing import Route

    from unified.sandbox.tables.table import Record, Rows, Table


@dataclass(frozen=True)
class RequestLimit:
    """Requests allowed to a key in any so many seconds."""

    requests: int
    seconds: float


class TableSandbox(Provider[TableAccount]):
    """Base of the stand-ins that are declared.

    A list is `GET {base}/{table}`, a record `GET {base}/{table}/{id}`. Where a table says so, records are created
    (`POST {base}/{table}`), updated (`POST {base}/{table}/{id}`) and deleted (`POST {base}/{table}/{id}/delete`);
    a system that has other paths overrides `routes`.

    Args:
        seed: same seed, same data.
        now: Unix seconds at which the clock stands still; None follows real time.
        keys: the keys that are known; None takes the system's own.
        limit: requests allowed; None switches the limit off.
        counts: generated records by table, where not as many as declared.
    """

    tables: ClassVar[tuple[Table, ...]]
    feed: ClassVar[Feed | None] = None
    paging: ClassVar[Paging]
    base: ClassVar[str] = ""
    default_keys: ClassVar[tuple[str, ...]]
    limits_type = RequestLimit
    account_type: ClassVar[type[TableAccount]] = TableAccount
    mutations: ClassVar[frozenset[str]] = frozenset({"create", "update", "delete"})

    def __init__(
        self,
        *,
        seed: int = 1,
        now: float | None = None,
        keys: Sequence[str] | None = None,
        limit: RequestLimit | None = None,
        **counts: int,
    ) -> None:
        super().__init__(keys or self.default_keys, now=now)
        if unknown := counts.keys() - {table.name for table in self.tables}:
            raise TypeError(f"the sandbox of {self.name} has no table {', '.join(sorted(unknown))}")
        self._seed = seed
        self._counts = {table: counts.get(table.name, table.count) for table in self.tables}
        self.set_limits(limit)

    # A system's own words --------------------------------------------------------------------------------

    @abstractmethod
    def error(self, status: int, message: str, *, code: str | None = None, parameter: str = "") -> ApiError:
        """The provider's error envelope; without a code the usual one of the status."""

    def named(self, key: str) -> Record:
        """What each delivered event says of the account of a key, beside what the feed shows."""
        del key
        return {}

    def one(self, table: Table, record: Record, parameters: Mapping[str, str]) -> Any:
        """What a single record is answered as to a request with these parameters."""
        del parameters
        return {table.noun: record}

    @abstractmethod
    def page(self, table: Table, records: Sequence[Record], after: str | None) -> Any:
        """What a page is answered as; `after` asks for the next one."""

    def order(self, table: Table, parameters: dict[str, str]) -> tuple[str, bool]:
        """The field to order by, and whether downwards; takes the parameters that say so out."""
        del parameters
        return table.created or table.id, False

    def conditions(self, table: Table, parameters: Mapping[str, str]) -> Callable[[Record], bool]:
        """A test for what is asked for by the parameters that are neither order nor paging."""
        shown = (table.created, table.updated)
        return bracketed(parameters, {table.id: str, **{name: int for name in shown if name is not None}})

    def written(self, table: Table, body: bytes) -> Record:
        """The fields in the body of a write."""
        del table
        return msgspec.json.decode(body, type=dict[str, Any])

    def limit_headers(self, window: RollingWindow) -> dict[str, str]:
        """Headers that show how much of the limit is left."""
        del window
        return {}

    # What the pipeline asks ------------------------------------------------------------------------------

    def open_account(self, key: str) -> TableAccount:
        """The account of a key."""
        named = self.named(key)
        return self.account_type(
            key,
            seed=self._seed,
            tables=self._counts,
            feed=self.feed,
            clock=self.clock,
            until=self.until,
            announce=lambda events: self.webhooks.announce(key, [{**named, **one} for one in events]),
        )

    def routes(self) -> list[Route]:
        """Lists, records and writes of every table."""
        routes = []
        for table in self.tables:
            path, one = f"{self.base}/{table.name}", f"{self.base}/{table.name}/{{id}}"
            routes += [
                self.endpoint(path, partial(self._list, table)),
                self.endpoint(one, partial(self._get, table)),
            ]
            for change, target in (("create", path), ("update", one), ("delete", f"{one}/delete")):
                if change in table.writable:
                    routes.append(self.endpoint(target, partial(self._write, table, change), "POST"))
        return routes

    def admit(self, key: str, endpoint: str) -> dict[str, str]:  # noqa: ARG002 - one limit for all of them
        """One request out of the key's window."""
        if self.limit is None:
            return {}
        made = RollingWindow(self.limit.requests, self.limit.seconds)
        window = self._windows.setdefault(key, made)
        if not window.take():
            raise self.status_error(HTTPStatus.TOO_MANY_REQUESTS, None)
        return self.limit_headers(window)

    def set_limits(self, limits: RequestLimit | None) -> None:
        """Replace the limit, with empty windows."""
        self.limit = limits
        self._windows: dict[str, RollingWindow] = {}

    def unknown_key_error(self, _key: str | None) -> ApiError:
        """401, whatever the key is."""
        return self.error(HTTPStatus.UNAUTHORIZED, "The key is not valid.")

    def revoked_error(self, key: str | None) -> ApiError:
        """As of a key that is not known."""
        return self.unknown_key_error(key)

    def status_error(self, status: int, code: str | None) -> ApiError:
        """The envelope around the status's own name."""
        return self.error(status, HTTPStatus(status).phrase, code=code)

    def unknown_path_error(self, method: str, path: str) -> ApiError:
        """404."""
        return self.error(HTTPStatus.NOT_FOUND, f"There is nothing at {method} {path}")

    def common_headers(self, _request: Any) -> dict[str, str]:
        """None."""
        return {}

    # Endpoints -------------------------------------------------------------------------------------------

    def _list(self, table: Table, call: Call[TableAccount]) -> Reply:
        rows, parameters = call.account.rows[table.name], dict(call.request.query_params)
        try:
            field, descending = self.order(table, parameters)
            entries = self._selected(rows, field, parameters)
            entries.sort(key=lambda entry: entry[0], reverse=descending)
            records, after = self.paging.cut(entries, dict(call.request.query_params), descending=descending)
        except BadParameterError as error:
            raise self.error(
                HTTPStatus.BAD_REQUEST, str(error), code="param_wrong_value", parameter=error.parameter
            ) from None
        return Reply(msgspec.json.encode(self.page(table, records, after)))

    def _selected(self, rows: Rows, field: str, parameters: dict[str, str]) -> list[Entry]:
        paging = (self.paging.parameter, self.paging.limit)
        asked = {name: value for name, value in parameters.items() if name not in paging}
        with_deleted = asked.pop("include_deleted", "false") == "true"
        is_wanted = self.conditions(rows.table, asked)
        shown = (rows.shown(row) for row in (rows if with_deleted else rows.live()))
        identity = rows.table.id
        return [((record[field], str(record[identity])), record) for record in shown if is_wanted(record)]

    def _get(self, table: Table, call: Call[TableAccount]) -> Reply:
        rows = call.account.rows[table.name]
        row = rows.find(call.request.path_params["id"])
        if row is None or row.is_deleted:
            raise self._missing(call.request.path_params["id"])
        return Reply(msgspec.json.encode(self.one(table, rows.shown(row), call.request.query_params)))

    def _write(self, table: Table, change: str, call: Call[TableAccount]) -> Reply:
        ids = [call.request.path_params["id"]] if change != "create" else []
        fields = self.written(table, call.body) if change != "delete" else {}
        try:
            record = getattr(call.account, change)(table.name, *ids, **fields)
        except KeyError:
            raise self._missing(ids[0]) from None
        except ValueError as error:
            raise self.error(HTTPStatus.BAD_REQUEST, str(error), code="param_wrong_value") from None
        return Reply(msgspec.json.encode(self.one(table, record, {})))

    def _missing(self, record_id: str) -> ApiError:
        return self.error(HTTPStatus.NOT_FOUND, f"{record_id[:80]} not found")
