"""The schema ``data``: a view of each entity, of identities and of derived tables, for people and their tools.

``unified migrate`` keeps the views equal to the models, each column with its description. A view leaves out tombstones,
and one named ``…_all`` has them. Views read with the rights of their reader (``security_invoker``), so the policies of
the tables hold through them. Which logins read: :mod:`unified.store.readers`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from psycopg import Connection, errors, sql

from unified.schema import UnifiedBase, UnifiedCustomer
from unified.schema.entities import CUSTOMERS, ENTITIES, RECORDS
from unified.schema.invoice import UnifiedLineItem
from unified.store.errors import StoreError
from unified.store.records.views.streams import DATA_SCHEMA, view_name
from unified.store.server.roles import READER_ROLE

DERIVED = "derived_"
"""What the names of derived tables begin with, and of their views."""

ALL = "_all"
"""What the name of a view with tombstones ends in."""

_KEYS = {
    "workspace_id": "Workspace that it belongs to; a reader sees one.",
    "connection_id": "Connection that brought it: connections.connection_id.",
    "source_system": "Connector that the record came from, e.g. stripe.",
    "stream": "What the connector calls this kind of record; source ids are unique within a stream.",
    "source_id": "The record's id in its source system.",
    "unified_id": "UUIDv5 of workspace, connection, stream and source id: the same on every sync.",
}
_LOOKUPS = {
    "email_key": "The e-mail address in lower case; compared with =, it is found by an index.",
    "phone_key": "The last eight digits of the phone number.",
    "company_key": "Domain of the e-mail address and name, in lower case.",
}
_SINCE = {
    "state_since": "When the record came into this state, where neither updated_at nor synced_at says so.",
}
_VALID = {
    "valid_from": "When the record came into this state: as its source says, else when it was first read so.",
    "valid_to": "When the next state began, or the record was deleted.",
}
_NO_RAW = "Null where the workspace has raw records compressed: `unified raw show` prints one."
_LINE_KEYS = {
    **{name: _KEYS[name] for name in ("workspace_id", "connection_id", "source_system", "stream")},
    "invoice_id": "Source id of its invoice.",
    "customer_id": "Source id of the invoice's customer; some have none.",
    "currency": "ISO 4217 code of the currency of its amounts.",
    "line_number": "Its place in the invoice, from 1.",
    "line_id": "The line's id in its source.",
}
_GOLDEN = {
    "workspace_id": _KEYS["workspace_id"],
    "identity_id": "The identity: identities.identity_id.",
    "records": "How many customers of the sources are this one.",
    "sources": "Connectors that these are from.",
}
_GOLDEN_TIMES = {
    "provenance": "For each field: its source, its record, and why this value was taken.",
    "created_at": "When the identity was first seen.",
    "updated_at": "When one of its values last changed.",
}


class DataViewError(StoreError):
    """A view of the schema ``data`` can't be made or dropped."""


@dataclass(frozen=True, slots=True)
class DataView:
    """A view, as it is made.

    Attributes:
        name: In the schema ``data``.
        about: One sentence: what a row is.
        table: What it reads, in the schema ``public``.
        columns: Its columns in their order, each with its description.
        renamed: Columns that the table calls otherwise.
        condition: SQL: which rows of the table; all of them, where it is empty.
    """

    name: str
    about: str
    table: str
    columns: Mapping[str, str]
    renamed: Mapping[str, str]
    condition: str = ""

    def make(self) -> sql.Composed:
        """The statements that make it, or bring it up to date where it only has more columns now."""
        view = sql.Identifier(DATA_SCHEMA, self.name)
        chosen = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.Identifier(self.renamed.get(name, name)), sql.Identifier(name))
            for name in self.columns
        )
        return sql.SQL(
            "CREATE OR REPLACE VIEW {view} WITH (security_invoker = true) AS"
            " SELECT {chosen} FROM {table} {condition};"
            " GRANT SELECT ON {view} TO {reader}; COMMENT ON VIEW {view} IS {about}; {comments}"
        ).format(
            view=view,
            chosen=chosen,
            table=sql.Identifier("public", self.table),
            condition=sql.SQL(f"WHERE {self.condition}" if self.condition else ""),
            reader=sql.Identifier(READER_ROLE),
            about=sql.Literal(self.about),
            comments=sql.SQL(" ").join(
                sql.SQL("COMMENT ON COLUMN {}.{} IS {};").format(
                    view, sql.Identifier(name), sql.Literal(text)
                )
                for name, text in self.columns.items()
                if text
            ),
        )


