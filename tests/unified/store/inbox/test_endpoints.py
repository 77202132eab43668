"""Webhook endpoints: their paths and secrets, and how the ingress finds them."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.unified.kit.document.test_webhooks import WEBHOOKS, document
from tests.unified.store.inbox.rows import add_connection
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import read
from unified.kit.errors import ConfigurationError
from unified.kit.registry import Installed, set_installed
from unified.kit.secrets import Secret
from unified.store import audit, removal
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.inbox import lookup as webhooks
from unified.store.inbox.endpoints import Endpoint, EndpointNotFoundError, Endpoints
from unified.store.inbox.lookup import EndpointLookup
from unified.store.secrets.credentials.errors import CredentialNotFoundError, CredentialTamperedError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider, generate_key

FIRST, SECOND, THIRD = (Secret(f"whsec_fake_{number}") for number in range(3))


@pytest.fixture
async def connection(database: Database) -> ConnectionSummary:
    return await add_connection(database)


@pytest.fixture
def credentials(database: Database) -> CredentialStore:
    return CredentialStore(database, LocalKeyProvider([generate_key()]))


@pytest.fixture
def endpoints(database: Database, credentials: CredentialStore) -> Endpoints:
    return Endpoints(database, credentials, actor="test")


@pytest.fixture
async def endpoint(endpoints: Endpoints, connection: ConnectionSummary) -> Endpoint:
    made = await endpoints.create(connection)
    await endpoints.rotate(made, FIRST)
    return made


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lookup(database: Database, credentials: CredentialStore, clock: Clock) -> EndpointLookup:
    return EndpointLookup(database, credentials, clock=clock)


async def secrets_of(lookup: EndpointLookup, endpoint: Endpoint) -> set[str]:
    found = await lookup.find("stripe", endpoint.path)
    return {secret.reveal() for secret in found.secrets} if found else {"no endpoint"}


async def reveals(db: Database, workspace_id: UUID) -> int:
    """How often secrets were released to the ingress, by the audit log."""
    async with db.workspace(workspace_id) as conn:
        log = await audit.entries(conn)
    return sum((entry.actor, entry.action) == ("ingress", "credential.reveal") for entry in log)


async def test_an_endpoint_has_a_path_that_nobody_guesses(
    endpoints: Endpoints, connection: ConnectionSummary
) -> None:
    made = [await endpoints.create(connection) for _ in range(20)]
    assert len({one.path for one in made}) == 20
    assert all(len(one.path) == 32 for one in made)  # 24 bytes in base64: 192 bits
    assert made[0].path not in repr(made[0])
    assert await endpoints.list(connection) == made
    assert (made[0].verifier, made[0].is_active) == ("stripe", True)


async def test_without_a_verifier_an_endpoint_gets_the_connectors_with_its_options(
    endpoints: Endpoints, connection: ConnectionSummary
) -> None:
    """As a connector document says them; with a verifier of one's own, there are none but those that are given."""
    said = adapter_class(read(json.dumps(document()).encode(), "desk.json"))
    set_installed({"desk": Installed(said)})
    try:
        of_document = replace(connection, connector="desk")
        made = await endpoints.create(of_document)
        assert (made.verifier, made.options) == ("hmac", WEBHOOKS["options"])
        own = await endpoints.create(of_document, verifier="hmac", options={"header": "x-other"})
        assert own.options == {"header": "x-other"}
    finally:
        set_installed({})


async def test_what_no_delivery_could_be_checked_by_is_refused(
    endpoints: Endpoints, endpoint: Endpoint, connection: ConnectionSummary
) -> None:
    with pytest.raises(ConfigurationError, match="no webhook verifier 'made_up'"):
        await endpoints.create(connection, verifier="made_up")
    with pytest.raises(ConfigurationError, match="options"):
        await endpoints.create(connection, verifier="stripe", options={"header": "x"})
    with pytest.raises(ConfigurationError, match="whsec_") as refused:
        await endpoints.rotate(endpoint, Secret("sk_test_fake_no_signing_secret"))
    assert "no_signing_secret" not in str(refused.value)
    assert await endpoints.list(connection) == [endpoint]


