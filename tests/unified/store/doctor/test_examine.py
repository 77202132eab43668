"""Each thing that the doctor looks for, put wrong and found."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import execute, migrated_database
from unified.store.doctor import examine as doctor
from unified.store.doctor.examine import describe_skew, examine, examine_storage
from unified.store.errors import InvalidSettingError
from unified.store.migrate import set_utc
from unified.store.server.urls import beside

TODAY = f"{datetime.now(UTC):%Y%m%d}"


@pytest.fixture(scope="module")
def url(server_url: str, template: str) -> Iterator[str]:
    """A superuser's URL of a database with the connection acme/main."""
    with migrated_database(server_url, template) as made:
        execute(
            made,
            "INSERT INTO workspaces (slug, name) VALUES ('acme', 'Acme')",
            "INSERT INTO connector_configs (workspace_id, connector, name) SELECT id, 'stripe', 'main' FROM workspaces",
        )
        yield made


async def found(url: str, *, is_embedded: bool = False) -> list[str]:
    return [
        f"{finding.level} {finding.about}: {finding.message}"
        for finding in await examine(url, is_embedded=is_embedded)
    ]


async def wrong(url: str) -> list[str]:
    """What is wrong, but for what the tests' server is allowed to forget."""
    return [
        line
        for line in await found(url)
        if line.startswith("wrong") and "answered as stored can be lost" not in line
    ]


async def test_a_sound_database(url: str) -> None:
    assert await wrong(url) == []
    # What the migrations grant to their own roles is nothing to revoke.
    assert not [line for line in await found(url) if line.startswith("advice grants")]
    assert [line for line in await found(url) if line.startswith("advice login")], (
        "the tests' login is a superuser"
    )
    assert not [line for line in await found(url, is_embedded=True) if "login" in line]


@pytest.mark.parametrize(
    ("broken", "mended", "message"),
    [
        (
            "ALTER TABLE unified_customers NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE unified_customers FORCE ROW LEVEL SECURITY",
            "wrong isolation: row level security is not forced on unified_customers:",
        ),
        (
            "ALTER TABLE unified_customers_stripe DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE unified_customers_stripe ENABLE ROW LEVEL SECURITY",
            "wrong isolation: row level security is off on unified_customers_stripe:",
        ),
        (
            "DROP POLICY own_workspace ON cursors",
            "CALL isolate_by_workspace('cursors')",
            "wrong isolation: cursors has lost its policy",
        ),
        (
            "CREATE VIEW leaky AS SELECT * FROM unified_customers; GRANT SELECT ON leaky TO unified_app",
            "DROP VIEW leaky",
            "wrong isolation: the view leaky shows every workspace's rows",
        ),
        (
            "ALTER ROLE unified_app BYPASSRLS",
            "ALTER ROLE unified_app NOBYPASSRLS",
            "wrong roles: unified_app has BYPASSRLS",
        ),
        (
            "ALTER ROLE unified_app LOGIN",
            "ALTER ROLE unified_app NOLOGIN",
            "wrong roles: unified_app can log in by itself",
        ),
        (
            "GRANT pg_read_all_data TO unified_ingress",
            "REVOKE pg_read_all_data FROM unified_ingress",
            "wrong roles: unified_ingress has the rights of pg_read_all_data",
        ),
        (
            "CREATE TABLE stray (a int); ALTER TABLE stray OWNER TO unified_app",
            "DROP TABLE stray",
            "wrong roles: unified_app owns tables",
        ),
        (
            "REVOKE SELECT ON cursors FROM unified_app",
            "GRANT SELECT ON cursors TO unified_app",
            "wrong grants: unified_app may not read cursors",
        ),
        (
            "CREATE ROLE test_stranger BYPASSRLS; GRANT SELECT ON unified_customers TO test_stranger",
            "DROP OWNED BY test_stranger; DROP ROLE test_stranger",
            "wrong grants: test_stranger has rights on unified_customers and sees every workspace's rows",
        ),
        (
            "GRANT SELECT ON unified_customers TO PUBLIC",
            "REVOKE SELECT ON unified_customers FROM PUBLIC",
            "advice grants: PUBLIC has rights on unified_customers; no policy shows it a row",
        ),
        (
            f"DROP TABLE webhook_inbox_{TODAY}",
            f"SET ROLE unified_owner; CALL create_inbox_partition('{TODAY}')",
            f"wrong inbox: no partition for {datetime.now(UTC):%Y-%m-%d}",
        ),
        (
            "ALTER TABLE alembic_version RENAME TO elsewhere",
            "ALTER TABLE elsewhere RENAME TO alembic_version",
            "wrong migrations: the database is at revision none",
        ),
        (
            "UPDATE connector_configs SET sync_status = 'syncing', sync_started_at = now() - interval '5h'",
            "UPDATE connector_configs SET sync_status = 'idle'",
            "wrong acme/main: it has been syncing for 5 h",
        ),
        (
            "UPDATE connector_configs SET last_sync_at = now() - interval '3 days'",
            "UPDATE connector_configs SET last_sync_at = NULL",
            "wrong acme/main: it was last synced 3 d ago and is due every 60 min",
        ),
        (
            "UPDATE connector_configs SET needs_reauth = true",
            "UPDATE connector_configs SET needs_reauth = false",
            "wrong acme/main: its authorization has ended",
        ),
        (
            """
            INSERT INTO webhook_dead_letters (workspace_id, connection_id, event_hash, event_key, event_type,
                received_at, body, state, attempts, error, first_failed_at)
            SELECT workspace_id, id, id, 'k', 't', now(), '', 'dead', 1, 'no', now() FROM connector_configs
            """,
            "DELETE FROM webhook_dead_letters",
            "wrong acme/main: 1 webhook event(s) were given up; `unified webhooks dead-letters acme/main`",
        ),
        (
            """
            INSERT INTO inbox_cursors (workspace_id, connection_id, attempts, failing_since, next_attempt_at, error)
            SELECT workspace_id, id, 4, now() - interval '3h', now(), 'no' FROM connector_configs
            """,
            "DELETE FROM inbox_cursors",
            "wrong acme/main: its webhooks have waited for 3 h, after 4 attempt(s)",
        ),
    ],
)
async def test_what_is_wrong_is_found(url: str, broken: str, mended: str, message: str) -> None:
    execute(url, *broken.split("; "))
    try:
        lines = await found(url)
    finally:
        execute(url, *mended.split("; "))
    assert any(line.startswith(message) for line in lines), lines
    assert not any(line.startswith(message) for line in await found(url)), (
        "it is not found when it is not there"
    )


