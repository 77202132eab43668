"""OAuth tokens: the one place that refreshes them, and opens connections whose tokens refresh themselves.

    due, or rejected ──▶ lease (the attempt is on record) ──▶ ask the provider ──▶ store the new pair ──▶ use it

A refresh token may be good for one use, so the order matters. Nothing is asked for before the attempt is committed, and
nothing is used before it is stored. Killed before the provider was asked, nothing is lost: the next one waits for the
lease to run out and goes on with the same token. Killed between the provider's answer and the commit, the new pair is
gone with the process: a provider that honours the former token a little longer gives another pair, one that does not
answers ``invalid_grant``, and only a person can help. How a first grant comes about: ``unified.sync.access.consent``.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import stamina

from unified.kit.declarations import CredentialKind, GrantType
from unified.kit.errors import AdapterError, AuthenticationError, ProviderError, UnavailableError
from unified.kit.factory import OpenedConnection, config_of
from unified.kit.oauth import CALL_SECONDS, TokenEndpoint, Tokens, declared
from unified.kit.oauth_app import client_of
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry, presentable
from unified.store.database import Database
from unified.store.errors import BusyError, UnreachableError
from unified.store.secrets.authorization_rows import ACCESS_TOKEN, FORMER_REFRESH_TOKEN, REFRESH_TOKEN
from unified.store.secrets.authorizations import LEASE, Authorization, Authorizations, Lease, TokenPair
from unified.store.secrets.credentials.releasing import Released
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.opening import StoredConnections

# A token is replaced so long before it runs out, or in the last fifth of its life if that is shorter: requests under
# way end with it, and a provider that is down for a while does no harm.
MARGIN = timedelta(minutes=5)

# How often a process that waits for another refresher looks, and how long a token is good for that can't be refreshed
# now.
_POLL_SECONDS = 0.05
_RECHECK = timedelta(seconds=5)

# No token is believed to last longer.
_LONGEST_LIFE = 10 * 365 * 86_400.0

_STORE_SECONDS = 60.0

# RFC 6749 section 5.2: the grant, or this refresh token, is gone for good.
_GONE = "invalid_grant"


class AuthorizedConnections:
    """Opens connections for an adapter factory; those authorized by OAuth come with tokens that refresh themselves."""

    def __init__(self, db: Database, credentials: CredentialStore, *, actor: str) -> None:
        """Open connections of ``db`` in the name of ``actor``, which the audit log will show."""
        self._stored = StoredConnections(Registry(db), credentials, actor=actor)
        self._parts = (db, credentials, actor)

    async def open_connection(
        self, workspace_id: UUID, connection_id: UUID, *, purpose: str
    ) -> OpenedConnection:
        """Load a connection and release its secrets; raises what :meth:`CredentialStore.reveal` does."""
        opened = await self._stored.open_connection(workspace_id, connection_id, purpose=purpose)
        if opened.kind != CredentialKind.OAUTH_TOKEN:
            return opened
        db, credentials, actor = self._parts
        tokens = ConnectionTokens(db, credentials, opened, actor=actor)
        return replace(opened, credentials={}, tokens=tokens)


@dataclass(frozen=True, slots=True)
class _Held:
    """An access token in hand, and when to look for another one (None: when it is rejected)."""

    token: Secret
    due_at: datetime | None

    def is_due(self, now: datetime) -> bool:
        return self.due_at is not None and self.due_at <= now


class ConnectionTokens:
    """One connection's access tokens: a :class:`unified.kit.http.authentication.TokenSource`."""

    def __init__(
        self, db: Database, credentials: CredentialStore, opened: OpenedConnection, *, actor: str
    ) -> None:
        """Nothing is read yet.

        Args:
            db: Where authorizations are.
            credentials: Where tokens are.
            opened: The connection.
            actor: Who uses it, for the audit log.

        Raises:
            ConfigurationError: If the connection's settings do not fit its connector.
        """
        self._db = db
        self._credentials = credentials
        self._authorizations = Authorizations(db, credentials, actor=actor)
        self._actor = actor
        self._ref = opened.ref
        self._adapter = get_adapter(opened.connector)
        self._config = config_of(opened.connector, opened.settings, opened.ref)
        self._lock = asyncio.Lock()
        self._clock: Callable[[], datetime] | None = None
        self._held: _Held | None = None

    async def current(self) -> Secret:
        """A token that is good for the next request; see :class:`unified.kit.http.authentication.TokenSource`."""
        return await self._good(None)

    async def renewed(self, rejected: Secret) -> Secret:
        """Another token than one that was rejected before its time."""
        return await self._good(rejected)

    async def _good(self, rejected: Secret | None) -> Secret:
        async with self._lock:
            if self._held is None or self._held.token == rejected or self._held.is_due(await self._now()):
                self._held = await self._find(rejected)
            return self._held.token

    async def _now(self) -> datetime:
        """By the database's clock, which all processes share; asked once."""
        if self._clock is None:
            self._clock = await self._db.clock()
        return self._clock()

    async def _find(self, rejected: Secret | None) -> _Held:
        """The stored token, refreshed where it has to be; another process that refreshes it is waited for."""
        while True:
            # In this order: where the fence is still the last one when the lease is taken, so are the tokens.
            state = await self._authorizations.load(self._ref)
            if state is None:
                raise AuthenticationError(f"{self._ref.key} is not authorized; {_advice(self._ref.key)}")
            released = await self._release()
            held = _held(released)
            if held is not None and held.token == rejected:
                held = None
            if held is not None and not held.is_due(now := await self._now()):
                return held
            if state.needs_reauth:
                raise AuthenticationError(state.error or f"{self._ref.key}: {_advice(self._ref.key)}")
            if held is not None and (state.is_leased or state.is_held_back):
                return replace(held, due_at=now + _RECHECK)
            if fresh := await self._join(state, released):
                return fresh

    async def _join(self, state: Authorization, released: Released) -> _Held | None:
        """Refresh, or wait until the other process has ended; None where its outcome has to be read."""
        if state.is_held_back:
            raise UnavailableError(
                f"{self._ref.key}: its tokens could not be refreshed ({state.error}); "
                f"the next attempt is after {state.next_attempt_at:%H:%M:%S %Z}"
            )
        if state.is_leased:
            await self._wait(state.fence)
            return None
        client = client_of(self._adapter, self._config, released.secrets)
        label = f"{self._adapter.name} connection {self._ref.key}"
        endpoint = TokenEndpoint(self._adapter, self._config, client, label=label)
        began = time.monotonic()
        lease = await self._authorizations.lease(self._ref, state.fence)
        if lease and time.monotonic() - began > LEASE.total_seconds() - CALL_SECONDS:
            # This process was held up: before an answer came, somebody else would be at it.
            await self._authorizations.end(lease)
            return None
        return await _to_its_end(self._refresh(lease, state, released, endpoint)) if lease else None

    async def _wait(self, fence: int) -> None:
        """Until another refresher's lease has ended. It may be in another process, so there is only looking."""
        while True:
            await asyncio.sleep(_POLL_SECONDS * (1 + random.random()))  # noqa: S311 - only to spread the looks
            state = await self._authorizations.load(self._ref)
            if state is None or not state.is_leased or state.fence != fence:
                return

    async def _release(self) -> Released:
        ref = self._ref
        return await self._credentials.release(ref.workspace_id, ref.id, actor=self._actor, purpose="oauth")

    async def _refresh(
        self, lease: Lease, state: Authorization, released: Released, endpoint: TokenEndpoint
    ) -> _Held | None:
        """Ask the provider and store what it gives; None where there are newer tokens than it was asked with."""
        asked_at = await self._now()
        used = released.secrets.get(REFRESH_TOKEN)
        try:
            try:
                tokens = await _ask(endpoint, state.grant_type, used)
            except ProviderError as refused:
                if refused.code != _GONE:
                    raise
                stored = (await self._release()).secrets
                if stored.get(REFRESH_TOKEN) != used:
                    await self._authorizations.end(lease)
                    return None
                # The provider no longer knows the newest. Some honour the one before, and nothing is lost by
                # trying, unless a used one ends the grant.
                used = None if declared(self._adapter).reuse_revokes else stored.get(FORMER_REFRESH_TOKEN)
                if used is None:
                    raise
                tokens = await _ask(endpoint, state.grant_type, used)
                tokens = replace(tokens, refresh_token=tokens.refresh_token or used)
        except AdapterError as error:
            if isinstance(error, ProviderError) and error.code == _GONE:
                await self._give_up(lease, error)
                return None
            await self._authorizations.fail(lease, presentable(str(error)))
            raise
        pair = pair_of(tokens, asked_at)
        # What the provider gave is in no other place yet, so a database that is away for a moment is waited for.
        async for attempt in stamina.retry_context(
            on=(UnreachableError, BusyError), attempts=None, timeout=_STORE_SECONDS, wait_jitter=0.1
        ):
            with attempt:
                is_stored = await self._authorizations.store(lease, pair, used=used)
        return _Held(pair.access_token, _due_at(asked_at, pair.expires_at)) if is_stored else None

    async def _give_up(self, lease: Lease, error: ProviderError) -> None:
        message = presentable(
            f"{self._ref.key}: {self._adapter.display_name} no longer honours its authorization ({error}); "
            f"{_advice(self._ref.key)}"
        )
        if await self._authorizations.give_up(lease, message):
            raise AuthenticationError(message, status=error.status, code=error.code) from None


