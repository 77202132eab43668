"""How statements over whole streams are planned."""

from typing import Any

from psycopg import AsyncConnection


async def avoid_nested_loops(conn: AsyncConnection[Any]) -> None:
    """Plan the rest of a transaction without nested loops, unless there is no other way.

    Until a table that was just filled is analysed, the planner takes a connection's thousands of rows for one, and
    compares each with each: 20,000 invoices with 20,000 customers took it two minutes instead of 40 ms.

    Nothing is compiled either: up to PostgreSQL 17 a nested loop that there is no way around counts as the dearest of
    plans, and 70 ms of compiling went before a look at an empty table, in each commit. In 18 it costs what it does.
    """
    await conn.execute("SELECT set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true)")
