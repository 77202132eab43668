"""Tables of derived assets: made as needed, isolated by workspace, gone with their connection."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from psycopg import errors

from unified.store import removal
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records import derived
from unified.store.records.derived import DerivedTableError

TABLE = derived.table_name(["Mine", "all"])


@pytest.fixture
async def connection(database: Database, workspace: UUID, add_connection: Any) -> Connection:
    return await Registry(database).get_connection(workspace, await add_connection(workspace))


async def contents(
    database: Database, connection: Connection
) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    chunks = [chunk async for chunk in derived.read_chunks(database, TABLE, connection)]
    columns = {column.name: column.type for column in chunks[0][0]}
    return columns, sorted((row for _, rows in chunks for row in rows), key=repr)


async def test_a_table_is_made_when_first_needed(database: Database, connection: Connection) -> None:
    assert await contents(database, connection) == ({}, [])
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await derived.replace(database, TABLE, connection, ["n", "money", "at"], [(1, Decimal("0.1"), at)])
    assert await contents(database, connection) == (
        {"n": "bigint", "money": "numeric", "at": "timestamptz"},
        [(1, Decimal("0.1"), at)],
    )


async def test_rows_are_replaced_and_columns_added(database: Database, connection: Connection) -> None:
    await derived.replace(database, TABLE, connection, ["a"], [(1,), (2,)])
    await derived.replace(database, TABLE, connection, ["b"], [("x",)])
    assert await contents(database, connection) == ({"a": "bigint", "b": "text"}, [(None, "x")])


@pytest.mark.parametrize(
    ("first", "then", "column_type", "value"),
    [
        (None, Decimal("1.50"), "numeric", Decimal("1.50")),
        (None, {"a": 1}, "jsonb", {"a": 1}),
        (None, True, "boolean", True),
        (1, 1.5, "double precision", 1.5),
        (1, Decimal("1.5"), "numeric", Decimal("1.5")),
        (1.5, 2, "double precision", 2.0),
        (Decimal(1), None, "numeric", None),
    ],
)
async def test_a_column_takes_on_the_type_that_its_values_need(
    database: Database, connection: Connection, first: Any, then: Any, column_type: str, value: Any
) -> None:
    await derived.replace(database, TABLE, connection, ["a"], [(first,)])
    await derived.replace(database, TABLE, connection, ["a"], [(then,)])
    assert await contents(database, connection) == ({"a": column_type}, [(value,)])


@pytest.mark.parametrize(
    ("values", "column_type", "stored"),
    [
        ([np.int64(7), np.uint8(8), 9], "bigint", [7, 8, 9]),
        ([np.uint64(2**64 - 1), 1], "numeric", [Decimal(1), Decimal(2**64 - 1)]),
        ([10**30], "numeric", [Decimal(10**30)]),
        ([2**63 - 1, -(2**63)], "bigint", [-(2**63), 2**63 - 1]),
        ([np.array([True])[0], None], "boolean", [None, True]),
        ([np.float32(1.5), np.int32(2)], "double precision", [1.5, 2.0]),
        ([np.str_("a")], "text", ["a"]),
        ([{"n": np.int64(1), "all": np.array([1, 2])}], "jsonb", [{"n": 1, "all": [1, 2]}]),
        ([{"money": Decimal("1.10")}], "jsonb", [{"money": "1.10"}]),
        (list(pd.Series([1, 2**63], dtype="uint64").astype(object)), "numeric", [Decimal(1), Decimal(2**63)]),
    ],
)  # fmt: skip
async def test_integers_of_any_width_and_numpys_scalars_are_stored(
    database: Database, connection: Connection, values: list[Any], column_type: str, stored: list[Any]
) -> None:
    await derived.replace(database, TABLE, connection, ["a"], [(value,) for value in values])
    columns, rows = await contents(database, connection)
    assert columns == {"a": column_type}
    assert sorted([row[0] for row in rows], key=repr) == sorted(stored, key=repr)


async def test_a_column_of_integers_is_widened_for_a_larger_one(
    database: Database, connection: Connection
) -> None:
    await derived.replace(database, TABLE, connection, ["a"], [(1,)])
    await derived.replace(database, TABLE, connection, ["a"], [(np.uint64(2**63),)])
    assert await contents(database, connection) == ({"a": "numeric"}, [(Decimal(2**63),)])


@pytest.mark.parametrize(
    "value",
    [
        "nul \0 here",
        {"n": float("nan")},
        np.datetime64("2026-01-01"),
        np.timedelta64(1, "D"),
        np.void(b"x"),
        1j,
        "\ud83d",
    ],
)
async def test_a_value_that_no_column_holds_ends_in_a_reason(
    database: Database, connection: Connection, value: Any
) -> None:
    with pytest.raises(DerivedTableError, match=r"^[^\n]+$"):
        await derived.replace(database, TABLE, connection, ["a"], [(value,)])


@pytest.mark.parametrize(
    "names",
    [[""], ["a" * 64], ["ä" * 32], ["a\0"], ["a", "a"], ["xmin"], ["ctid"], [f"c{n}" for n in range(1_501)]],
    ids=lambda names: f"{names[0][:5]!a}-{len(names)}",
)
async def test_a_name_that_no_column_can_have_ends_in_a_reason(
    database: Database, connection: Connection, names: list[str]
) -> None:
    """Too long ones were cut without a word, and were no longer found by their name."""
    with pytest.raises(DerivedTableError, match=r"^[^\n]+$"):
        await derived.replace(database, TABLE, connection, names, [(1,) * len(names)])


async def test_a_percent_sign_in_a_name_is_nothing_else(database: Database, connection: Connection) -> None:
    names = ["churn %", "%s", 'a "quoted" %(b)s', "a" * 63]
    for _ in range(2):
        await derived.replace(database, TABLE, connection, names, [(1, 2, 3, 4)])
    assert await contents(database, connection) == (dict.fromkeys(names, "bigint"), [(1, 2, 3, 4)])


@pytest.mark.parametrize("missing", [pd.NaT, pd.NA, None])
async def test_what_is_missing_is_null(database: Database, connection: Connection, missing: Any) -> None:
    await derived.replace(
        database, TABLE, connection, ["a"], [(missing,), (datetime(2026, 1, 1, tzinfo=UTC),)]
    )
    columns, rows = await contents(database, connection)
    assert columns == {"a": "timestamptz"}
    assert rows[0] == (None,)


@pytest.mark.parametrize(
    ("first", "then", "complaint"),
    [
        ("x", 1, "holds text in its column a and can't take bigint now"),
        ("12", Decimal(12), "holds text in its column a and can't take numeric now"),
        (Decimal(12), "12", "holds numeric in its column a and can't take text now"),
        (1.5, Decimal("1.5"), "holds double precision in its column a and can't take numeric now"),
        (True, 1, "holds boolean in its column a and can't take bigint now"),
    ],
)
async def test_values_of_another_type_are_refused_and_nothing_changes(
    database: Database, connection: Connection, first: Any, then: Any, complaint: str
) -> None:
    await derived.replace(database, TABLE, connection, ["a"], [(first,)])
    before = await contents(database, connection)
    with pytest.raises(DerivedTableError, match=complaint):
        await derived.replace(database, TABLE, connection, ["a"], [(then,)])
    with pytest.raises(DerivedTableError, match="mixes"):
        await derived.replace(database, TABLE, connection, ["a"], [(first,), (date(2026, 1, 1),)])
    assert await contents(database, connection) == before


async def test_rows_are_isolated_by_workspace(
    database: Database, connection: Connection, add_workspace: Any, add_connection: Any
) -> None:
    other = await add_workspace("globex")
    theirs = await Registry(database).get_connection(other, await add_connection(other))
    await derived.replace(database, TABLE, connection, ["a"], [(1,)])
    await derived.replace(database, TABLE, theirs, ["a"], [(2,)])
    for workspace_id, expected in ((connection.workspace_id, [(1,)]), (other, [(2,)])):
        async with database.workspace(workspace_id) as conn:
            assert await (await conn.execute('SELECT a FROM "derived_Mine__all"')).fetchall() == expected
    async with database.owner() as conn:
        assert await (await conn.execute('SELECT a FROM "derived_Mine__all"')).fetchall() == []
    with pytest.raises(errors.InsufficientPrivilege):
        async with database.workspace(other) as conn:
            await conn.execute('UPDATE "derived_Mine__all" SET workspace_id = %s', (connection.workspace_id,))


async def test_rows_go_with_their_connection(
    database: Database, connection: Connection, database_url: str
) -> None:
    await derived.replace(database, TABLE, connection, ["a"], [(1,)])
    await removal.remove_connection(database, connection.workspace_id, connection.id)
    async with database.workspace(connection.workspace_id) as conn:
        assert await (await conn.execute('SELECT a FROM "derived_Mine__all"')).fetchall() == []


def test_a_long_asset_key_is_refused() -> None:
    assert derived.table_name(["stripe", "monthly_revenue"]) == "derived_stripe__monthly_revenue"
    with pytest.raises(DerivedTableError, match="longer than 63 bytes"):
        derived.table_name(["x" * 60])
