"""The recipes of docs/connect.md, run as they stand there: each reads one workspace, exact to the last digit."""

import asyncio
import os
import re
from collections.abc import Iterator
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import migrated_database
from unified.store.database import Database
from unified.store.readers import granted, roles

# As .ci/run sets it. Looked for only: it takes seconds to import, and each process collects all files.
if "UNIFIED_RECIPES_REQUIRED" not in os.environ and find_spec("ibis") is None:
    pytest.skip("the group `recipes` is not installed: uv sync --group recipes", allow_module_level=True)

PAGE = (Path(__file__).parents[1] / "docs" / "connect.md").read_text(encoding="utf-8")
OURS, THEIRS = UUID(int=0xA), UUID(int=0xB)
# More digits than a float has, and the longest fraction after so many rows that nobody looks so far by default.
AMOUNTS = ("0.10", "0.20", "90071992547409.93", *["1.00"] * 150, "0.000123")
REVENUE = {"EUR": Decimal("90071992547560.230123"), "USD": Decimal("0.30")}

_INVOICE = """
    INSERT INTO unified_invoices (unified_id, workspace_id, connection_id, source_system, stream, source_id,
        schema_version, content_hash, observed_at, synced_at, is_active, status, currency, total, paid_date)
    VALUES (%s, %s, %s, 'stripe', 'invoices', %s, '1.1.0', 1, now(), now(), true, 'paid', %s, %s,
        '2026-03-31T23:30:00Z')
"""


def recipe(heading: str, language: str) -> list[str]:
    """The blocks of one section."""
    section = PAGE.partition(f"\n{heading}")[2].partition("\n## ")[0]
    blocks = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert blocks, heading
    return blocks


def fill(conn: psycopg.Connection) -> None:
    for number, workspace in enumerate((OURS, THEIRS)):
        conn.execute(
            "INSERT INTO workspaces (id, slug, name) VALUES (%s, %s, 'W')", (workspace, f"w{number}")
        )
        for index, amount in enumerate(AMOUNTS):
            # In the order of the index as well.
            one = UUID(int=workspace.int << 32 | index)
            conn.execute(_INVOICE, (one, workspace, workspace, f"in_{index:04}", "EUR", amount))
        conn.execute(_INVOICE, (uuid4(), workspace, workspace, "in_usd", "USD", "0.30"))
    conn.execute(
        "UPDATE unified_invoices SET deleted_at = now() WHERE source_id = 'in_usd' AND workspace_id = %s",
        (THEIRS,),
    )
    conn.execute("UPDATE unified_invoices SET total = 999 WHERE workspace_id = %s", (THEIRS,))


@pytest.fixture(scope="module")
def url(server_url: str, template: str) -> Iterator[str]:
    """A reader's URL."""
    name = f"recipes_{uuid4().hex[:8]}"

    async def grant(admin: str) -> str:
        async with Database.open(admin) as db:
            return roles.url_of(admin, name, (await granted.grant(db, OURS, name)).reveal())

    async def revoke(admin: str) -> None:
        async with Database.open(admin) as db:
            await granted.revoke(db, name)

    with migrated_database(server_url, template) as admin:
        with psycopg.connect(admin) as conn:
            fill(conn)
        yield asyncio.run(grant(admin))
        asyncio.run(revoke(admin))


@pytest.fixture(scope="module")
def frames(url: str) -> dict[str, dict[str, Any]]:
    """What each block of Python leaves behind, by the module that it begins with."""
    found = {}
    for block in recipe("## Money in frames", "python"):
        names: dict[str, Any] = {"URL": url}
        exec(compile(block, "docs/connect.md", "exec"), names)  # noqa: S102 - the page is what is tested
        if "engine" in names:
            names["engine"].dispose()
        if "con" in names:
            names["con"].disconnect()
        found[block.split()[1].partition(".")[0]] = names
    return found


def test_pandas(frames: dict[str, dict[str, Any]]) -> None:
    assert frames["pandas"]["revenue"].to_dict() == REVENUE


def test_polars(frames: dict[str, dict[str, Any]]) -> None:
    revenue = frames["polars"]["revenue"]
    assert dict(revenue.iter_rows()) == REVENUE
    assert str(revenue.schema["total"]).startswith("Decimal")


def test_sqlalchemy(frames: dict[str, dict[str, Any]]) -> None:
    assert dict(map(tuple, frames["sqlalchemy"]["revenue"])) == REVENUE


def test_ibis(frames: dict[str, dict[str, Any]]) -> None:
    rows = frames["ibis"]["revenue"].to_pylist()
    assert {row["currency"]: row["total"] for row in rows} == REVENUE


def test_each_block_of_python_is_one_of_these(frames: dict[str, dict[str, Any]]) -> None:
    assert [*frames] == ["pandas", "polars", "sqlalchemy", "ibis"]


def test_duckdb_reads_a_frame_by_its_name(frames: dict[str, dict[str, Any]]) -> None:
    import duckdb  # noqa: PLC0415

    (statement,) = re.findall(r'duckdb\.sql\("(.*?)"\)', PAGE)
    invoices = frames["polars"]["invoices"]
    assert invoices.height == len(AMOUNTS) + 1
    assert dict(duckdb.sql(statement).fetchall()) == REVENUE


def test_duckdb_by_its_extension(url: str) -> None:
    import duckdb  # noqa: PLC0415

    with duckdb.connect() as conn:
        try:
            conn.execute("INSTALL postgres; LOAD postgres")
        except (duckdb.IOException, duckdb.HTTPException) as error:
            pytest.skip(f"DuckDB can't fetch its extension here: {str(error).splitlines()[0]}")
        (block,) = recipe("## DuckDB", "sql")
        *_, attach, counted, summed = re.split(
            r";\n", "\n" + block.replace("'URL'", f"'{url}'").rstrip().rstrip(";")
        )
        conn.execute(attach)
        assert conn.execute(counted).fetchall() == []
        assert dict(conn.execute(summed).fetchall()) == REVENUE


def test_the_question_for_metabase(url: str) -> None:
    (question,) = recipe("## Metabase", "sql")
    with psycopg.connect(url) as conn:
        rows = conn.execute(question.encode()).fetchall()
    assert {currency: revenue for _, currency, revenue in rows} == REVENUE
