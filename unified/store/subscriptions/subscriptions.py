"""Standing orders to deliver what changes in a list to a URL: made, changed, replayed, removed; the audit log has each.

How a change is sent is `unified.sync.subscriptions`'; what a list is, `unified.store.lists`'.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from unified.kit.errors import ConfigurationError
from unified.kit.origins import target_of
from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.lists import pages
from unified.store.lists.declared import LISTS
from unified.store.lists.pages import Place
from unified.store.rows import explained, fetch
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.subscriptions import progress
from unified.store.subscriptions.due import has_more
from unified.store.subscriptions.rows import (
    SELECT,
    Subscription,
    SubscriptionNotFoundError,
    read,
    read_filters,
)
from unified.store.subscriptions.signing import Signing

LONGEST_URL = 2_000
"""Characters of a URL that deliveries go to."""

FORMER_SECRET_SIGNS = timedelta(days=1)
"""How long a former secret signs as well once it is rotated, so that a receiver can change over."""

SEALED_NAME = "subscription"
"""What the secret of a subscription is bound to, beside its id."""


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
        _check(which, filters or {}, url, allow_private=allow_private)
        secret = Signing.new().secret
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
            made = await read(conn, subscription_id)
            await self._log(conn, made, "subscription.add", list=which)
            await has_more(conn, made, begun)  # so that what can't be asked is refused now
            return made, secret

    async def listed(
        self, workspace_id: UUID, *, after: str = "", limit: int | None = None
    ) -> list[Subscription]:
        """A workspace's subscriptions, by name: those behind a name, so many at most."""
        async with self._db.workspace(workspace_id) as conn:
            return await fetch(
                conn,
                Subscription,
                SELECT + " WHERE name > %(after)s ORDER BY name LIMIT %(limit)s",
                after=after,
                limit=limit,
            )

    async def get(self, workspace_id: UUID, subscription_id: UUID) -> Subscription:
        """The subscription of an id.

        Raises:
            SubscriptionNotFoundError: If the workspace has none of that id.
        """
        async with self._db.workspace(workspace_id) as conn:
            return await read(conn, subscription_id)

    async def find(self, workspace_id: UUID, name: str) -> Subscription:
        """The subscription of a name.

        Raises:
            SubscriptionNotFoundError: If there is none.
        """
        async with self._db.workspace(workspace_id) as conn:
            found = await fetch(conn, Subscription, SELECT + " WHERE name = %(name)s", name=name)
        if not found:
            raise SubscriptionNotFoundError(name)
        return found[0]

    async def signing(self, subscription: Subscription) -> Signing:
        """What signs its deliveries.

        Raises:
            CredentialTamperedError, MasterKeyError: If it can't be decrypted.
            SubscriptionNotFoundError: If it was removed.
        """
        async with self._db.workspace(subscription.workspace_id) as conn:
            return await self._signing(conn, subscription)

    async def rotate(
        self, subscription: Subscription, *, keep_former: timedelta = FORMER_SECRET_SIGNS
    ) -> Signing:
        """Give it another secret. For a while the former one signs deliveries too, for a receiver that has it yet.

        Args:
            subscription: Which.
            keep_former: How long the former one signs too; nothing where it has leaked. Those from before that sign as
                long as they would have, or end with one that has leaked.

        Returns:
            What signs from now on; its secret is not shown again.

        Raises:
            CredentialTamperedError, MasterKeyError: If the former secret can't be decrypted.
            InvalidSettingError: If it was rotated so often that too many former ones sign already.
            SubscriptionNotFoundError: If it was removed.
        """
        workspace_id = subscription.workspace_id
        now = (await self._db.clock())()
        async with self._db.workspace(workspace_id) as conn:
            # So that of two at once each keeps the other's.
            await conn.execute(
                "SELECT FROM webhook_subscriptions WHERE id = %s FOR UPDATE", (subscription.id,)
            )
            made = (await self._signing(conn, subscription)).rotated(now, keep_former)
            sealed = await self._credentials.seal(
                conn, workspace_id, subscription.id, SEALED_NAME, made.as_text()
            )
            await conn.execute(
                "UPDATE webhook_subscriptions SET sealed = %s, data_key_id = %s WHERE id = %s",
                (*sealed, subscription.id),
            )
            await self._log(
                conn, subscription, "subscription.rotate", former_signs=int(keep_former.total_seconds())
            )
        return made

    async def _signing(self, conn: AsyncConnection[Any], subscription: Subscription) -> Signing:
        rows = await conn.execute(
            "SELECT sealed, data_key_id FROM webhook_subscriptions WHERE id = %s", (subscription.id,)
        )
        sealed = await rows.fetchone()
        if sealed is None:
            raise SubscriptionNotFoundError(subscription.name)
        return Signing.of(
            await self._credentials.unseal(
                conn, subscription.workspace_id, subscription.id, SEALED_NAME, sealed
            )
        )

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
            await self._log(conn, subscription, "subscription.resume" if is_active else "subscription.pause")

    async def change(
        self,
        subscription: Subscription,
        *,
        filters: Mapping[str, Sequence[str]] | None = None,
        url: str | None = None,
        allow_private: bool | None = None,
    ) -> Subscription:
        """Deliver other records, or to another URL, from where it stands; one that waits is asked at once.

        Args:
            subscription: As it was read.
            filters: Only records that pass, from now on; None leaves them as they are.
            url: Where changes are delivered, likewise; the secret stays.
            allow_private: Whether that may be a loopback or private address, likewise.

        Returns:
            The subscription as it is now.

        Raises:
            ConnectionNotFoundError: If a filter names a connection that is not there.
            InvalidSettingError: If there is no such filter, or the URL can't be one.
            SubscriptionNotFoundError: If it was removed.
        """
        asked: dict[str, Any] = {"filters": filters, "url": url, "allow_private": allow_private}
        changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        wanted = replace(subscription, **changed)
        _check(wanted.list, wanted.filters, wanted.url, allow_private=wanted.allow_private)
        async with self._db.workspace(subscription.workspace_id) as conn:
            await conn.execute(
                """
                UPDATE webhook_subscriptions
                SET filters = coalesce(%(filters)s, filters), url = coalesce(%(url)s, url),
                    allow_private = coalesce(%(allow_private)s, allow_private), failures = 0, retry_at = NULL,
                    error = CASE WHEN is_active THEN NULL ELSE error END
                WHERE id = %(id)s
                """,
                {**asked, "filters": None if filters is None else Jsonb(filters), "id": subscription.id},
            )
            made = await read(conn, subscription.id)
            await has_more(conn, made, await pages.start(conn))  # so that what can't be asked is refused now
            await self._log(conn, subscription, "subscription.change", changed=sorted(changed))
            return made

    async def replay(self, subscription: Subscription, ids: Sequence[UUID] = ()) -> int:
        """Have what was not taken sent again, all of it or these records; how many that is.

        Raises:
            SubscriptionNotFoundError: If it was removed.
        """
        async with self._db.workspace(subscription.workspace_id) as conn:
            await read(conn, subscription.id)
            count = await progress.replay(conn, subscription, ids)
            await self._log(conn, subscription, "subscription.replay", records=count)
            return count

    async def note_test(self, subscription: Subscription) -> None:
        """Note in the audit log that a test message is sent."""
        async with self._db.workspace(subscription.workspace_id) as conn:
            await self._log(conn, subscription, "subscription.test")

    async def remove(self, subscription: Subscription) -> None:
        """Remove it, with what it could not deliver.

        Raises:
            SubscriptionNotFoundError: If it was removed.
        """
        async with self._db.workspace(subscription.workspace_id) as conn:
            done = await conn.execute("DELETE FROM webhook_subscriptions WHERE id = %s", (subscription.id,))
            if not done.rowcount:
                raise SubscriptionNotFoundError(subscription.name)
            await self._log(conn, subscription, "subscription.remove")

    async def _log(
        self, conn: AsyncConnection[Any], subscription: Subscription, action: str, **detail: Any
    ) -> None:
        await audit.record(
            conn,
            subscription.workspace_id,
            actor=self._actor,
            action=action,
            subject=f"subscription {subscription.id}",
            outcome="allowed",
            detail={"name": subscription.name, **detail},
        )


def _check(which: str, filters: Mapping[str, Sequence[str]], url: str, *, allow_private: bool) -> None:
    """See that a list has such filters, and that something can be sent to a URL.

    Raises:
        InvalidSettingError: If not.
    """
    read_filters(LISTS[which], filters)
    if len(url) > LONGEST_URL:
        raise InvalidSettingError(f"the URL has more than {LONGEST_URL:,} characters")
    try:
        target_of(url, allow_private=allow_private)
    except ConfigurationError as error:
        raise InvalidSettingError(f"the URL {error}") from None
