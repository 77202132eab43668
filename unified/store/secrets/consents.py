"""Consents under way: a person was sent to a provider and has not come back yet. Each is for one use, and short-lived.

The state that goes to the provider and comes back is a secret of which only a hash is kept here. It names its
workspace, because a browser that comes back has no other way to say whose it is; a forged one finds nothing there.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from unified.kit.declarations import ConnectionRef
from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.connections.rows import connection_key
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.secrets.credentials.store import CredentialStore

LIFETIME = timedelta(minutes=10)

_UNKNOWN = (
    "this consent was not begun here, or by somebody else, or longer ago than ten minutes, or it was used already; "
    "begin again"
)


class ConsentError(StoreError):
    """Nobody waits for this consent. The reason is not shown, because the caller may have made it up."""

    def __init__(self) -> None:
        super().__init__(_UNKNOWN)


@dataclass(frozen=True, slots=True)
class Consent:
    """What was noted when a person was sent away.

    Attributes:
        connection: What will be authorized.
        subject: Who was sent.
        redirect_uri: Where to come back to.
        verifier: The PKCE verifier.
        client: The connection's own OAuth app, if it is one of these that asks.
    """

    connection: ConnectionRef
    subject: str
    redirect_uri: str
    verifier: Secret
    client: Mapping[str, Secret]


def state_for(workspace_id: UUID, random: str) -> Secret:
    """A state of a workspace.

    Args:
        workspace_id: The workspace.
        random: At least 128 random bits as text, without a dot.
    """
    return Secret(f"{workspace_id.hex}.{random}")


class Consents:
    """Keeps consents that are under way."""

    def __init__(self, db: Database, credentials: CredentialStore) -> None:
        """Work on ``db``; ``credentials`` encrypts."""
        self._db = db
        self._credentials = credentials

    async def begin(self, consent: Consent, state: Secret, browser: Secret | None = None) -> datetime:
        """Note that somebody is sent to the provider.

        Args:
            consent: What will be needed then.
            state: From :func:`state_for`.
            browser: What the browser has to show when it comes back, where it is known; otherwise ``subject`` has to
                show up itself.

        Returns:
            Until when it holds.
        """
        connection = consent.connection
        digest = _hash(state)
        async with self._db.workspace(connection.workspace_id) as conn:
            await connection_key(conn, connection.id)
            await conn.execute("DELETE FROM pending_authorizations WHERE expires_at <= clock_timestamp()")
            secrets = {"verifier": consent.verifier, **consent.client}
            plain = Secret(json.dumps({name: secret.reveal() for name, secret in secrets.items()}))
            sealed = await self._credentials.seal(
                conn, connection.workspace_id, connection.id, digest.hex(), plain
            )
            rows = await conn.execute(
                """
                INSERT INTO pending_authorizations (
                    workspace_id, connector_config_id, state_hash, browser_hash, subject, redirect_uri,
                    sealed, data_key_id, expires_at
                ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp() + %s) RETURNING expires_at
                """,
                (
                    connection.workspace_id,
                    connection.id,
                    digest,
                    _hash(browser) if browser else None,
                    consent.subject,
                    consent.redirect_uri,
                    *sealed,
                    LIFETIME,
                ),
            )
            (expires_at,) = await rows.fetchone() or (None,)
            await audit.record(
                conn,
                connection.workspace_id,
                actor=consent.subject,
                action="oauth.begin",
                subject=f"connection {connection.id}",
                outcome="allowed",
            )
        assert isinstance(expires_at, datetime)  # noqa: S101 - RETURNING gives the row that was inserted
        return expires_at

    async def end(
        self,
        state: Secret,
        *,
        subject: str | None = None,
        browser: Secret | None = None,
        connection_id: UUID | None = None,
    ) -> Consent:
        """Take a consent: it is gone, whatever becomes of it.

        Args:
            state: As it came back.
            subject: Who brings it, where that was proven.
            browser: What the browser shows.
            connection_id: What it has to be for, where that is known.

        Raises:
            ConsentError: If there is none that this may end.
        """
        workspace = state.reveal().partition(".")[0]
        try:
            workspace_id = UUID(workspace)
        except ValueError:
            raise ConsentError from None
        digest = _hash(state)
        async with self._db.workspace(workspace_id) as conn:
            rows = await conn.execute(
                """
                DELETE FROM pending_authorizations AS p USING connector_configs AS c, workspaces AS w
                WHERE p.state_hash = %s AND c.id = p.connector_config_id AND w.id = c.workspace_id
                RETURNING c.id, w.slug || '/' || c.name, p.subject, p.redirect_uri, p.browser_hash,
                    p.sealed, p.data_key_id, p.expires_at > clock_timestamp()
                """,
                (digest,),
            )
            row = await rows.fetchone()
        if row is None:
            raise ConsentError
        found_id, key, begun_by, redirect_uri, browser_hash, *sealed, is_alive = row
        is_same = subject == begun_by or (browser is not None and _hash(browser) == browser_hash)
        is_other = (subject or begun_by, connection_id or found_id) != (begun_by, found_id)
        if not is_alive or not is_same or is_other:
            raise ConsentError
        async with self._db.workspace(workspace_id) as conn:
            plain = await self._credentials.unseal(
                conn, workspace_id, found_id, digest.hex(), (sealed[0], sealed[1])
            )
        client = {name: Secret(value) for name, value in json.loads(plain.reveal()).items()}
        ref = ConnectionRef(found_id, workspace_id, key)
        return Consent(ref, begun_by, redirect_uri, client.pop("verifier"), client)


def _hash(secret: Secret) -> bytes:
    # It has 128 random bits and more, so nothing slower is needed.
    return hashlib.sha256(secret.reveal().encode()).digest()
