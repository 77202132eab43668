"""A transaction left open in another database of the server: the drain, the status and the metrics say what waits."""

from datetime import timedelta

import psycopg
import pytest

from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.deliveries import all_events, assert_applied, deliver, drained
from unified.api.metrics import Metrics
from unified.store.inbox import horizon
from unified.store.server.urls import beside


@pytest.mark.parametrize("database_name", ["postgres", "template1"])
async def test_what_can_not_be_read_yet_is_said_and_then_applied(
    source_of: MakeSource, monkeypatch: pytest.MonkeyPatch, database_name: str
) -> None:
    monkeypatch.setattr(horizon, "PATIENCE", timedelta(0))
    source = await source_of("stripe", customers=3, invoices=0)
    events = all_events(source)
    with psycopg.connect(beside(source.db.url, database_name), application_name="forgotten") as writer:
        writer.execute("SELECT pg_current_xact_id()")
        await deliver(source, events)
        result = await drained(source)
        assert result is not None
        assert (result.events, result.held) == (0, len(events))
        assert f"pid {writer.info.backend_pid} (forgotten, of" in str(result.held_by)
        assert f"in the database {database_name}" in str(result.held_by)
        text = (await Metrics(source.db).text()).decode()
        assert 'unified_inbox_events{connector="stripe"} 0.0' in text
        assert f'unified_inbox_held_events{{connector="stripe"}} {float(len(events))}' in text
        assert 'unified_inbox_held_events{connector="hubspot"} 0.0' in text
        writer.rollback()
    result = await drained(source)
    assert result is not None
    assert (result.events, result.held, result.held_by) == (len(events), 0, None)
    await assert_applied(source, events)
    assert await drained(source) is None
