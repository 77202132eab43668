"""A view for reading of each stream that lands in ``unified_records``: ``stripe_subscriptions``.

``unified migrate`` keeps the views equal to what the installed connectors declare. The other entities need none: their
tables have columns of their own. A view reads with the rights of its reader (``security_invoker``), so row level
security holds through it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection, errors, sql

from unified.schema.entities import RECORDS
from unified.store.errors import StoreError
from unified.store.server.roles import APP_ROLE, READER_ROLE

DATA_SCHEMA = "data"
"""The schema of the views that are made for people (:mod:`unified.store.records.views.data`)."""

_LONGEST_NAME = 63

# Columns that a later release adds come last in the table, and a view may grow at its end.
_MAKE = """
    CREATE OR REPLACE VIEW {view} WITH (security_invoker = true) AS
    SELECT * FROM {table} WHERE source_system = {connector} AND stream = {stream}
"""


class ViewError(StoreError):
    """The view of a stream can't be made or dropped."""


def view_name(connector: str, stream: str) -> str:
    """Name of the view of a stream: ``stripe_subscriptions``.

    Raises:
        ViewError: If it is longer than PostgreSQL's 63 bytes.
    """
    name = f"{connector}_{stream}"
    if len(name.encode()) > _LONGEST_NAME:
        msg = f"the view of {connector}/{stream} would have a name longer than {_LONGEST_NAME} bytes; shorten one"
        raise ViewError(msg)
    return name


def follow(conn: Connection[Any], streams: Mapping[str, Sequence[str]]) -> None:
    """Make the views of these streams, and drop those of streams that are no longer declared.

    Args:
        conn: The owner's, in a transaction. The catalogue (``connectors``) still has the streams that there were.
        streams: By connector, the streams that land in ``unified_records``.

    Raises:
        ViewError: If a name is taken or too long, or something that is not ours depends on a view.
    """
    known = conn.execute("SELECT name, unnest(record_streams) FROM connectors").fetchall()
    former = {view_name(connector, stream) for connector, stream in known}
    wanted = [(connector, stream) for connector, names in streams.items() for stream in names]
    names = [view_name(connector, stream) for connector, stream in wanted]
    for view in sorted(former.difference(names)):
        _drop(conn, view)
    made: set[str] = set()
    for view, (connector, stream) in zip(names, wanted, strict=True):
        found = conn.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", (view,)).fetchone()
        if view in made or (view not in former and found == (True,)):
            msg = f"the stream {connector}/{stream} needs the view {view}, but a table or view has that name; rename it"
            raise ViewError(msg)
        made.add(view)
        parts = {
            "view": sql.Identifier(view),
            "table": sql.Identifier(RECORDS.table),
            "connector": sql.Literal(connector),
            "stream": sql.Literal(stream),
        }
        conn.execute(sql.SQL(_MAKE).format(**parts))
        conn.execute(
            sql.SQL("GRANT SELECT ON {} TO {}, {}").format(
                sql.Identifier(view), sql.Identifier(APP_ROLE), sql.Identifier(READER_ROLE)
            )
        )


def _drop(conn: Connection[Any], view: str) -> None:
    try:
        conn.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(view)))
    except errors.DependentObjectsStillExist as error:
        msg = (
            f"the view {view} is of a stream that is no longer installed, but it can't be dropped: "
            f"{error.diag.message_detail}; drop that first"
        )
        raise ViewError(msg) from None
