"""Drain runs: all connections of a source in one, and what Dagster learns of it."""

import asyncio
from typing import Any

import dagster as dg
import msgspec
import pytest

from tests.unified_assets.conftest import STRIPE_KEY, Installation, everything_logged
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Delivery
from unified.store.connections.rows import Connection
from unified.store.inbox.events import Received, append
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.providers import load_provider
from unified_assets import drains
from unified_assets.drains import lease_of
from unified_assets.partitions import DATA_VERSION_TAG


def receive(installation: Installation, connection: Connection, *payloads: Any) -> None:
    """Put deliveries into a connection's inbox, as the ingress does."""
    verifier = get_adapter(connection.connector).verifiers[0]
    now = installation.ask(lambda db: db.clock())()
    events = [
        event
        for payload in payloads
        for event in verifier.read_events(Delivery.polled(msgspec.json.encode(payload), now))
    ]
    place = connection.workspace_id, connection.id
    installation.ask(lambda db: append(db, [Received(*place, event) for event in events]))


def last_events(installation: Installation, count: int, key: str = STRIPE_KEY) -> list[dict[str, Any]]:
    """The newest events of a Stripe account's feed, oldest first."""
    feed = installation.sandbox.stripe.account(key).all_events()
    return [next(feed) for _ in range(count)][::-1]


def drain(installation: Installation, source: str = "stripe", **config: float) -> dg.ExecuteInProcessResult:
    """Run a source's drain job, which ends when nothing waits."""
    return installation.defs.resolve_job_def(f"{source}_drain").execute_in_process(
        run_config={"ops": {f"drain_{source}_inbox": {"config": {"linger_seconds": 0, **config}}}},
        instance=installation.instance,
        raise_on_error=False,
    )


def reports(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dict[str, Any]]:
    """Metadata of each asset event by asset and partition, with the kind of the event."""
    told = {}
    for event in result.all_events:
        if event.is_step_materialization:
            report: Any = event.step_materialization_data.materialization
        elif event.is_asset_observation:
            report = event.asset_observation_data.asset_observation
        else:
            continue
        values = {name: value.value for name, value in report.metadata.items()}
        told[report.asset_key.to_user_string(), report.partition] = {"kind": type(report).__name__, **values}
    return told


