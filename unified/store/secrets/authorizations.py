"""OAuth authorizations: by which grant a connection works, and who may refresh its tokens at the moment.

One refresher at a time: taking the lease gives the next fence, a number that only rises. The lease is a row with
an end and no lock, because a lock would have to be held while a provider is asked. So somebody may wake up after its
lease has run out, with tokens in hand: they are stored unless a higher fence has stored others meanwhile.

The tokens themselves are kept by `unified.store.secrets.credentials`, written in the same transaction as what
is noted here. What a refresh is and when it is due, `unified.sync.access.authorization` knows; consents under way,
`unified.store.secrets.consents`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from unified.kit.declarations import ConnectionRef, CredentialKind, GrantType
from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.connections import waits
from unified.store.connections.across import read_across
from unified.store.connections.rows import ConnectionSummary, connection_key
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.rows import fetch
from unified.store.secrets.authorization_rows import (
    ACCESS_TOKEN,
    FORMER_REFRESH_TOKEN,
    REFRESH_TOKEN,
    set_right,
)
from unified.store.secrets.credentials.store import CredentialStore

LEASE = timedelta(seconds=60)
"""How long a refresher may take; a provider is given up before (`unified.kit.oauth.CALL_SECONDS`)."""

# Seconds before the next attempt after one that failed, doubled each time up to the second number.
_FIRST_BACKOFF, _LONGEST_BACKOFF = 5, 300


class OtherAccountError(StoreError):
    """The new grant is for another account than the connection's records come from."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """How a connection's authorization stands.

    Attributes:
        grant_type: How it was granted.
        account_id: Whose account the provider says it opens.
        fence: The last one given out.
        needs_reauth: Whether only a person can set it right.
        is_leased: Whether somebody refreshes it at the moment.
        is_held_back: Whether the next attempt has to wait, because the last one failed.
        next_attempt_at: Until when.
        error: How it failed, or why only a person can set it right.
    """

    grant_type: GrantType
    account_id: str | None
    fence: int
    needs_reauth: bool
    is_leased: bool
    is_held_back: bool
    next_attempt_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to refresh a connection's tokens, for a while.

    Attributes:
        connection: Which connection.
        fence: Its number; what is stored by a lower one is older.
    """

    connection: ConnectionRef
    fence: int


@dataclass(frozen=True, slots=True)
class TokenPair:
    """Tokens as they are stored.

    Attributes:
        access_token: For requests.
        expires_at: When that runs out; None if the provider does not say.
        refresh_token: For the next access token; None leaves the stored one in force.
        refresh_expires_at: When that runs out, where the provider says.
    """

    access_token: Secret
    expires_at: datetime | None = None
    refresh_token: Secret | None = None
    refresh_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Consent:
    connection_id: UUID
    authorized_at: datetime