async def test_the_ingress_finds_an_endpoint_with_its_secret(
    endpoints: Endpoints, connection: ConnectionSummary, lookup: EndpointLookup
) -> None:
    made = await endpoints.create(
        connection,
        verifier="hmac",
        options={"header": "x-sig"},
        event_types=["invoice.*", "customer.created"],
    )
    await endpoints.rotate(made, Secret("fake shared secret"))
    found = await lookup.find("stripe", made.path)
    assert found is not None
    assert (found.id, found.workspace_id, found.connection_id) == (
        made.id,
        connection.workspace_id,
        connection.id,
    )
    assert found.verifier.name == "hmac"
    assert [secret.reveal() for secret in found.secrets] == ["fake shared secret"]
    assert [
        found.wants(kind) for kind in ("invoice.paid", "customer.created", "customer.updated", "invoice")
    ] == [
        True,
        True,
        False,
        False,
    ]
    assert await lookup.find("hubspot", made.path) is None
    assert await lookup.find("stripe", made.path[:-1]) is None


async def test_without_a_secret_there_is_none_to_check_by(
    endpoints: Endpoints, connection: ConnectionSummary, lookup: EndpointLookup
) -> None:
    assert await secrets_of(lookup, await endpoints.create(connection)) == set()


async def test_a_rolled_secret_is_good_for_a_while(
    endpoints: Endpoints, endpoint: Endpoint, lookup: EndpointLookup, clock: Clock, database_url: str
) -> None:
    assert await secrets_of(lookup, endpoint) == {"whsec_fake_0"}
    await endpoints.rotate(endpoint, SECOND)
    clock.now += webhooks.ENDPOINT_SECONDS
    assert await secrets_of(lookup, endpoint) == {"whsec_fake_0", "whsec_fake_1"}
    await endpoints.rotate(endpoint, THIRD)
    clock.now += webhooks.ENDPOINT_SECONDS
    assert await secrets_of(lookup, endpoint) == {"whsec_fake_1", "whsec_fake_2"}
    # One that leaked is good no longer.
    await endpoints.rotate(endpoint, FIRST, keep_former=timedelta(0))
    clock.now += webhooks.ENDPOINT_SECONDS
    assert await secrets_of(lookup, endpoint) == {"whsec_fake_0"}


async def test_an_endpoints_secrets_are_its_own(
    database: Database,
    endpoints: Endpoints,
    credentials: CredentialStore,
    endpoint: Endpoint,
    connection: ConnectionSummary,
    lookup: EndpointLookup,
) -> None:
    """Neither another endpoint nor the connection's adapter is given them, and they outlive its credentials."""
    place = connection.workspace_id, connection.id
    twin = await endpoints.create(connection)
    assert await secrets_of(lookup, twin) == set()
    with pytest.raises(CredentialNotFoundError):
        await credentials.reveal(*place, actor="test", purpose="sync")
    await credentials.put(*place, "api_key", {"api_key": Secret("sk_test_fake")})
    revealed = await credentials.reveal(*place, actor="test", purpose="sync")
    assert list(revealed) == ["api_key"]
    assert [info.field for info in await credentials.describe(*place)] == ["api_key"]
    await endpoints.rotate(endpoint, SECOND)
    assert await credentials.expiring([connection], timedelta(days=365)) == []
    await credentials.delete(*place)
    assert await secrets_of(EndpointLookup(database, credentials), endpoint) == {
        "whsec_fake_0",
        "whsec_fake_1",
    }


async def test_a_secret_moved_to_another_endpoint_is_not_released(
    endpoints: Endpoints,
    endpoint: Endpoint,
    connection: ConnectionSummary,
    lookup: EndpointLookup,
    database_url: str,
) -> None:
    victim = await endpoints.create(connection)
    await endpoints.rotate(victim, SECOND)
    with psycopg.connect(database_url) as admin:
        admin.execute(
            """
            UPDATE connector_credentials SET ciphertext =
                (SELECT ciphertext FROM connector_credentials WHERE webhook_config_id = %s)
            WHERE webhook_config_id = %s
            """,
            (endpoint.id, victim.id),
        )
    with pytest.raises(CredentialTamperedError):
        await lookup.find("stripe", victim.path)


