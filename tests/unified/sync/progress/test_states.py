"""How a sync stands, as a function of what the store knows of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from unified.store.connections.rows import ConnectionSummary
from unified.store.records.history import SyncRun
from unified.sync.progress.states import awaited_since, progress

pytestmark = pytest.mark.quick

SINCE = datetime(2026, 11, 1, 12, tzinfo=UTC)
CONNECTION = ConnectionSummary(
    id=uuid4(),
    workspace_id=uuid4(),
    workspace="acme",
    connector="stripe",
    name="main",
    is_active=True,
    sync_interval=timedelta(hours=1),
    sync_status="success",
    sync_started_at=None,
    last_sync_at=None,
    error_message=None,
    created_at=SINCE,
    updated_at=SINCE,
    approval="approved",
    waits_until=None,
    sync_requested_at=None,
    version=1,
    needs_reauth=False,
    streams=(),
)


def pull(stream: str, began: float, ended: float | None = None, error: str | None = None) -> SyncRun:
    """A pull that began and ended so many seconds after the sync was asked for."""
    counts: dict[str, Any] = dict.fromkeys(
        ("records_read", "inserted", "updated", "unchanged", "rejected", "deleted", "requests"), 0
    )
    return SyncRun(
        id=uuid4(),
        connector_config_id=CONNECTION.id,
        stream=stream,
        mode="full",
        run_id="run",
        started_at=SINCE + timedelta(seconds=began),
        finished_at=None if ended is None else SINCE + timedelta(seconds=ended),
        is_complete=ended is not None,
        error_message=error,
        **counts,
    )


BOTH = [pull("customers", 10, 12), pull("invoices", 14, 16)]


@pytest.mark.parametrize(
    ("asked", "runs", "seconds", "state"),
    [
        (True, [], 1, "queued"),
        (False, [], 5, "starting"),
        (False, [], 1_000, "unseen"),
        (False, [pull("customers", 10)], 11, "running"),
        (True, [pull("customers", 10)], 11, "running"),  # the run that was under way; the next one waits
        (True, BOTH, 20, "queued"),
        (False, BOTH[:1], 13, "running"),  # the next stream has not begun
        (False, BOTH[:1], 100, "done"),  # and will not
        (False, BOTH, 16, "done"),
        (False, [BOTH[0], pull("invoices", 14, 16, "no")], 16, "failed"),
        (False, [pull("customers", 10, 12, "no")], 13, "running"),
        (False, [pull("customers", 10, 12, "no")], 100, "failed"),
        (False, [pull("customers", 10, 12, "no"), pull("customers", 22, 23), BOTH[1]], 30, "done"),
        (False, [*BOTH, pull("customers", 60)], 61, "running"),
    ],
)
def test_states(asked: bool, runs: list[SyncRun], seconds: float, state: str) -> None:
    connection = replace(CONNECTION, sync_requested_at=SINCE if asked else None)
    now = SINCE + timedelta(seconds=seconds)
    found = progress(connection, ["customers", "invoices"], runs, since=SINCE, now=now)
    assert (found.state, found.has_ended) == (state, state in ("done", "failed", "unseen"))
    assert [one.stream for one in found.pulls] == list(dict.fromkeys(run.stream for run in runs))


def test_what_is_followed_without_being_asked() -> None:
    assert awaited_since(CONNECTION) is None
    assert awaited_since(replace(CONNECTION, sync_status="syncing", sync_started_at=SINCE)) == SINCE
    assert awaited_since(replace(CONNECTION, sync_requested_at=SINCE)) == SINCE
