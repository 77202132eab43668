"""`unified serve` as a process of its own, whose embedded server is killed under it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import psutil

from tests.waiting import LIMIT_SECONDS
from unified.cli.processes.child import free_port
from unified.cli.processes.ingress import HOST, running_ingress
from unified.store.server.cluster import Cluster
from unified.store.server.patience import Patience

if TYPE_CHECKING:
    import pytest

    from tests.unified.cli.conftest import Unified


def test_serve_starts_its_killed_database_again(unified: Unified, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "UNIFIED_MASTER_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNIFIED_HOME", str(unified.home))
    cluster = Cluster((unified.home / "postgres").resolve(), "", "")
    log = unified.home / "serve.log"
    with running_ingress(free_port(HOST, 0), log) as ingress:
        for _ in range(2):
            killed = cluster.process()
            assert isinstance(killed, psutil.Process)
            killed.kill()
            killed.wait()
            # Nobody but the running server is there to do it: this process joined the server, and does not look.
            patience = Patience(LIMIT_SECONDS, lambda: log.stat().st_size)
            while not _is_ready(ingress.address):
                assert not patience.is_out(), log.read_text()
                time.sleep(0.1)
            assert (server := cluster.process()) is not None
            assert server != killed
    assert "has been started again" in log.read_text()


def _is_ready(address: str) -> bool:
    """Whether it reaches its database."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{address}/readyz", timeout=LIMIT_SECONDS).is_success
    return False