async def test_a_transaction_that_holds_up_the_inbox_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LONG_TRANSACTION", timedelta(0))
    with psycopg.connect(url, application_name="forgotten") as conn:
        conn.execute("SELECT pg_current_xact_id()")
        pid = conn.info.backend_pid
        lines = await found(url)
        conn.rollback()
    (line,) = [line for line in lines if "transactions" in line]
    assert line.startswith(
        f"wrong transactions: pid {pid} (forgotten, of postgres) has had a transaction open for"
    )
    assert f"pg_terminate_backend({pid})" in line


async def test_a_login_without_rights(url: str) -> None:
    login = url.replace("postgres@", "test_login@")
    execute(url, "CREATE ROLE test_login LOGIN NOINHERIT")
    try:
        lines = await found(login)
        missing = "wrong roles: the login can't act as unified_app: GRANT unified_app TO test_login"
        assert any(line in (missing, f"{missing} WITH SET TRUE") for line in lines)
        roles = "unified_app, unified_scheduler, unified_ingress, unified_api, unified_owner"
        execute(url, f"GRANT {roles} TO test_login")
        assert await wrong(login) == []
    finally:
        execute(url, "DROP OWNED BY test_login", "DROP ROLE test_login")


@pytest.mark.parametrize(
    ("ours", "message"), [(0, None), (4, None), (-4, None), (60, "60 s ahead of"), (-60, "60 s behind")]
)
def test_clocks(ours: int, message: str | None) -> None:
    now = datetime.now(UTC)
    assert describe_skew(now, now + timedelta(seconds=ours)) == message


async def test_the_databases_clock_is_looked_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MOST_SKEW", timedelta(seconds=-10))
    assert any(line.startswith("wrong clock: this machine's clock is 0 s") for line in await found(url))


async def test_dagsters_storage(url: str) -> None:
    storage = f"postgresql+psycopg2://{url.partition('://')[2]}"

    async def told(url: str, *, is_embedded: bool = False) -> list[str]:
        return [
            f"{each.level} {each.message}" for each in await examine_storage(url, is_embedded=is_embedded)
        ]

    assert await told(storage) == ["wrong its storage has no tables yet; run `unified migrate`"]
    nowhere = beside(storage, "test_nowhere")
    assert await told(nowhere) == ["wrong its storage does not exist yet; run `unified migrate`"]
    assert (await told(nowhere, is_embedded=True))[0].endswith("`unified dev` makes it")
    (line,) = await told("postgresql+psycopg2://127.0.0.1:1/test_nowhere")
    assert "can't be reached" in line
    execute(url, "CREATE TABLE daemon_heartbeats (timestamp timestamp)")
    try:
        assert (await told(storage))[0].startswith("wrong the daemon has never run")
        execute(url, "INSERT INTO daemon_heartbeats VALUES (now() AT TIME ZONE 'UTC' - interval '3h')")
        assert (await told(storage, is_embedded=True))[0].startswith(
            "advice the daemon has not been heard of for 3 h"
        )
        execute(url, "INSERT INTO daemon_heartbeats VALUES (now() AT TIME ZONE 'UTC')")
        assert await told(storage) == []
        assert "postgresql+psycopg2://" in (await told(url))[0]
    finally:
        execute(url, "DROP TABLE daemon_heartbeats")


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Kiritimati"]
)
@pytest.mark.parametrize(
    "level", ["ALTER DATABASE {0} SET timezone = '{1}'", "ALTER ROLE CURRENT_USER SET timezone = '{1}'"]
)
async def test_dagster_s_storage_in_another_time_zone(server_url: str, zone: str, level: str) -> None:
    """Its times have no zone and are taken for UTC; a daemon that is alive is seen to be in any."""
    name = f"test_{uuid4().hex[:8]}"
    execute(beside(server_url, "postgres"), f"CREATE DATABASE {name}")
    storage = beside(server_url, name)
    url = f"postgresql+psycopg2://{storage.partition('://')[2]}"
    try:
        execute(
            storage,
            "CREATE TABLE daemon_heartbeats (timestamp timestamp NOT NULL)",
            level.format(name, zone),
        )
        execute(storage, "INSERT INTO daemon_heartbeats VALUES (now())")
        (finding,) = await examine_storage(url)
        assert finding.message.startswith(f"its storage is in the time zone {zone}")
        set_utc(storage)
        execute(
            storage,
            "DELETE FROM daemon_heartbeats",
            "INSERT INTO daemon_heartbeats VALUES (now())",
        )
        assert await examine_storage(url) == []
        set_utc(storage)
    finally:
        execute(
            beside(server_url, "postgres"),
            f"DROP DATABASE {name}",
            "ALTER ROLE CURRENT_USER RESET timezone",
        )


async def test_a_time_zone_that_no_database_can_set(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", "Europe/Berlin")
    with pytest.raises(InvalidSettingError, match="unset PGTZ"):
        set_utc(database_url)