def described(model: type[Any]) -> dict[str, str]:
    """The fields of a model, each with its description."""
    return {name: info.description or "" for name, info in model.model_fields.items()}


def of_models() -> tuple[DataView, ...]:
    """The views that every installation has, whatever its connectors are."""
    views: list[DataView] = []
    for entity in ENTITIES:
        about = (entity.model.__doc__ or "").partition(".")[0].partition(":")[0]
        columns = _of_entity(entity.model, _LOOKUPS if entity is CUSTOMERS else {})
        if entity.history:
            columns |= _SINCE
        views += _with_tombstones(entity.name, about, entity.table, columns)
        if entity.history:
            former = {**_of_entity(entity.model), **_VALID}
            views.append(
                DataView(
                    entity.history, f"{about}, as it was before: former states.", entity.history, former, {}
                )
            )
    lines = {name: text for name, text in described(UnifiedLineItem).items() if name != "source_id"}
    lines |= {"deleted_at": described(UnifiedBase)["deleted_at"]}
    views += _with_tombstones(
        "invoice_lines", "A line of an invoice", "unified_invoice_lines", _LINE_KEYS | lines
    )
    return (*views, *_of_identities(), _connections())


def of_streams(streams: Mapping[str, Sequence[str]]) -> Iterator[DataView]:
    """A view of each stream that lands in ``unified_records``.

    Args:
        streams: By connector.
    """
    for connector, names in streams.items():
        for stream in names:
            condition = sql.SQL("source_system = {} AND stream = {}").format(
                sql.Literal(connector), sql.Literal(stream)
            )
            yield from _with_tombstones(
                view_name(connector, stream),
                f"A record of {connector}'s stream {stream}",
                RECORDS.table,
                _of_entity(RECORDS.model) | _SINCE,
                condition.as_string(),
            )


def of_derived(table: str, columns: Iterable[str]) -> DataView:
    """The view of a derived table.

    Args:
        table: Its name, which is the view's as well.
        columns: Its columns, in their order.
    """
    keys = {name: _KEYS[name] for name in ("workspace_id", "connection_id")}
    return DataView(
        table,
        f"What the asset of the table {table} derived.",
        table,
        {name: keys.get(name, "") for name in columns},
        {},
    )


def follow(conn: Connection[Any], streams: Mapping[str, Sequence[str]]) -> None:
    """Make the views that there have to be, and drop all others of the schema.

    Args:
        conn: The owner's, in a transaction.
        streams: By connector, the streams that land in ``unified_records``.

    Raises:
        DataViewError: If something that is not ours depends on a view that has to be dropped or made anew.
        ViewError: If the name of a stream's view is too long.
    """
    derived = conn.execute(
        """
        SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND starts_with(c.relname, %s)
        GROUP BY 1
        """,
        (DERIVED,),
    ).fetchall()
    wanted = chain(of_models(), of_streams(streams), (of_derived(*row) for row in derived))
    views = {view.name: view for view in wanted}
    present = dict(
        conn.execute(
            """
            SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class AS c
            JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'v' GROUP BY 1
            """,
            (DATA_SCHEMA,),
        ).fetchall()
    )
    for name, columns in present.items():
        # PostgreSQL lets a view only grow at its end.
        if name not in views or [*views[name].columns][: len(columns)] != columns:
            _drop(conn, name)
    for view in views.values():
        conn.execute(view.make())


