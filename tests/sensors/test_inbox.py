"""When a drain run is asked for, and when not."""

import threading
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from resources.store import DatabaseResource
from sensors import inbox as inbox_sensors
from sensors import watching
from tests.unified_assets.conftest import STRIPE_KEY, Installation
from tests.unified_assets.test_drains import drain, last_events, receive
from unified_assets import single
from unified_assets.drains import lease_of

EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "product.created",
    "created": 1_790_000_000,
    "data": {"object": {}},
}


@pytest.fixture
def waiting(installation: Installation) -> Installation:
    """An installation in whose Stripe inbox an event waits."""
    receive(installation, installation.add("acme/stripe", "stripe"), EVENT)
    return installation


def look(installation: Installation) -> Any:
    """What the sensor answers."""
    with dg.build_sensor_context(
        instance=installation.instance, resources={"database": DatabaseResource()}
    ) as context:
        return installation.defs.resolve_sensor_def("inbox").evaluate_tick(context)


def tick(installation: Installation) -> Any:
    """The key of the run that is asked for, or why none is."""
    answer = look(installation)
    if not answer.run_requests:
        return answer.skip_message
    (request,) = answer.run_requests
    return request.run_key


def begin(installation: Installation, status: dg.DagsterRunStatus) -> str:
    """A drain run in some state, as another process left it."""
    job = installation.defs.resolve_job_def("stripe_drain")
    return installation.instance.create_run_for_job(job, status=status).run_id


def test_nothing_waits(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    assert tick(installation) == "nothing waits"


def test_a_run_is_asked_for_once_and_again_when_more_comes(waiting: Installation) -> None:
    assert tick(waiting) == tick(waiting) == "stripe:first", "the same key, so Dagster makes one run of both"
    result = drain(waiting)
    assert tick(waiting) == "nothing waits"
    receive(waiting, waiting.find("acme/stripe"), EVENT | {"id": "evt_2"})
    assert tick(waiting) == f"stripe:{result.run_id}"


def test_the_run_says_how_much_waits(waiting: Installation) -> None:
    (request,) = look(waiting).run_requests
    assert request.job_name == "stripe_drain"
    assert request.tags["unified/waiting_events"] == "1"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING])
def test_no_second_run_while_one_begins(waiting: Installation, status: dg.DagsterRunStatus) -> None:
    begin(waiting, status)
    assert tick(waiting) == "stripe: a run is asked for or under way"


def test_a_failed_run_is_tried_again_after_a_pause(
    waiting: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = begin(waiting, dg.DagsterRunStatus.FAILURE)
    assert "the last run did not succeed" in tick(waiting)
    monkeypatch.setattr(single, "_AFTER_FAILURE", timedelta(0))
    assert tick(waiting) == f"stripe:{failed}"


def test_a_run_that_was_killed_with_its_machine_is_not_waited_for(
    waiting: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = begin(waiting, dg.DagsterRunStatus.STARTED)
    assert tick(waiting) == "stripe: a run is asked for or under way"
    monkeypatch.setattr(single, "_START", timedelta(0))

    async def tick_under_lease(db: Any) -> Any:
        async with db.exclusive(lease_of("stripe")):
            answers = []
            thread = threading.Thread(target=lambda: answers.append(tick(waiting)))
            thread.start()
            thread.join()
            return answers[0]

    assert waiting.ask(tick_under_lease) == "stripe: a run is asked for or under way"
    assert tick(waiting) == f"stripe:{dead}"


def test_a_connection_in_trouble_asks_for_nothing_until_its_pause_is_over(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    installation.sandbox.stripe.mutate("create_customer", STRIPE_KEY)
    receive(installation, connection, *last_events(installation, 1))
    installation.sandbox.stripe.revoke(STRIPE_KEY)
    result = drain(installation)
    assert tick(installation) == "nothing waits"
    installation.execute("UPDATE inbox_cursors SET next_attempt_at = now()")
    assert tick(installation) == f"stripe:{result.run_id}"


def test_old_events_are_seen_as_soon_as_nothing_is_in_their_way(
    waiting: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 60.0)
    monkeypatch.setattr(inbox_sensors, "_REACH", timedelta(0))
    obstacles = iter(["a run is under way", "a run is under way", ""])

    async def obstacle_of(*_: Any) -> str:
        return next(obstacles)

    monkeypatch.setattr(inbox_sensors, "obstacle_of", obstacle_of)
    assert tick(waiting) == "stripe:first"


def test_old_events_of_a_connection_in_trouble_are_seen_once_its_pause_is_over(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 60.0)
    monkeypatch.setattr(inbox_sensors, "_REACH", timedelta(0))
    connection = installation.add("acme/stripe", "stripe")
    installation.sandbox.stripe.mutate("create_customer", STRIPE_KEY)
    receive(installation, connection, *last_events(installation, 1))
    installation.sandbox.stripe.revoke(STRIPE_KEY)
    result = drain(installation)
    installation.execute("UPDATE inbox_cursors SET next_attempt_at = now() + interval '2 s'")
    assert tick(installation) == f"stripe:{result.run_id}"


@pytest.mark.parametrize("has_connection", [True, False])
def test_a_quiet_inbox_is_looked_through_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, *, has_connection: bool
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 1.0)
    if has_connection:
        installation.add("acme/stripe", "stripe")
    waiting_of, looks = inbox_sensors.backlog.waiting_of, []

    async def counted(*args: Any, **options: Any) -> Any:
        looks.append(args)
        return await waiting_of(*args, **options)

    monkeypatch.setattr(inbox_sensors.backlog, "waiting_of", counted)
    assert tick(installation) == "nothing waits"
    assert 1 <= len(looks) <= 2, "as the tick begins, and as it ends"


def test_what_comes_while_a_tick_looks_is_seen(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 60.0)
    connection = installation.add("acme/stripe", "stripe")
    looked = threading.Event()
    waiting_of = inbox_sensors.backlog.waiting_of

    async def noted(*args: Any, **options: Any) -> Any:
        found = await waiting_of(*args, **options)
        looked.set()
        return found

    monkeypatch.setattr(inbox_sensors.backlog, "waiting_of", noted)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(tick(installation)))
    thread.start()
    assert looked.wait(30)
    receive(installation, connection, EVENT)
    thread.join()
    assert answers == ["stripe:first"]


def test_a_source_whose_drain_is_under_way_holds_up_no_other(
    waiting: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(waiting, dg.DagsterRunStatus.STARTING)
    monkeypatch.setattr(watching, "WATCH_SECONDS", 60.0)
    connection = waiting.add("acme/hubspot", "hubspot")
    event = {"eventId": 1, "portalId": 1, "objectId": 1, "occurredAt": 1_790_000_000_000}
    event |= {"subscriptionType": "contact.creation"}
    blocked = threading.Event()
    obstacle_of = inbox_sensors.obstacle_of

    async def noted(*args: Any) -> str:
        blocked.set()
        return await obstacle_of(*args)

    monkeypatch.setattr(inbox_sensors, "obstacle_of", noted)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(tick(waiting)))
    thread.start()
    assert blocked.wait(30)
    receive(waiting, connection, [event])
    thread.join()
    assert answers == ["hubspot:first"]
