"""A database of one's own is migrated by the command that says so, and by no other."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import execute
from tests.unified.cli.conftest import Unified
from unified.store.server import embedded
from unified.store.server.urls import beside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    execute(beside(server_url, "postgres"), f"CREATE DATABASE {name}")
    yield beside(server_url, name)
    for each in (name, f"{name}_dagster", f"{name}_named"):
        execute(beside(server_url, "postgres"), f"DROP DATABASE IF EXISTS {each} WITH (FORCE)")


def test_a_database_of_ones_own_is_migrated_when_asked(unified: Unified, empty_database: str) -> None:
    assert "unified migrate" in unified.refused("status", DATABASE_URL=empty_database)
    unified.ok("migrate", DATABASE_URL=empty_database)
    assert "no connections" in unified.ok("status", DATABASE_URL=empty_database)
    with psycopg.connect(f"{beside(empty_database, empty_database_name(empty_database))}") as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    unified.ok("migrate", DATABASE_URL=empty_database)
    named = beside(empty_database, f"{urlsplit(empty_database).path[1:]}_named")
    storage = named.replace("://", "+psycopg2://")
    unified.ok("migrate", DATABASE_URL=empty_database, DAGSTER_POSTGRES_URL=storage)
    with psycopg.connect(named) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_a_newer_database_is_refused_by_all_commands_and_left_alone(
    unified: Unified, database_url: str
) -> None:
    execute(database_url, "UPDATE alembic_version SET version_num = '9001'")
    for arguments in (("status",), ("migrate",), ("dev", "--port", "0"), ("demo",)):
        done = unified.run(*arguments, DATABASE_URL=database_url)
        line = done.stderr.splitlines()[-1]
        assert done.returncode == 1
        assert "is at revision 9001, made by a later release" in line, arguments
        assert "unified migrate" not in line, "which could not mend it"
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9001",)


def test_a_newer_embedded_database_is_refused_as_well(tmp_path: Path) -> None:
    unified = Unified(tmp_path / "home")
    unified.ok("workspaces", "add", "acme")
    execute(embedded.start(unified.home), "UPDATE alembic_version SET version_num = '9001'")
    embedded.leave(unified.home)
    for command in ("status", "migrate"):
        assert "made by a later release" in unified.refused(command)


def empty_database_name(url: str) -> str:
    return f"{psycopg.conninfo.conninfo_to_dict(url)['dbname']}_dagster"


def test_a_database_of_ones_own_needs_master_keys_of_ones_own(unified: Unified, database_url: str) -> None:
    arguments = ("connections", "add", "stripe", "main")
    line = unified.refused(*arguments, DATABASE_URL=database_url, UNIFIED_SECRET_API_KEY="sk_test_fake_acme")
    assert "UNIFIED_MASTER_KEYS" in line


def test_an_unusable_url_is_not_quoted(unified: Unified) -> None:
    line = unified.refused("status", DATABASE_URL="postgresql://me:fake-pass-Canary7@[/db")
    assert "Canary7" not in line