def drop(name: str) -> sql.Composed:
    """The statement that drops a view where there is one."""
    return sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(DATA_SCHEMA, name))


def _of_entity(model: type[UnifiedBase], lookups: Mapping[str, str] | None = None) -> dict[str, str]:
    """The columns of an entity's view: which record it is, what it says, and what every record has."""
    every, base = described(model), described(UnifiedBase)
    raw = {"raw_data": f"{every['raw_data']} {_NO_RAW}"}
    own = {name: text for name, text in every.items() if name not in base}
    common = {name: every[name] for name in base if name not in {*_KEYS, *raw}}
    return {**_KEYS, **own, **(lookups or {}), **common, **raw}


def _with_tombstones(
    name: str, about: str, table: str, columns: Mapping[str, str], condition: str = ""
) -> tuple[DataView, DataView]:
    """The view of the live rows, and the one of all rows."""
    live = " AND ".join(filter(None, (condition, "deleted_at IS NULL")))
    return (
        DataView(name, f"{about}. Without deleted ones: {name}{ALL} has them.", table, columns, {}, live),
        DataView(f"{name}{ALL}", f"{about}, deleted ones included.", table, columns, {}, condition),
    )


def _of_identities() -> tuple[DataView, ...]:
    customer = described(UnifiedCustomer)
    golden = (
        "email name phone company kind billing_address shipping_address emails phones tax_number currency"
    )
    return (
        DataView(
            "identities",
            "A customer of a source, and the identity that it belongs to.",
            "customer_identities",
            {
                "workspace_id": _KEYS["workspace_id"],
                "identity_id": "The person or company that the record is of: golden_customers.identity_id.",
                "unified_id": "The record: customers.unified_id.",
                "connection_id": _KEYS["connection_id"],
                "source_system": _KEYS["source_system"],
                "source_id": _KEYS["source_id"],
                "rule": "Why it is one with the record linked_to; null for the first of each identity.",
                "confidence": "How sure that is, above 0 and up to 1.",
                "linked_to": "The record that it was linked to: customers.unified_id.",
                "refused_group": "Set where more records hang together than can be one customer; not linked.",
                "updated_at": "When this last changed.",
            },
            {},
        ),
        DataView(
            "golden_customers",
            "A person or company: the best values of all its records.",
            "golden_customers",
            {**_GOLDEN, **{name: customer[name] for name in golden.split()}, **_GOLDEN_TIMES},
            {},
        ),
        DataView(
            "identity_aliases",
            "A former id of an identity that was merged into another.",
            "identity_aliases",
            {
                "workspace_id": _KEYS["workspace_id"],
                "alias_id": "The former id.",
                "identity_id": "The identity that it is now: golden_customers.identity_id.",
                "since": "When they were merged.",
            },
            {},
        ),
    )


def _connections() -> DataView:
    return DataView(
        "connections",
        "A connection, and how its syncs stand.",
        "connector_configs",
        {
            "workspace_id": _KEYS["workspace_id"],
            "connection_id": "Its id, which every record has.",
            "connector": "Which kind of system: the source_system of its records.",
            "name": "Its name in the workspace.",
            "is_active": "Whether it is synced by schedule.",
            "sync_interval_minutes": "How often.",
            "sync_status": "idle before the first sync; then syncing, error or success.",
            "last_sync_at": "When the last successful sync ended.",
            "error_message": "Why the last sync failed; null unless the status is error.",
            "created_at": "When it was added.",
        },
        {"connection_id": "id"},
    )


def _drop(conn: Connection[Any], name: str) -> None:
    try:
        conn.execute(drop(name))
    except errors.DependentObjectsStillExist as error:
        msg = (
            f"the view {DATA_SCHEMA}.{name} has to be made anew or dropped, and can't be: {error.diag.message_detail}; "
            "drop that first, and make it again afterwards"
        )
        raise DataViewError(msg) from None