async def _ask(endpoint: TokenEndpoint, grant_type: GrantType, refresh_token: Secret | None) -> Tokens:
    if grant_type == "client_credentials":
        return await endpoint.client_credentials()
    if refresh_token is None:
        raise ProviderError("there is no refresh token, or it has expired", code=_GONE)
    return await endpoint.refresh(refresh_token)


def pair_of(tokens: Tokens, asked_at: datetime) -> TokenPair:
    """Tokens with their expiry, counted from when they were asked for: the answer may have taken a while."""

    def ends(seconds: float | None) -> datetime | None:
        return (
            None if seconds is None else asked_at + timedelta(seconds=min(max(seconds, 0.0), _LONGEST_LIFE))
        )

    return TokenPair(
        tokens.access_token, ends(tokens.expires_in), tokens.refresh_token, ends(tokens.refresh_expires_in)
    )


def _held(released: Released) -> _Held | None:
    token, info = released.secrets.get(ACCESS_TOKEN), released.infos.get(ACCESS_TOKEN)
    return _Held(token, _due_at(info.updated_at, info.expires_at)) if token and info else None


def _due_at(since: datetime, expires_at: datetime | None) -> datetime | None:
    return None if expires_at is None else expires_at - min(MARGIN, (expires_at - since) / 5)


def _advice(key: str) -> str:
    return f"authorize it with `unified connections authorize {key}`"


async def _to_its_end(refreshing: Coroutine[Any, Any, _Held | None]) -> _Held | None:
    """Await a coroutine that must not be cut off: an answer that nobody stores takes the tokens with it.

    A cancellation is passed on once it has ended, which the time limit of the call to the provider bounds.
    """
    task = asyncio.ensure_future(refreshing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen, or asyncio would complain that it was not
        raise
