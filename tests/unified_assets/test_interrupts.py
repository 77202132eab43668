"""Terminating a run: the sync under way ends in order, and is not tried again."""

import os
import signal
import threading

import pytest

from tests.unified_assets.conftest import Installation, failures
from unified.sandbox.faults import Fault


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminated_run_ends_in_order(installation: Installation, number: signal.Signals) -> None:
    installation.add("acme/main", "stripe")
    stripe = installation.sandbox.stripe
    assert stripe is not None
    stripe.faults.add(Fault("slow", "/v1/customers", times=100, seconds=5.0))
    waited = threading.Event()

    def terminate() -> None:
        while not stripe.stats.requests["GET /v1/customers"]:
            if waited.wait(0.01):
                return
        os.kill(os.getpid(), number)

    former = signal.getsignal(number)
    watcher = threading.Thread(target=terminate)
    watcher.start()
    try:
        result = installation.sync("acme/main")
    finally:
        waited.set()
        watcher.join()
    assert signal.getsignal(number) is former
    assert not result.success
    assert set(failures(result)) == {"stripe__customers", "stripe__events"}
    assert all("the run was terminated" in text for text in failures(result).values())
    history = installation.execute("SELECT finished_at IS NOT NULL, error_message FROM sync_history")
    assert [(closed, "interrupted" in message) for closed, message in history] == [(True, True)]
    (state,) = installation.execute("SELECT sync_status FROM connector_configs")
    assert state == ("error",)
