"""Webhook endpoints: where a connection's provider delivers events, and what proves that they come from it.

They are kept here, inside their workspace. Which one a delivery reaches is :mod:`unified.store.inbox.lookup`'s; secrets
are kept and released by :mod:`unified.store.secrets.credentials`.
"""

import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection, errors
from psycopg.types.json import Jsonb

from unified.kit.errors import ConfigurationError
from unified.kit.registry import get_adapter, get_verifier
from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.connections.rows import ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.rows import fetch
from unified.store.secrets.credentials.checks import WEBHOOK_SECRET
from unified.store.secrets.credentials.errors import CredentialNotFoundError
from unified.store.secrets.credentials.store import CredentialStore

FORMER_SECRET_KEPT = timedelta(hours=24)
"""How long a former secret stays good once it is rolled, as long as Stripe lets it."""

# 24 bytes are 192 random bits: nobody finds a path by trying.
_PATH_BYTES = 24

# These senders take any secret that is typed in there; other providers make their own.
_TAKE_OURS = {
    "basic": "unified:{}",
    "github": "{}",
    "hmac": "{}",
    "jira": "{}",
    "token": "{}",
}

_ENDPOINTS = """
    SELECT id, workspace_id, connector_config_id AS connection_id, endpoint_path AS path, verifier, options,
        event_types, is_active, created_at
    FROM webhook_configs
"""