def totals(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [event for event in result.all_events if event.is_successful_output]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


def test_one_run_drains_all_connections_and_reports_each(installation: Installation) -> None:
    acme = installation.add("acme/stripe", "stripe")
    globex = installation.add("globex/stripe", "stripe", "sk_test_fake_globex")
    made = installation.sandbox.stripe.mutate("create_customer", STRIPE_KEY, name="Ada")
    gone = installation.sandbox.stripe.mutate("create_customer", "sk_test_fake_globex")
    installation.sandbox.stripe.mutate("delete_customer", "sk_test_fake_globex", gone["id"])
    receive(installation, acme, *last_events(installation, 1))
    receive(installation, globex, *last_events(installation, 2, "sk_test_fake_globex"))

    result = drain(installation)

    assert result.success
    told = reports(result)
    assert set(told) == {
        (f"stripe/{stream}", key)
        for stream in ("customers", "events")
        for key in ("acme/stripe", "globex/stripe")
    }
    customers = told["stripe/customers", "acme/stripe"]
    assert customers["kind"] == "AssetMaterialization"
    versions = [
        event.materialization.tags[DATA_VERSION_TAG] for event in result.get_asset_materialization_events()
    ]
    assert len(set(versions)) == len(versions), "what depends on the data sees that they are new"
    assert (customers["mode"], customers["events"], customers["inserted"]) == ("webhooks", 1, 1)
    assert customers["oldest_event_seconds"] >= 0
    counted = totals(result)
    assert (counted["connections"], counted["events"], counted["dead_letters"]) == (2, 3, 0)
    rows = installation.execute(
        "SELECT source_id, name, deleted_at IS NOT NULL FROM unified_customers ORDER BY name"
    )
    assert rows == [(made["id"], "Ada", False)]  # what was gone before it was ever stored has no row
    partitions = installation.instance.get_materialized_partitions(dg.AssetKey(["stripe", "events"]))
    assert partitions == {"acme/stripe", "globex/stripe"}


def test_what_changed_nothing_is_an_observation(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    customer = next(installation.sandbox.stripe.account().all_customers())
    installation.sandbox.stripe.mutate("update_customer", STRIPE_KEY, customer["id"], name="Ada")
    installation.load("acme/stripe")
    receive(installation, connection, *last_events(installation, 1))
    told = reports(drain(installation))
    assert told["stripe/customers", "acme/stripe"]["kind"] == "AssetObservation"
    assert told["stripe/customers", "acme/stripe"]["unchanged"] == 1


def test_events_that_nothing_pulls_have_an_asset(installation: Installation) -> None:
    connection = installation.add("acme/hubspot", "hubspot")
    contact = installation.sandbox.hubspot.mutate("create_contact", None, lastname="Lovelace")
    portal = installation.sandbox.hubspot.account().portal_id
    event = {
        "eventId": 1, "subscriptionId": 2, "portalId": portal, "occurredAt": 1_790_000_000_000, "attemptNumber": 0,
        "subscriptionType": "contact.creation", "objectId": int(contact["id"]),
    }  # fmt: skip
    receive(installation, connection, [event])
    told = reports(drain(installation, "hubspot"))
    assert told["hubspot/events", "acme/hubspot"]["kind"] == "AssetMaterialization"
    assert told["hubspot/customers", "acme/hubspot"]["inserted"] == 1


def test_a_connection_that_cannot_be_used_is_told_of_and_holds_up_no_other(
    installation: Installation,
) -> None:
    secret = "sk_test_fake_revoked_canary"
    revoked = installation.add("acme/stripe", "stripe", secret)
    sound = installation.add("globex/stripe", "stripe")
    installation.sandbox.stripe.mutate("create_customer", STRIPE_KEY)
    for connection in (revoked, sound):
        receive(installation, connection, *last_events(installation, 1))
    result = drain(installation)
    assert result.success
    assert {key for _, key in reports(result)} == {"globex/stripe"}
    logged = everything_logged(result, installation.instance)
    assert "acme/stripe: 0 event(s) applied" in logged
    assert secret not in logged
    # Its events wait: once the key is good, and the pause over, they are applied.
    installation.ask(
        lambda db: CredentialStore(db, load_provider()).put(
            revoked.workspace_id, revoked.id, "api_key", {"api_key": Secret(STRIPE_KEY)}
        )
    )
    installation.execute("UPDATE inbox_cursors SET next_attempt_at = now() WHERE attempts > 0")
    assert ("stripe/customers", "acme/stripe") in reports(drain(installation))


def test_there_is_one_drain_of_a_source_at_a_time(installation: Installation) -> None:
    connection = installation.add("acme/stripe", "stripe")
    receive(installation, connection, *last_events(installation, 1))

    async def drain_beside_another(db: Any) -> dg.ExecuteInProcessResult:
        async with db.exclusive(lease_of("stripe")) as is_ours:
            assert is_ours
            return await asyncio.to_thread(drain, installation)

    beside = installation.ask(drain_beside_another)
    assert beside.success
    assert totals(beside)["events"] == 0
    assert totals(drain(installation))["events"] == 1


@pytest.mark.parametrize("report_seconds", [0.2, 3600])
def test_a_drain_that_never_rests_ends_at_its_limit(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, report_seconds: float
) -> None:
    monkeypatch.setattr(drains, "REPORT_SECONDS", report_seconds)
    connection = installation.add("acme/stripe", "stripe")
    receive(installation, connection, *last_events(installation, 1))
    result = drain(installation, linger_seconds=3600, time_limit_minutes=1 / 60)
    assert result.success
    assert totals(result)["events"] == 1
