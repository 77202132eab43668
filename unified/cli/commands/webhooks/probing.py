"""`unified webhooks test`: a test delivery, signed as the provider signs, sent to the running server and followed."""

from datetime import UTC, datetime
from uuid import uuid4

import httpx

from unified.cli.output import out, say
from unified.cli.session import CommandError, Session
from unified.kit.registry import get_verifier
from unified.kit.webhooks.deliveries import Answer, Delivery
from unified.kit.webhooks.probes import probe_delivery
from unified.kit.webhooks.signatures import Probe
from unified.store.connections import accounts
from unified.store.connections.rows import Connection
from unified.store.inbox.endpoints import Endpoint, Endpoints
from unified.sync.access.probing import follow

_SECONDS = 30.0


async def probe(
    session: Session, endpoints: Endpoints, connection: Connection, endpoint: Endpoint, url: str
) -> None:
    """Send a test delivery to an endpoint, and say how far it came.

    Args:
        session: The open database.
        endpoints: Releases the endpoint's secret.
        connection: The endpoint's.
        endpoint: Which.
        url: Where the provider delivers.

    Raises:
        CommandError: With where it stopped.
        ConfigurationError: If it can't be signed here.
    """
    if not endpoint.is_active:
        raise CommandError(
            f"the webhook of {connection.key} is paused; `unified webhooks resume {connection.key}` has it take "
            "deliveries"
        )
    verifier = get_verifier(endpoint.verifier, endpoint.options)
    secret = await endpoints.secret(endpoint, purpose="webhook.test") if verifier.needs_secret else None
    async with session.db.workspace(connection.workspace_id) as conn:
        account = await accounts.known(conn, connection.id)
    made = Probe(f"unified_{uuid4().hex}", datetime.now(UTC), account.id, account.livemode)
    delivery = probe_delivery(verifier, url, secret, made)
    events = verifier.receive(delivery, [secret] if secret else [])
    assert not isinstance(events, Answer)  # noqa: S101 - it holds an event
    status = await _sent(delivery)
    if not status.startswith("2"):
        raise CommandError(f"the test delivery to {connection.key} was answered with {status}")
    say(f"Signed as {endpoint.verifier}, and answered with {status}.")
    found = await follow(session.db, session.adapters(), connection, endpoint, events[0])
    if not found.is_through:
        raise CommandError(f"the test event of {connection.key} went no further than this: {found.said}")
    out.print(f"The test event of {connection.key} came through: {found.said}.", soft_wrap=True)


async def _sent(delivery: Delivery) -> str:
    """The status that a delivery is answered with, and what it means."""
    place = httpx.URL(delivery.url)
    address = f"{place.scheme}://{place.netloc.decode()}"
    try:
        async with httpx.AsyncClient(timeout=_SECONDS) as http:
            answer = await http.post(
                delivery.url,
                content=delivery.body,
                headers={name.encode(): value for name, value in delivery.headers.items()},
            )
    except httpx.HTTPError as error:
        msg = (
            f"nobody answers at {address} ({type(error).__name__}): `unified dev` or `unified serve` starts the "
            "server, and --public-url says where it is"
        )
        raise CommandError(msg) from None
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return (
            f"401: that server knows no such endpoint, or another secret, or is reached at another URL than {address}, "
            "which is signed as well (UNIFIED_PUBLIC_URL)"
        )
    words = " ".join(answer.text.split())[:200]
    return f"{answer.status_code}{f': {words}' if words and not answer.is_success else ''}"
