"""Reads rows of connections of all workspaces by one statement, however many there are.

A transaction for each workspace takes seconds with a thousand of them. The app's role sees one workspace at a time here
as anywhere; the server goes from one to the next by itself, in a function that lasts as long as the transaction.
"""

from collections.abc import Sequence
from typing import Any, LiteralString, TypeVar

from psycopg import sql
from psycopg.rows import class_row

from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database

_Row = TypeVar("_Row")

# Plans are made once: making them would take longer than reading the rows of a connection.
_MAKE = sql.SQL(
    """
    CREATE FUNCTION pg_temp.across(workspaces uuid[], connections uuid[], connectors text[])
    RETURNS TABLE ({columns}) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS {body}
    """
)
_BODY = """
    #variable_conflict use_column
    DECLARE
        own uuid;
        one uuid;
        source text;
    BEGIN
        FOR own, one, source IN SELECT * FROM unnest(workspaces, connections, connectors) LOOP
            PERFORM set_config('app.workspace_id', own::text, true);
            RETURN QUERY {query};
        END LOOP;
        PERFORM set_config('app.workspace_id', '', true);
    END
"""


async def read_across(
    db: Database,
    connections: Sequence[ConnectionSummary],
    model: type[_Row],
    columns: LiteralString,
    query: str,
    **values: Any,
) -> list[_Row]:
    """Rows of a query that is run for each connection, inside its workspace.

    Args:
        db: The database.
        connections: Of whichever workspaces; rows come in their order.
        model: A dataclass, whose fields have the columns' names.
        columns: What the query returns, with types: ``field text, version integer``.
        query: With ``own`` for the id of the workspace, ``one`` for the connection's and ``source`` for its
            connector's name.
        values: For the query, which names them in braces.
    """
    text = sql.SQL(query).format(**values)
    async with db.no_workspace() as conn, conn.cursor(row_factory=class_row(model)) as cursor:
        body = _BODY.format(query=text.as_string(conn))
        await cursor.execute(_MAKE.format(columns=sql.SQL(columns), body=body))
        await cursor.execute(
            "SELECT * FROM pg_temp.across(%s, %s, %s)",
            (
                [one.workspace_id for one in connections],
                [one.id for one in connections],
                [one.connector for one in connections],
            ),
            prepare=False,  # the next function of this name returns something else
        )
        found = await cursor.fetchall()
        await cursor.execute("DROP FUNCTION pg_temp.across", prepare=False)
        return found
