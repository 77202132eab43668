"""A database of one's own is migrated by the command that says so, and by no other."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import execute
from unified.store.database import beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unified.cli.conftest import Unified


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    execute(beside(server_url, "postgres"), f"CREATE DATABASE {name}")
    yield beside(server_url, name)
    for each in (name, f"{name}_dagster"):
        execute(beside(server_url, "postgres"), f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")


def test_a_database_of_ones_own_is_migrated_when_asked(unified: Unified, empty_database: str) -> None:
    assert "unified migrate" in unified.refused("status", DATABASE_URL=empty_database)
    unified.ok("migrate", DATABASE_URL=empty_database)
    assert "no connections" in unified.ok("status", DATABASE_URL=empty_database)
    with psycopg.connect(f"{beside(empty_database, empty_database_name(empty_database))}") as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    unified.ok("migrate", DATABASE_URL=empty_database)


def empty_database_name(url: str) -> str:
    return f"{psycopg.conninfo.conninfo_to_dict(url)['dbname']}_dagster"


def test_a_database_of_ones_own_needs_master_keys_of_ones_own(unified: Unified, database_url: str) -> None:
    arguments = ("connections", "add", "stripe", "main")
    line = unified.refused(*arguments, DATABASE_URL=database_url, UNIFIED_SECRET_API_KEY="sk_test_fake_acme")
    assert "UNIFIED_MASTER_KEYS" in line


def test_an_unusable_url_is_not_quoted(unified: Unified) -> None:
    line = unified.refused("status", DATABASE_URL="postgresql://me:fake-pass-Canary7@[/db")
    assert "Canary7" not in line
