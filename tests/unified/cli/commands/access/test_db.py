"""`unified db`, as a person uses it: a reader granted, its URL used, psql opened, the reader revoked."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.unified.cli.conftest import Unified
from unified.store.server import embedded

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def acme(unified: Unified) -> None:
    if not any(row["workspace"] == "acme" for row in unified.json("workspaces", "list")):
        unified.ok("workspaces", "add", "acme")


def test_a_reader_is_granted_used_listed_and_revoked(unified: Unified) -> None:
    url = unified.ok("db", "grant-reader", "bi", "--workspace", "acme", "--connections", "3").strip()
    assert urlsplit(url).username == "bi"
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT count(*) FROM customers").fetchone() == (0,)
        assert conn.execute("SELECT session_user").fetchone() == ("bi",)
    bare = unified.ok("db", "url", "--reader", "bi").strip()
    assert urlsplit(bare).password is None
    assert psycopg.conninfo.conninfo_to_dict(bare)["host"] == psycopg.conninfo.conninfo_to_dict(url)["host"]
    (listed,) = unified.json("db", "readers")
    assert (listed["reader"], listed["workspace"], listed["connections"]) == ("bi", "acme", 3)
    assert listed["granted_by"] == "cli"
    unified.ok("db", "revoke-reader", "bi")
    assert unified.json("db", "readers") == []
    assert "there is no reader 'bi'" in unified.refused("db", "url", "--reader", "bi")
    assert "there is no reader 'bi'" in unified.refused("db", "revoke-reader", "bi")


def test_what_a_reader_wrote_is_removed_only_when_somebody_says_so(unified: Unified) -> None:
    url = unified.ok("db", "grant-reader", "models", "--workspace", "acme", "--own-schema").strip()
    with psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 1 AS one")
    assert "Remove models with the schema models" in unified.refused("db", "revoke-reader", "models", code=2)
    unified.ok("db", "revoke-reader", "models", "--yes")
    with psycopg.connect(unified.ok("db", "url").strip()) as conn:
        assert conn.execute("SELECT to_regclass('models.kept')").fetchone() == (None,)


def test_a_reader_goes_with_its_workspace(unified: Unified) -> None:
    unified.ok("workspaces", "add", "passing")
    unified.ok("db", "grant-reader", "passing_bi", "--workspace", "passing")
    unified.ok("workspaces", "remove", "passing", "--yes")
    assert unified.json("db", "readers") == []
    with psycopg.connect(unified.ok("db", "url").strip()) as conn:
        assert conn.execute("SELECT 1 FROM pg_roles WHERE rolname = 'passing_bi'").fetchall() == []


def test_psql_reads_one_workspace_and_leaves_no_login_behind(unified: Unified) -> None:
    shown = unified.ok(
        *("db", "psql", "--workspace", "acme", "--"),
        *("-At", "-c", "SELECT slug, session_user LIKE 'unified_reader_%' FROM workspaces"),
    )
    assert shown == "acme|t\n"
    done = unified.run("db", "psql", "--workspace", "acme", "--", "-c", "DELETE FROM workspaces")
    assert (done.returncode, "read-only transaction" in done.stderr) == (1, True)
    with psycopg.connect(unified.ok("db", "url").strip()) as conn:
        left = conn.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, 'unified_reader_')")
        assert left.fetchall() == []
    assert "there is no workspace 'nowhere'" in unified.refused("db", "psql", "--workspace", "nowhere")


def test_a_name_that_can_not_be_a_login_is_refused(unified: Unified) -> None:
    for name in ("unified_app", "Bad", "postgres"):
        refused = unified.refused("db", "grant-reader", name, "--workspace", "acme")
        assert f"'{name}' can't be the name of a reader" in refused


def test_listening_is_switched_on_and_off_and_a_taken_port_refused(unified: Unified) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port} can't be listened on" in unified.refused("db", "listen", port)
    assert f"listens on 127.0.0.1:{port}" in unified.run("db", "listen", port).stderr
    assert f"listens on 127.0.0.1:{port}" in unified.run("db", "listen").stderr
    assert "either a port or --off" in unified.refused("db", "listen", port, "--off", code=2)
    unified.ok("db", "listen", "--off")
    assert "by its socket alone" in unified.run("db", "listen").stderr
    other = unified.refused("db", "listen", port, DATABASE_URL="postgresql://me@db.example.com/unified")
    assert "a server of your own" in other


def test_the_url_of_a_reader_leads_to_the_port_where_there_is_one(
    migrated_home: Path, tmp_path: Path
) -> None:
    # As root its files belong to the server's user, which shutil would not keep.
    subprocess.run(["cp", "-a", migrated_home / "postgres", tmp_path], check=True)  # noqa: S607 - wherever it is
    own = Unified(tmp_path)
    own.ok("workspaces", "add", "acme")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own.ok("db", "listen", str(port))
    url = own.ok("db", "grant-reader", "bi", "--workspace", "acme").strip()
    bare = own.ok("db", "url", "--reader", "bi").strip()
    assert bare == f"postgresql://bi@127.0.0.1:{port}/unified"
    embedded.start(tmp_path)
    try:
        with psycopg.connect(url) as conn:
            assert conn.execute("SELECT session_user").fetchone() == ("bi",)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(bare)
    finally:
        embedded.leave(tmp_path)


def test_workspaces_are_listed_with_their_ids(unified: Unified) -> None:
    (acme,) = [row for row in unified.json("workspaces", "list") if row["workspace"] == "acme"]
    assert acme["id"] in unified.ok("workspaces", "list")
