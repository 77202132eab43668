"""What a workspace sets for its identities, and how far they are resolved."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """A workspace's settings.

    Attributes:
        default_region: ISO 3166-1 alpha-2 code of the country of telephone numbers without a country code, where the
            address does not say.
        source_priority: Connectors whose values come first in golden customers, the best first. Those not named are
            all alike and come last.
        rules: Names of the rules to use; None uses all.
        keys: Keys of the workspace's own: fields that together make two records one. ``name``, ``street``,
            ``postal_code``, ``company``, ``tax_number`` or ``custom_fields.<key>``.
    """

    default_region: str | None = None
    source_priority: tuple[str, ...] = ()
    rules: tuple[str, ...] | None = None
    keys: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "IdentitySettings":
        """Settings as they are stored; what a newer release added there is left alone."""
        known = {field.name: stored[field.name] for field in fields(cls) if field.name in stored}
        for name in ("source_priority", "rules"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        if "keys" in known:
            known["keys"] = tuple(map(tuple, known["keys"]))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class IdentityState:
    """How far a workspace's identities are resolved.

    Attributes:
        settings: Its settings.
        made_with: What all keys were made with; None before the first run is through with them.
        is_empty: Whether no record has keys yet.
        position: All changes that this snapshot of the database saw are read.
        is_recent: Whether it is so recent that the feed of changes still has all since then.
        resolved_at: When the last run ended.
    """

    settings: IdentitySettings
    made_with: str | None
    is_empty: bool
    position: str | None
    is_recent: bool
    resolved_at: datetime | None


FEED_KEEPS = "6 days"
"""How long, at least, the feed of changes has what was noted in it: it is kept for a week."""


GONE_KEPT = timedelta(days=30)
"""How long an identity that is no more is kept, as its id, for those who follow identities."""


async def load(conn: AsyncConnection[Any]) -> IdentityState:
    """The state of the transaction's workspace."""
    rows = await conn.execute(
        f"""
        SELECT settings, made_with, NOT EXISTS (SELECT FROM identity_records), position::text,
            coalesce(read_at > now() - interval '{FEED_KEEPS}'
                AND pg_snapshot_xmax(position) <= pg_snapshot_xmax(pg_current_snapshot()), false),
            resolved_at
        FROM (VALUES (true)) AS always LEFT JOIN identity_state ON true
        """  # noqa: S608 - a constant
    )
    row = await rows.fetchone()
    assert row is not None  # noqa: S101 - an outer join of one row gives one
    return IdentityState(IdentitySettings.of(row[0] or {}), *row[1:])


async def save_settings(conn: AsyncConnection[Any], workspace_id: UUID, settings: IdentitySettings) -> None:
    """Store a workspace's settings; the next run looks at all its customers anew."""
    await conn.execute(
        """
        INSERT INTO identity_state (workspace_id, settings) VALUES (%s, %s)
        ON CONFLICT (workspace_id) DO UPDATE SET settings = excluded.settings
        """,
        (workspace_id, Jsonb(asdict(settings))),
    )


async def snapshot(conn: AsyncConnection[Any]) -> str:
    """What is committed at present. A transaction that is still open is not, however early it began."""
    rows = await conn.execute("SELECT pg_current_snapshot()::text")
    row = await rows.fetchone()
    assert row is not None  # noqa: S101 - SELECT of an expression gives one row
    return str(row[0])


async def move(conn: AsyncConnection[Any], workspace_id: UUID, position: str, made_with: str) -> None:
    """Note that all changes that a snapshot saw are read, and what keys were made with."""
    await conn.execute(
        """
        INSERT INTO identity_state AS s (workspace_id, position, made_with, read_at) VALUES (%s, %s, %s, now())
        ON CONFLICT (workspace_id) DO UPDATE SET
            position = excluded.position, made_with = excluded.made_with, read_at = excluded.read_at
        """,
        (workspace_id, position, made_with),
    )


async def finish(conn: AsyncConnection[Any]) -> None:
    """Note that nothing was left to resolve."""
    await conn.execute("UPDATE identity_state SET resolved_at = now()")
