"""A line for each sync that ended: once, and none for those before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest

from tests.unified.cli.commands.connections.test_connections import KEY, to_sandbox
from unified.cli.processes.kept import KeptConnection
from unified.cli.processes.syncs import SyncLines, line
from unified.store.records.history import FinishedSync
from unified.store.server import embedded

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified
    from unified.sandbox.server import SandboxServer


def test_each_sync_that_ends_is_said_once_and_none_from_before(
    unified: Unified, sandbox: SandboxServer, capsys: pytest.CaptureFixture[str]
) -> None:
    unified.ok(
        "connections", "add", "stripe", "main", *to_sandbox(sandbox, "stripe"), UNIFIED_SECRET_API_KEY=KEY
    )
    assert unified.json("connections", "show", "main")["tested_at"], "adding it asked the provider"
    unified.ok("sync", "main", "--stream", "customers")
    url = embedded.start(unified.home)
    with KeptConnection(url) as kept:
        lines = SyncLines(kept, every=0)
        lines.follow()
        assert capsys.readouterr().err == ""
        unified.ok("sync", "main", "--stream", "invoices")
        with psycopg.connect(url, autocommit=True) as conn:  # as a server that was started again
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )
        lines.follow()
        lines.follow()
        said = capsys.readouterr().err
        assert said.count("default/main: invoices (full): 80 read in ") == 1
        assert said.endswith(": 80 new\n")
        lines.follow()
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("counts", "error", "is_complete", "said"),
    [
        ((0, 0, 0, 0), None, True, "9 read in 1.5 s: nothing new"),
        ((1, 2, 0, 3), None, True, "9 read in 1.5 s: 1 new, 2 changed, 3 deleted"),
        (
            (1, 0, 1, 0), None, False,
            "9 read in 1.5 s: 1 new, 1 rejected; stopped at its time limit, the next sync goes on",
        ),
        ((0, 0, 0, 0), "acme/main: customers: no", False, "failed after 1.5 s: no"),
    ],
)  # fmt: skip
def test_a_line_says_what_it_brought_or_why_it_failed(
    counts: tuple[int, int, int, int], error: str | None, said: str, *, is_complete: bool
) -> None:
    ended = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    inserted, updated, rejected, deleted = counts
    sync = FinishedSync(
        id=uuid4(),
        connection="acme/main",
        stream="customers",
        mode="incremental",
        started_at=ended - timedelta(seconds=1.5),
        finished_at=ended,
        is_complete=is_complete,
        records_read=9,
        inserted=inserted,
        updated=updated,
        rejected=rejected,
        deleted=deleted,
        error_message=error,
    )
    assert line(sync) == f"12:00:00 acme/main: customers: {said}"