class Authorizations:
    """Keeps authorizations, and stores tokens under them."""

    def __init__(self, db: Database, credentials: CredentialStore, *, actor: str) -> None:
        """Work on ``db`` and ``credentials`` in the name of ``actor``, which the audit log will show."""
        self._db = db
        self._credentials = credentials
        self._actor = actor

    async def load(self, connection: ConnectionRef) -> Authorization | None:
        """How a connection's authorization stands; None where it has none."""
        async with self._db.workspace(connection.workspace_id) as conn:
            found = await fetch(
                conn,
                Authorization,
                """
                SELECT a.grant_type, a.account_id, a.fence, c.needs_reauth, a.next_attempt_at, a.error,
                    COALESCE(a.leased_until > clock_timestamp(), false) AS is_leased,
                    COALESCE(a.next_attempt_at > clock_timestamp(), false) AS is_held_back
                FROM authorizations AS a
                JOIN connector_configs AS c ON (c.workspace_id, c.id) = (a.workspace_id, a.connector_config_id)
                WHERE a.connector_config_id = %(id)s
                """,
                id=connection.id,
            )
        return found[0] if found else None

    async def consented(self, connections: Sequence[ConnectionSummary]) -> dict[UUID, datetime]:
        """When somebody consented, by connection; nobody does to client credentials."""
        found = await read_across(
            self._db,
            connections,
            _Consent,
            "connection_id uuid, authorized_at timestamptz",
            """
            SELECT one, authorized_at FROM authorizations
            WHERE (workspace_id, connector_config_id) = (own, one) AND grant_type = 'authorization_code'
            """,
        )
        return {one.connection_id: one.authorized_at for one in found}

    async def authorize(
        self,
        connection: ConnectionRef,
        grant_type: GrantType,
        tokens: TokenPair,
        *,
        client: Mapping[str, Secret],
        account_id: str | None,
    ) -> None:
        """Store a new grant in place of whatever the connection had.

        Args:
            connection: Which connection.
            grant_type: How it was granted.
            tokens: What came of it.
            client: The connection's own OAuth app, if it has one.
            account_id: Whose account it opens, where the provider says.

        Raises:
            OtherAccountError: If the connection's records come from another account; nothing was changed.
            ConnectionNotFoundError: If the connection is gone.
        """
        async with self._db.workspace(connection.workspace_id) as conn:
            await connection_key(conn, connection.id, lock=True)
            rows = await conn.execute(
                "SELECT account_id FROM authorizations WHERE connector_config_id = %s", (connection.id,)
            )
            (known,) = await rows.fetchone() or (None,)
            if known and account_id and known != account_id:
                raise OtherAccountError(
                    f"connection {connection.key} has records of account {known}, and this grant is for {account_id}; "
                    "consent with that account, or add another connection"
                )
            await conn.execute(
                """
                INSERT INTO authorizations AS a (
                    workspace_id, connector_config_id, grant_type, account_id, authorized_by, fence, stored_fence
                ) VALUES (%s, %s, %s, %s, %s, 1, 1)
                ON CONFLICT (workspace_id, connector_config_id) DO UPDATE SET
                    grant_type = excluded.grant_type, account_id = COALESCE(excluded.account_id, a.account_id),
                    authorized_by = excluded.authorized_by, authorized_at = now(),
                    fence = a.fence + 1, stored_fence = a.fence + 1, leased_until = NULL, attempted_at = NULL,
                    refreshed_at = NULL, failures = 0, next_attempt_at = NULL, error = NULL
                """,
                (connection.workspace_id, connection.id, grant_type, account_id, self._actor),
            )
            stored = await self._put(conn, connection, tokens, dict(client), replace=True)
            await self._credentials.keep_only(conn, connection.id, stored)
            await set_right(conn, connection.id)
            await waits.end(conn, connection.id)
            await self._note(conn, connection, "oauth.authorize", "allowed", {"grant_type": grant_type})

    async def lease(self, connection: ConnectionRef, after: int) -> Lease | None:
        """Become the one who refreshes, and put the attempt on record before it is made.

        Args:
            connection: Which connection.
            after: The fence that was the last one when the tokens were read that shall be refreshed. Where another
                one was given out since, those may be old.

        Returns:
            The lease; None where somebody else has it, or had it since.
        """
        async with self._db.workspace(connection.workspace_id) as conn:
            rows = await conn.execute(
                """
                UPDATE authorizations AS a
                SET fence = a.fence + 1, leased_until = clock_timestamp() + %s, attempted_at = clock_timestamp()
                FROM authorizations AS former
                WHERE (former.workspace_id, former.connector_config_id) = (a.workspace_id, a.connector_config_id)
                    AND a.connector_config_id = %s AND a.fence = %s
                    AND (a.leased_until IS NULL OR a.leased_until <= clock_timestamp())
                RETURNING a.fence, former.attempted_at
                """,
                (LEASE, connection.id, after),
            )
            if (row := await rows.fetchone()) is None:
                return None
            fence, abandoned_at = row
            detail = {"fence": fence} | ({"abandoned": f"{abandoned_at:%FT%TZ}"} if abandoned_at else {})
            await self._note(conn, connection, "oauth.attempt", "allowed", detail)
            return Lease(connection, fence)

    async def store(self, lease: Lease, tokens: TokenPair, *, used: Secret | None) -> bool:
        """Store what a refresh brought, and end the lease.

        Args:
            lease: The refresher's; it may have run out.
            tokens: What came of it.
            used: The refresh token that it cost, kept as the former one where there is a new one.

        Returns:
            Whether they are stored; not so where newer ones are.
        """
        connection = lease.connection
        async with self._db.workspace(connection.workspace_id) as conn:
            # The connection's row first, here and wherever both are written, or two would wait for each other.
            await connection_key(conn, connection.id, lock=True)
            done = await conn.execute(
                """
                UPDATE authorizations SET
                    stored_fence = %(fence)s, refreshed_at = now(), failures = 0, next_attempt_at = NULL, error = NULL,
                    leased_until = CASE WHEN fence = %(fence)s THEN NULL ELSE leased_until END,
                    attempted_at = CASE WHEN fence = %(fence)s THEN NULL ELSE attempted_at END
                WHERE connector_config_id = %(id)s AND stored_fence < %(fence)s
                """,
                {"fence": lease.fence, "id": connection.id},
            )
            if not done.rowcount:
                return False
            former = {FORMER_REFRESH_TOKEN: used} if used and tokens.refresh_token not in (None, used) else {}
            await self._put(conn, connection, tokens, former)
            await set_right(conn, connection.id)
            await self._note(conn, connection, "oauth.refresh", "allowed", {"fence": lease.fence})
        return True

    async def end(self, lease: Lease) -> None:
        """End the lease without having changed anything."""
        async with self._db.workspace(lease.connection.workspace_id) as conn:
            await conn.execute(
                """
                UPDATE authorizations SET leased_until = NULL, attempted_at = NULL
                WHERE connector_config_id = %s AND fence = %s
                """,
                (lease.connection.id, lease.fence),
            )

    async def fail(self, lease: Lease, error: str) -> None:
        """End the lease without new tokens; those there are stay, and the next attempt waits.

        Args:
            lease: Of the process that tried.
            error: What went wrong; never a secret.
        """
        connection = lease.connection
        async with self._db.workspace(connection.workspace_id) as conn:
            await conn.execute(
                """
                UPDATE authorizations SET
                    leased_until = NULL, attempted_at = NULL, failures = failures + 1, error = %(error)s,
                    next_attempt_at = clock_timestamp()
                        + make_interval(secs => least(%(longest)s, %(first)s * 2 ^ least(failures, 20)))
                WHERE connector_config_id = %(id)s AND fence = %(fence)s
                """,
                {
                    "error": error,
                    "first": _FIRST_BACKOFF,
                    "longest": _LONGEST_BACKOFF,
                    "id": connection.id,
                    "fence": lease.fence,
                },
            )
            await self._note(
                conn, connection, "oauth.refresh", "failed", {"fence": lease.fence, "error": error}
            )

    async def give_up(self, lease: Lease, error: str) -> bool:
        """Mark the connection as one that a person has to authorize again, and end the lease.

        Args:
            lease: Of the process that found out.
            error: What the connection says from now on; never a secret.

        Returns:
            Whether it is marked; not so where somebody has stored tokens or taken the lease since.
        """
        connection = lease.connection
        async with self._db.workspace(connection.workspace_id) as conn:
            await connection_key(conn, connection.id, lock=True)
            done = await conn.execute(
                """
                UPDATE authorizations SET
                    leased_until = NULL, attempted_at = NULL, failures = 0, next_attempt_at = NULL, error = %(error)s
                WHERE connector_config_id = %(id)s AND fence = %(fence)s AND stored_fence < %(fence)s
                """,
                {"error": error, "id": connection.id, "fence": lease.fence},
            )
            if not done.rowcount:
                return False
            await conn.execute(
                """
                UPDATE connector_configs
                SET needs_reauth = true, sync_status = 'error', error_message = %s, updated_at = now() WHERE id = %s
                """,
                (error, connection.id),
            )
            await self._note(
                conn, connection, "oauth.refresh", "denied", {"fence": lease.fence, "error": error}
            )
        return True

    async def _put(
        self,
        conn: AsyncConnection[Any],
        connection: ConnectionRef,
        tokens: TokenPair,
        others: Mapping[str, Secret],
        *,
        replace: bool = False,
    ) -> list[str]:
        """Store tokens, each with its own expiry; the fields."""
        groups: list[tuple[dict[str, Secret], datetime | None]] = [
            ({ACCESS_TOKEN: tokens.access_token}, tokens.expires_at),
            (
                {REFRESH_TOKEN: tokens.refresh_token} if tokens.refresh_token else {},
                tokens.refresh_expires_at,
            ),
            (dict(others), None),
        ]
        for fields, expires_at in groups:
            if fields:
                await self._credentials.put(
                    connection.workspace_id,
                    connection.id,
                    CredentialKind.OAUTH_TOKEN,
                    fields,
                    expires_at,
                    replace=replace,
                    actor=self._actor,
                    within=conn,
                )
        return [field for fields, _ in groups for field in fields]

    async def _note(
        self,
        conn: AsyncConnection[Any],
        connection: ConnectionRef,
        action: str,
        outcome: audit.Outcome,
        detail: Mapping[str, Any],
    ) -> None:
        await audit.record(
            conn,
            connection.workspace_id,
            actor=self._actor,
            action=action,
            subject=f"connection {connection.id}",
            outcome=outcome,
            detail=detail,
        )
