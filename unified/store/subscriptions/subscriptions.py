"""Standing orders to deliver what changes in a list to a URL, and how far each has come.

How a change is sent is `unified.sync.subscriptions`'; what a list is, `unified.store.lists`'.
"""

import secrets as randomness
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from unified.kit.errors import ConfigurationError
from unified.kit.origins import target_of
from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.database import Database
from unified.store.errors import InvalidSettingError, StoreError
from unified.store.lists import pages
from unified.store.lists.declared import LISTS, RecordList
from unified.store.lists.pages import Place, TooSlowError, Wanted
from unified.store.rows import explained, fetch
from unified.store.secrets.credentials import CredentialStore

_SECRET_BYTES = 32

SEALED_NAME = "subscription"
"""What the secret of a subscription is bound to, beside its id."""

_SELECT = """
    SELECT id, workspace_id, name, list, filters, url, allow_private, is_active, xid::text, row_id, server::bigint,
        moved_at, delivered, failures, retry_at, error, created_at
    FROM webhook_subscriptions
"""


class SubscriptionNotFoundError(StoreError):
    """The workspace has no such subscription."""

    def __init__(self, which: object) -> None:
        super().__init__(
            f"there is no subscription {which}; `unified subscriptions list` shows those there are"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A standing order.

    Attributes:
        id: Its row.
        workspace_id: Whose.
        name: Unique in the workspace.
        list: Which list it follows.
        filters: Only records that pass; values by filter, as the records API takes them.
        url: Where changes are delivered.
        allow_private: Whether that may be a loopback or private address.
        is_active: Whether it is followed.
        xid: With ``row_id`` the place of the last change dealt with.
        row_id: See ``xid``.
        server: Whose transactions ``xid`` counts.
        moved_at: When it came there.
        delivered: Changes that were delivered so far.
        failures: Batches in a row of which the receiver took nothing.
        retry_at: When it is tried again; None at once.
        error: What the receiver did not take last, and why.
        created_at: When it was made.
    """

    id: UUID
    workspace_id: UUID
    name: str
    list: str
    filters: Mapping[str, Sequence[str]]
    url: str
    allow_private: bool
    is_active: bool
    xid: str
    row_id: UUID
    server: int
    moved_at: datetime
    delivered: int
    failures: int
    retry_at: datetime | None
    error: str | None = field(repr=False)
    created_at: datetime

    @property
    def place(self) -> Place:
        """The last change dealt with."""
        return Place(self.xid, self.row_id)

    @property
    def followed(self) -> RecordList:
        """The list that it follows."""
        return LISTS[self.list]

    def wanted(self, since: datetime | None = None) -> Wanted:
        """What of the list is delivered, tombstones too.

        Raises:
            InvalidSettingError: If a filter is not the list's.
        """
        which = self.followed
        values = read_filters(which, self.filters)
        return Wanted(fields=tuple(which.item.model_fields), values=values, deleted="true", since=since)


def read_filters(which: RecordList, filters: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
    """Values of filters, of their text.

    Raises:
        InvalidSettingError: If the list has no such filter, or one takes no such value.
    """
    values = {}
    for name, given in filters.items():
        known = which.filters.get(name)
        if known is None:
            raise InvalidSettingError(
                f"{which.name} have no filter {name!r}; they have {', '.join(sorted(which.filters))}"
            )
        if len(given) > 1 and not known.takes_several:
            raise InvalidSettingError(f"the filter {name} takes one value")
        try:
            values[name] = [known.values.validate_python(one) for one in given]
        except ValidationError as error:
            raise InvalidSettingError(f"the filter {name}: {error.errors()[0]['msg']}") from None
    return values


class Subscriptions:
    """Keeps subscriptions."""

    def __init__(self, db: Database, credentials: CredentialStore, *, actor: str = "unified") -> None:
        """Work on ``db`` in the name of ``actor``, for the audit log; ``credentials`` encrypts."""
        self._db = db
        self._credentials = credentials
        self._actor = actor

    async def add(
        self,
        workspace_id: UUID,
        name: str,
        which: str,
        url: str,
        *,
        filters: Mapping[str, Sequence[str]] | None = None,
        allow_private: bool = False,
        from_the_start: bool = False,
    ) -> tuple[Subscription, Secret]:
        """Add a subscription: from now on, what changes is delivered.

        Args:
            workspace_id: Whose.
            name: 1 to 63 lower-case letters, digits and inner hyphens, unique in the workspace.
            which: The list that it follows.
            url: Where changes are delivered.
            filters: Only records that pass.
            allow_private: Whether the URL may lead to a loopback or private address.
            from_the_start: Whether all that is stored is delivered first.

        Returns:
            The subscription, and the secret that signs its deliveries, which is not shown again.

        Raises:
            InvalidSettingError: If there is no such list or filter, or the URL can't be one.
            ConnectionNotFoundError: If a filter names a connection that is not there.
            DuplicateNameError: If the workspace has a subscription of that name.
        """
        if which not in LISTS:
            raise InvalidSettingError(f"there is no list {which!r}; there is {', '.join(sorted(LISTS))}")
        read_filters(LISTS[which], filters or {})
        try:
            target_of(url, allow_private=allow_private)
        except ConfigurationError as error:
            raise InvalidSettingError(f"the URL {error}") from None
        secret = Secret(f"whsec_{b64encode(randomness.token_bytes(_SECRET_BYTES)).decode()}")
        subscription_id = uuid4()
        async with self._db.workspace(workspace_id) as conn:
            begun = await pages.start(conn)
            place = Place.at("0" if from_the_start else begun.horizon)
            sealed = await self._credentials.seal(conn, workspace_id, subscription_id, SEALED_NAME, secret)
            with explained("subscription"):
                await conn.execute(
                    """
                    INSERT INTO webhook_subscriptions (workspace_id, id, name, list, filters, url, allow_private,
                        sealed, data_key_id, xid, row_id, server)
                    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text::xid8, %s, %s)
                    """,
                    (
                        workspace_id, subscription_id, name, which, Jsonb(filters or {}), url, allow_private,
                        *sealed, place.xid, place.id, begun.server,
                    ),
                )  # fmt: skip
            await self._log(
                conn, workspace_id, subscription_id, "subscription.add", {"name": name, "list": which}
            )
            made = await read(conn, subscription_id)
            await _has_more(conn, made)  # so that what can't be asked is refused now
            return made, secret

    async def listed(self, workspace_id: UUID) -> list[Subscription]:
        """A workspace's subscriptions, by name."""
        async with self._db.workspace(workspace_id) as conn:
            return await fetch(conn, Subscription, _SELECT + " ORDER BY name")

    async def find(self, workspace_id: UUID, name: str) -> Subscription:
        """The subscription of a name.

        Raises:
            SubscriptionNotFoundError: If there is none.
        """
        async with self._db.workspace(workspace_id) as conn:
            found = await fetch(conn, Subscription, _SELECT + " WHERE name = %(name)s", name=name)
        if not found:
            raise SubscriptionNotFoundError(name)
        return found[0]

    async def secret(self, subscription: Subscription) -> Secret:
        """What signs its deliveries.

        Raises:
            CredentialTamperedError, MasterKeyError: If it can't be decrypted.
            SubscriptionNotFoundError: If it was removed.
        """
        workspace_id = subscription.workspace_id
        async with self._db.workspace(workspace_id) as conn:
            rows = await conn.execute(
                "SELECT sealed, data_key_id FROM webhook_subscriptions WHERE id = %s", (subscription.id,)
            )
            sealed = await rows.fetchone()
            if sealed is None:
                raise SubscriptionNotFoundError(subscription.name)
            return await self._credentials.unseal(conn, workspace_id, subscription.id, SEALED_NAME, sealed)

    async def set_active(self, subscription: Subscription, *, is_active: bool) -> None:
        """Pause it, or go on where it stood: at once, whatever was the matter.

        Raises:
            SubscriptionNotFoundError: If it was removed.
        """
        async with self._db.workspace(subscription.workspace_id) as conn:
            done = await conn.execute(
                "UPDATE webhook_subscriptions SET is_active = %s, failures = 0, retry_at = NULL, error = NULL"
                " WHERE id = %s",
                (is_active, subscription.id),
            )
            if not done.rowcount:
                raise SubscriptionNotFoundError(subscription.name)
            action = "subscription.resume" if is_active else "subscription.pause"
            await self._log(
                conn, subscription.workspace_id, subscription.id, action, {"name": subscription.name}
            )

    async def remove(self, subscription: Subscription) -> None:
        """Remove it, with what it could not deliver.

        Raises:
            SubscriptionNotFoundError: If it was removed.
        """
        async with self._db.workspace(subscription.workspace_id) as conn:
            done = await conn.execute("DELETE FROM webhook_subscriptions WHERE id = %s", (subscription.id,))
            if not done.rowcount:
                raise SubscriptionNotFoundError(subscription.name)
            detail = {"name": subscription.name}
            await self._log(conn, subscription.workspace_id, subscription.id, "subscription.remove", detail)

    async def _log(
        self,
        conn: AsyncConnection[Any],
        workspace_id: UUID,
        subscription_id: UUID,
        action: str,
        detail: Mapping[str, Any],
    ) -> None:
        await audit.record(
            conn,
            workspace_id,
            actor=self._actor,
            action=action,
            subject=f"subscription {subscription_id}",
            outcome="allowed",
            detail=detail,
        )


