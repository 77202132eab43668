"""Whose turn it is, who is loaded, and when the next one is due."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from unified.store.connections import turns
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.workspaces import workspaces

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


async def add(db: Database, minutes_ago: dict[str, int | None]) -> dict[str, UUID]:
    """Connections by name, whose last sync began some time ago; ``other`` is of HubSpot."""
    acme, registry, added = await workspaces.create(db, "acme"), Registry(db), {}
    with psycopg.connect(db.url, autocommit=True) as superuser:
        for name, minutes in minutes_ago.items():
            connector = "hubspot" if name == "other" else "stripe"
            one = await registry.add_connection(acme.id, connector, name, is_active=name != "paused")
            added[name] = one.id
            if minutes is not None:
                superuser.execute(
                    "UPDATE connector_configs SET sync_status = 'syncing', sync_started_at = %s WHERE id = %s",
                    (NOW - timedelta(minutes=minutes), one.id),
                )
    return added


async def names(db: Database, at: datetime = NOW, *running: str, **options: Any) -> list[str]:
    return [each.name for each in await turns.due(db, at, running, **options)]


async def test_due_is_whose_interval_is_over_and_who_does_not_run(database: Database) -> None:
    await add(
        database,
        {"never": None, "long-ago": 600, "last-tick": 59, "just-now": 50, "other": 200, "paused": 600},
    )
    assert await names(database) == ["never", "long-ago", "other", "last-tick"]
    assert await names(database, NOW, "acme/long-ago", "acme/never") == ["other", "last-tick"]
    assert await names(database, NOW, connector="stripe", limit=2) == ["never", "long-ago"]
    assert await names(database, NOW + 5 * timedelta(minutes=1)) == [
        "never",
        "long-ago",
        "other",
        "last-tick",
        "just-now",
    ]
    # "just-now" is due after 54 minutes; that others are due already is no turn to wait for.
    assert await turns.next_turn(database, "stripe", NOW) == NOW + timedelta(minutes=4)
    assert await turns.next_turn(database, "hubspot", NOW) is None
    with psycopg.connect(database.url, autocommit=True) as superuser:
        superuser.execute("UPDATE connectors SET is_enabled = false WHERE name = 'hubspot'")
    assert await names(database) == ["never", "long-ago", "last-tick"]


async def test_loaded_is_what_was_read_whole_or_can_not_be_read(database: Database) -> None:
    added = await add(
        database, dict.fromkeys(("new", "begun", "limited", "log-read", "refused", "refreshed"), 600)
    )
    pulls = {
        "begun": [("customers", True, None)],
        "limited": [("customers", True, None), ("events", False, None)],
        "log-read": [("customers", True, None), ("events", True, None)],
        "refused": [("customers", True, None), ("events", False, "no permission")],
        "refreshed": [("events", True, None), ("customers", False, None)],
    }
    with psycopg.connect(database.url, autocommit=True) as superuser:
        superuser.execute("UPDATE connector_configs SET streams = '{customers,events}'")
        for name, ended in pulls.items():
            for stream, is_complete, error in ended:
                superuser.execute(
                    "INSERT INTO sync_history (id, workspace_id, connector_config_id, stream, mode, is_complete,"
                    " started_at, finished_at, error_message)"
                    " SELECT gen_random_uuid(), workspace_id, id, %s, 'full', %s, %s, %s, %s"
                    " FROM connector_configs WHERE id = %s",
                    (stream, is_complete, NOW - timedelta(days=1), NOW, error, added[name]),
                )
        superuser.execute(
            "INSERT INTO cursors (workspace_id, connector_config_id, stream, cursor, observed_at, refreshed_at)"
            " SELECT workspace_id, id, 'customers', '{}', now(), now() FROM connector_configs WHERE id = %s",
            (added["refreshed"],),
        )
    assert await names(database, is_loaded=True) == ["log-read", "refreshed", "refused"]
    assert await names(database, is_loaded=False) == ["begun", "limited", "new"]