class EndpointNotFoundError(StoreError):
    """The workspace has no such webhook endpoint."""

    def __init__(self, which: object) -> None:
        super().__init__(f"there is no webhook {which}; `unified webhooks list` shows those there are")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint.

    Attributes:
        id: Row of ``webhook_configs``.
        workspace_id: The tenant.
        connection_id: Whose events are delivered here.
        path: The end of its URL; as good as a secret.
        verifier: Name of the way in which deliveries are signed.
        options: The verifier's settings.
        event_types: Types to keep, with ``*`` at the end for a family; empty keeps all.
        is_active: Whether deliveries are taken.
        created_at: When it was made.
    """

    id: UUID
    workspace_id: UUID
    connection_id: UUID
    path: str = field(repr=False)
    verifier: str
    options: Mapping[str, str]
    event_types: Sequence[str]
    is_active: bool
    created_at: datetime


class Endpoints:
    """Keeps webhook endpoints."""

    def __init__(self, db: Database, credentials: CredentialStore, *, actor: str = "unified") -> None:
        """Work on ``db``, with secrets in ``credentials``, in the name of ``actor`` for the audit log."""
        self._db = db
        self._credentials = credentials
        self._actor = actor

    async def create(
        self,
        connection: ConnectionSummary,
        *,
        verifier: str | None = None,
        options: Mapping[str, str] | None = None,
        event_types: Sequence[str] = (),
    ) -> Endpoint:
        """Make an endpoint. It takes no delivery before it has a secret: see :meth:`rotate`.

        Args:
            connection: Whose events will be delivered.
            verifier: How deliveries are signed; by default as the connector's provider does.
            options: The verifier's settings, if it has any; by default, with the verifier, the connector's.
            event_types: Types to keep, with ``*`` at the end for a family; empty keeps all.

        Raises:
            ConfigurationError: If there is no such verifier, or the options are not its own.
            ConnectionNotFoundError: If the connection was removed.
        """
        if verifier is None:
            verifier = usual_verifier(connection.connector)
            options = options or get_adapter(connection.connector).verifier_options
        get_verifier(verifier, options)
        endpoint_id = uuid4()
        async with self._db.workspace(connection.workspace_id) as conn:
            try:
                await conn.execute(
                    """
                    INSERT INTO webhook_configs
                        (id, workspace_id, connector_config_id, endpoint_path, verifier, options, event_types)
                    VALUES (%s, %s, %s, %s, %s, %s, %s)
                    """,
                    (
                        endpoint_id,
                        connection.workspace_id,
                        connection.id,
                        randomness.token_urlsafe(_PATH_BYTES),
                        verifier,
                        Jsonb(dict(options or {})),
                        list(event_types),
                    ),
                )
            except errors.ForeignKeyViolation:
                raise ConnectionNotFoundError(connection.key) from None
            endpoint = await _get(conn, endpoint_id)
            await self._log(conn, endpoint, "webhook.add", {"connection": str(connection.id)})
            return endpoint

    async def add(
        self,
        connection: ConnectionSummary,
        secret: Secret | None,
        *,
        verifier: str | None = None,
        options: Mapping[str, str] | None = None,
        event_types: Sequence[str] = (),
        is_active: bool = True,
    ) -> tuple[Endpoint, Secret | None]:
        """Make an endpoint with its secret, or neither.

        Args:
            connection: Whose events will be delivered.
            secret: As the provider shows it; None makes one where the provider takes ours, and else leaves it out.
            verifier: As for :meth:`create`, like the next two.
            options: The verifier's settings.
            event_types: Types to keep.
            is_active: Whether deliveries are taken.

        Returns:
            The endpoint, and the secret if it was made here: to be entered at the provider.

        Raises:
            ConfigurationError, ConnectionNotFoundError, CredentialError, MasterKeyError: As :meth:`create` and
                :meth:`rotate` do.
        """
        endpoint = await self.create(connection, verifier=verifier, options=options, event_types=event_types)
        made = None if secret else made_secret(endpoint.verifier)
        try:
            if not is_active:
                await self.set_active(endpoint, is_active=False)
            if given := secret or made:
                await self.rotate(endpoint, given)
        except BaseException:
            await self.remove(endpoint)
            raise
        return endpoint, made

    async def of_workspace(
        self,
        workspace_id: UUID,
        *,
        connection_id: UUID | None = None,
        after: UUID | None = None,
        limit: int = 1_000,
    ) -> list[Endpoint]:
        """A page of a workspace's endpoints, the oldest first.

        Args:
            workspace_id: The workspace.
            connection_id: Those of this connection only.
            after: Id of the last one read so far.
            limit: How many at most.
        """
        async with self._db.workspace(workspace_id) as conn:
            return await fetch(
                conn,
                Endpoint,
                _ENDPOINTS  # noqa: S608 - a constant
                + """
                WHERE (%(connection)s::uuid IS NULL OR connector_config_id = %(connection)s)
                    AND (%(after)s::uuid IS NULL
                        OR (created_at, id) > (SELECT created_at, id FROM webhook_configs WHERE id = %(after)s))
                ORDER BY created_at, id LIMIT %(limit)s
                """,
                connection=connection_id,
                after=after,
                limit=limit,
            )

    async def list(self, connection: ConnectionSummary) -> list[Endpoint]:
        """A connection's endpoints, the oldest first."""
        async with self._db.workspace(connection.workspace_id) as conn:
            return await fetch(
                conn,
                Endpoint,
                _ENDPOINTS + " WHERE connector_config_id = %(connection)s ORDER BY created_at, id",
                connection=connection.id,
            )

    async def get(self, workspace_id: UUID, endpoint_id: UUID) -> Endpoint:
        """One endpoint of a workspace.

        Raises:
            EndpointNotFoundError: If the workspace has no such endpoint.
        """
        async with self._db.workspace(workspace_id) as conn:
            return await _get(conn, endpoint_id)

    async def rotate(
        self, endpoint: Endpoint, secret: Secret, *, keep_former: timedelta = FORMER_SECRET_KEPT
    ) -> None:
        """Give an endpoint its secret, or the next one; until it expires, the former one is good too.

        Args:
            endpoint: Which.
            secret: As the provider shows it.
            keep_former: How long the former one is good; nothing where it has leaked.

        Raises:
            ConfigurationError: If it can be no secret of this provider's.
            EndpointNotFoundError: If the endpoint was removed.
            CredentialError, MasterKeyError: If the former secret can't be read.
        """
        get_verifier(endpoint.verifier, endpoint.options).check_secret(secret)
        current, former = (_field(endpoint, which) for which in ("current", "former"))
        place = endpoint.workspace_id, endpoint.connection_id
        stored = await self.secrets(endpoint, purpose="rotate")
        try:
            # In this order: whatever is interrupted, each delivery finds the secret that it was signed with.
            for name, value, expires_at in (
                (former, stored.get(current), datetime.now(UTC) + keep_former),
                (current, secret, None),
            ):
                if value is not None:
                    await self._credentials.put(
                        *place,
                        WEBHOOK_SECRET,
                        {name: value},
                        expires_at,
                        endpoint_id=endpoint.id,
                        actor=self._actor,
                    )
        except errors.ForeignKeyViolation:
            raise EndpointNotFoundError(endpoint.id) from None
        # Makes every ingress load the secrets anew.
        await self._update(endpoint, "updated_at = now()")

    async def secrets(self, endpoint: Endpoint, *, purpose: str) -> dict[str, Secret]:
        """The secrets that deliveries may be signed with at present, by field; none before the first one is set.

        Args:
            endpoint: Which.
            purpose: What for; the audit log says so.

        Raises:
            CredentialError, MasterKeyError: If they can't be read.
        """
        try:
            return await self._credentials.reveal(
                endpoint.workspace_id,
                endpoint.connection_id,
                endpoint_id=endpoint.id,
                actor=self._actor,
                purpose=purpose,
            )
        except CredentialNotFoundError:
            return {}

    async def secret(self, endpoint: Endpoint, *, purpose: str) -> Secret | None:
        """The secret that the next delivery is to be signed with; None before one is set. As :meth:`secrets`."""
        return (await self.secrets(endpoint, purpose=purpose)).get(_field(endpoint, "current"))

    async def set_active(self, endpoint: Endpoint, *, is_active: bool) -> None:
        """Take deliveries again, or refuse them as if there were no endpoint.

        Raises:
            EndpointNotFoundError: If the endpoint was removed.
        """
        await self._update(
            endpoint, "is_active = %s, updated_at = now()", is_active, logged={"is_active": is_active}
        )

    async def set_event_types(self, endpoint: Endpoint, event_types: Sequence[str]) -> None:
        """Keep events of these types only, with ``*`` at the end for a family; none keeps all.

        Raises:
            EndpointNotFoundError: If the endpoint was removed.
        """
        types = list(event_types)
        await self._update(
            endpoint, "event_types = %s, updated_at = now()", types, logged={"event_types": types}
        )

    async def remove(self, endpoint: Endpoint) -> None:
        """Remove an endpoint with its secrets. What it received stays.

        Raises:
            EndpointNotFoundError: If the endpoint was removed.
        """
        async with self._db.workspace(endpoint.workspace_id) as conn:
            done = await conn.execute("DELETE FROM webhook_configs WHERE id = %s", (endpoint.id,))
            if not done.rowcount:
                raise EndpointNotFoundError(endpoint.id)
            await self._log(conn, endpoint, "webhook.remove", {"connection": str(endpoint.connection_id)})

    async def _update(
        self, endpoint: Endpoint, assignments: str, *values: object, logged: Mapping[str, Any] | None = None
    ) -> None:
        async with self._db.workspace(endpoint.workspace_id) as conn:
            done = await conn.execute(
                f"UPDATE webhook_configs SET {assignments} WHERE id = %s".encode(),  # noqa: S608 - from above
                (*values, endpoint.id),
            )
            if not done.rowcount:
                raise EndpointNotFoundError(endpoint.id)
            if logged:
                await self._log(conn, endpoint, "webhook.update", logged)

    async def _log(
        self, conn: AsyncConnection[Any], endpoint: Endpoint, action: str, detail: Mapping[str, Any]
    ) -> None:
        await audit.record(
            conn,
            endpoint.workspace_id,
            actor=self._actor,
            action=action,
            subject=f"webhook {endpoint.id}",
            outcome="allowed",
            detail=detail,
        )


def usual_verifier(connector: str) -> str:
    """How a connector's own provider signs deliveries.

    Raises:
        ConfigurationError: If it has no webhooks.
    """
    usual = get_adapter(connector).verifiers
    if not usual:
        raise ConfigurationError(f"{connector} has no webhooks of its own; say how deliveries will be signed")
    return usual[0].name


def _field(endpoint: Endpoint, which: str) -> str:
    return f"webhook_{endpoint.id.hex}_{which}"


async def _get(conn: AsyncConnection[Any], endpoint_id: UUID) -> Endpoint:
    found = await fetch(conn, Endpoint, _ENDPOINTS + " WHERE id = %(id)s", id=endpoint_id)
    if not found:
        raise EndpointNotFoundError(endpoint_id)
    return found[0]


def made_secret(verifier: str) -> Secret | None:
    """A new secret for an endpoint whose provider takes ours; None where the provider makes its own."""
    form = _TAKE_OURS.get(verifier)
    return Secret(form.format(randomness.token_urlsafe(32))) if form else None