async def read(conn: AsyncConnection[Any], subscription_id: UUID) -> Subscription:
    """A subscription as it is now.

    Raises:
        SubscriptionNotFoundError: If the workspace has none of that id.
    """
    found = await fetch(conn, Subscription, _SELECT + " WHERE id = %(id)s", id=subscription_id)
    if not found:
        raise SubscriptionNotFoundError(subscription_id)
    return found[0]


async def due(db: Database, now: datetime) -> list[tuple[UUID, UUID]]:
    """Workspaces and ids of the subscriptions, of all workspaces, that may be followed now."""
    async with db.scheduler() as conn:
        rows = await conn.execute(
            "SELECT workspace_id, id FROM webhook_subscriptions"
            " WHERE is_active AND (retry_at IS NULL OR retry_at <= %s) ORDER BY workspace_id, id",
            (now,),
        )
        return await rows.fetchall()


async def has_changes(db: Database, workspace_id: UUID, subscription_id: UUID, now: datetime) -> bool:
    """Whether there is something to deliver now, changes or what was refused before."""
    async with db.workspace(workspace_id) as conn:
        rows = await conn.execute(
            "SELECT FROM undelivered_records WHERE subscription_id = %s AND retry_at <= %s LIMIT 1",
            (subscription_id, now),
        )
        if await rows.fetchone() is not None:
            return True
        try:
            one = await read(conn, subscription_id)
            return await _has_more(conn, one)
        except SubscriptionNotFoundError:
            return False
        except (ConnectionNotFoundError, InvalidSettingError, TooSlowError):
            return True  # who delivers meets it as well, and puts the subscription off


async def _has_more(conn: AsyncConnection[Any], one: Subscription) -> bool:
    """Whether a change comes behind its place, or the place is another server's.

    Raises:
        ConnectionNotFoundError: If a filter names a connection that is not there.
        TooSlowError: If that can't be said in time.
    """
    start = await pages.start(conn)
    return start.server != one.server or bool(
        await pages.in_order_of_changes(
            conn, one.followed, one.wanted(), after=one.place, before=start.horizon, limit=1
        )
    )