async def test_a_paused_or_removed_endpoint_is_not_found(
    endpoints: Endpoints, endpoint: Endpoint, lookup: EndpointLookup, clock: Clock, database_url: str
) -> None:
    for change, expected in (
        (endpoints.set_active(endpoint, is_active=False), {"no endpoint"}),
        (endpoints.set_active(endpoint, is_active=True), {"whsec_fake_0"}),
        (endpoints.remove(endpoint), {"no endpoint"}),
    ):
        await change
        clock.now += webhooks.ENDPOINT_SECONDS
        assert await secrets_of(lookup, endpoint) == expected
    for gone in (
        endpoints.remove(endpoint),
        endpoints.set_active(endpoint, is_active=True),
        endpoints.rotate(endpoint, SECOND),
    ):
        with pytest.raises(EndpointNotFoundError):
            await gone
    with psycopg.connect(database_url) as admin:
        assert admin.execute("SELECT count(*) FROM connector_credentials").fetchone() == (0,)


async def test_a_removed_connection_takes_its_endpoints_along(
    database: Database, endpoint: Endpoint, connection: ConnectionSummary, lookup: EndpointLookup
) -> None:
    await removal.remove_connection(database, connection.workspace_id, connection.id)
    assert await lookup.find("stripe", endpoint.path) is None


class CountingDatabase:
    """A database that counts the ingress's look-ups."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.look_ups = 0

    def ingress(self) -> Any:
        self.look_ups += 1
        return self._db.ingress()


async def test_the_database_is_asked_once_in_a_while(
    database: Database, credentials: CredentialStore, endpoint: Endpoint, clock: Clock
) -> None:
    counting = CountingDatabase(database)
    lookup = EndpointLookup(counting, credentials, clock=clock)  # type: ignore[arg-type]  # as much as it uses
    paths = [endpoint.path, "no-such-path"]
    for _ in range(3):
        await asyncio.gather(*(lookup.find("stripe", path) for path in paths * 20))
    assert counting.look_ups == 2
    assert await reveals(database, endpoint.workspace_id) == 1
    clock.now += webhooks.ENDPOINT_SECONDS
    await asyncio.gather(*(lookup.find("stripe", path) for path in paths * 20))
    assert counting.look_ups == 4
    assert await reveals(database, endpoint.workspace_id) == 1  # secrets are believed for longer
    clock.now += webhooks.SECRET_SECONDS
    await lookup.find("stripe", endpoint.path)
    assert await reveals(database, endpoint.workspace_id) == 2


async def test_a_flood_of_unknown_paths_is_not_remembered_for_ever(
    lookup: EndpointLookup, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST_REMEMBERED", 5)
    for number in range(20):
        assert await lookup.find("stripe", f"path-{number}") is None
        assert await secrets_of(lookup, endpoint) == {"whsec_fake_0"}
    assert len(lookup._remembered) == 5


async def test_an_error_is_soon_forgotten(
    database: Database, endpoint: Endpoint, clock: Clock, credentials: CredentialStore
) -> None:
    class Broken(CountingDatabase):
        def ingress(self) -> Any:
            self.look_ups += 1
            if self.look_ups == 1:
                raise webhooks.UnusableEndpointError("away")
            return self._db.ingress()

    lookup = EndpointLookup(Broken(database), credentials, clock=clock)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(webhooks.UnusableEndpointError):
            await lookup.find("stripe", endpoint.path)
    clock.now += 1
    assert await secrets_of(lookup, endpoint) == {"whsec_fake_0"}


async def test_whoever_hangs_up_does_not_end_the_look_up_for_others(
    lookup: EndpointLookup, endpoint: Endpoint
) -> None:
    first = asyncio.create_task(lookup.find("stripe", endpoint.path))
    await asyncio.sleep(0)
    second = asyncio.create_task(lookup.find("stripe", endpoint.path))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
    with pytest.raises(asyncio.CancelledError):
        await first
