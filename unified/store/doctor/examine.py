"""What is wrong with a database, its roles and its server, as findings that say what to do. Nothing is changed.

It looks with the login's own eyes and, where rows matter, as the roles that do the work; it opens no
`unified.store.database.Database`, which refuses what is looked for here. What is wrong outside of the database:
`unified.cli.commands.operation.doctor`.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import psycopg
from psycopg import AsyncConnection

from unified.store import poolers
from unified.store.connections import waits
from unified.store.connections.rows import READS
from unified.store.doctor import access
from unified.store.doctor.findings import Finding, Findings, ask, ask_as
from unified.store.errors import PoolerError
from unified.store.inbox import horizon
from unified.store.migrate import UTC_NAMES
from unified.store.migrations import HEAD
from unified.store.restored import SAID
from unified.store.server.checks import OLDEST_SERVER
from unified.store.server.failures import clear_errors
from unified.store.server.roles import APP_ROLE, INGRESS_ROLE, SCHEDULER_ROLE
from unified.store.server.urls import check_url, lacks_database
from unified.store.sessions import Session

MOST_SKEW = timedelta(seconds=5)
"""How far this machine's clock may be from another: signatures, tokens and cursors are dated."""

# Twelve runs at once with a handful of connections each, Dagster's own processes, the HTTP server's pools.
_ENOUGH_CONNECTIONS = 100
_LONG_TRANSACTION = timedelta(minutes=1)
# A run's time limit is an hour; what has been "syncing" for longer was left behind.
_LONGEST_SYNC = timedelta(hours=2)
_OVERDUE = 3  # intervals
_DAYS_AHEAD = 2
_GIBIBYTE = 2**30
_DAEMON_SILENT = timedelta(minutes=5)

_Check = Callable[[AsyncConnection[Any]], Findings]


async def examine(url: str, *, is_embedded: bool = False) -> list[Finding]:
    """Look at a database.

    Args:
        url: A ``postgresql://`` URL, of the login that the services use.
        is_embedded: Whether the server is the embedded one, where only this user comes and nobody configures.

    Returns:
        What was found; empty where all is well.

    Raises:
        DatabaseUrlError, UnreachableError: If it can't be looked at.
    """
    with clear_errors("opening the database"):
        conn = await Session.connect(check_url(url), autocommit=True, application_name="unified doctor")
    checks: list[_Check] = [_server, _clock, access.roles, _transactions]
    if not is_embedded:
        checks += [access.login]
    async with conn:
        try:
            if await ask(conn, poolers.SERVING) != [(conn.info.backend_pid,)]:
                await poolers.refuse_shared_sessions(url)
        except PoolerError as error:
            # The rest would be judged by sessions of others.
            return [Finding("wrong", "pooler", str(error))]
        found = [finding for check in checks for finding in await _run(conn, check)]
        state = await _revision(conn)
        if state is not None:
            return [*found, state]
        for check in (
            access.isolation,
            access.grants,
            _positions,
            _held_up,
            _partitions,
            _connections,
            _dead_letters,
        ):
            found += await _run(conn, check)
    return found


async def active_endpoints(url: str) -> int:
    """How many webhook endpoints there are that providers may deliver to; 0 where it can't be said."""
    try:
        async with await Session.connect(url) as conn:
            return int((await ask_as(conn, INGRESS_ROLE, "SELECT count(*) FROM webhook_configs"))[0][0])
    except psycopg.Error:
        return 0


async def examine_storage(url: str, *, is_embedded: bool = False) -> list[Finding]:
    """Look at the database of Dagster's own storage.

    Args:
        url: As Dagster is given it: ``postgresql+psycopg2://…``.
        is_embedded: Whether Dagster runs on this machine only while `unified dev` does.
    """
    about, scheme, rest = "dagster", *url.partition("://")[::2]
    level: Literal["wrong", "advice"] = "advice" if is_embedded else "wrong"
    found = []
    if scheme != "postgresql+psycopg2":
        found.append(
            Finding(
                "wrong",
                about,
                "DAGSTER_POSTGRES_URL has to begin with postgresql+psycopg2:// to be read aright",
            )
        )
    try:
        conn = await Session.connect(
            f"postgresql://{rest}", autocommit=True, application_name="unified doctor"
        )
        async with conn:
            ((zone,),) = await ask(conn, "SELECT current_setting('TimeZone')")
            if zone not in UTC_NAMES:
                found.append(
                    Finding(
                        "wrong",
                        about,
                        f"its storage is in the time zone {zone}, and Dagster reads its times as UTC: retries and "
                        "webhooks can wait for hours; run `unified migrate`, and restart Dagster",
                    )
                )
            # Dagster writes times of a zone into a column without one, so they are of the session's.
            ((heard,),) = await ask(conn, "SELECT localtimestamp - max(timestamp) FROM daemon_heartbeats")
    except psycopg.errors.UndefinedTable:
        return [*found, Finding(level, about, "its storage has no tables yet; run `unified migrate`")]
    except psycopg.Error as error:
        if await asyncio.to_thread(lacks_database, f"postgresql://{rest}"):
            how = "`unified dev` makes it" if is_embedded else "run `unified migrate`"
            return [*found, Finding(level, about, f"its storage does not exist yet; {how}")]
        reason = " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())
        return [
            *found,
            Finding(level, about, f"its storage can't be reached ({reason}); see DAGSTER_POSTGRES_URL"),
        ]
    if heard is None or heard > _DAEMON_SILENT:
        when = f"has not been heard of for {_ago(heard)}" if heard else "has never run"
        how = "`unified dev` starts it" if is_embedded else "start dagster-daemon"
        found.append(
            Finding(
                level, about, f"the daemon {when}, so neither schedules nor webhooks are looked after; {how}"
            )
        )
    return found


async def _run(conn: AsyncConnection[Any], check: _Check) -> list[Finding]:
    """A check's findings. One that can't be made is a finding too."""
    try:
        return [finding async for finding in check(conn)]
    except psycopg.Error as error:
        reason = " ".join((error.diag.message_primary or type(error).__name__).split())
        return [Finding("wrong", check.__name__.strip("_"), f"could not be looked at: {reason}")]


# The server -------------------------------------------------------------------------------------------------------


async def _server(conn: AsyncConnection[Any]) -> Findings:
    version = conn.info.server_version // 10000
    if version < OLDEST_SERVER:
        yield Finding("wrong", "server", f"PostgreSQL {version} is too old; move to {OLDEST_SERVER} or newer")
    settings = dict(
        await ask(
            conn,
            """
            SELECT name, CASE WHEN name = 'default_toast_compression' THEN enumvals::text ELSE setting END
            FROM pg_settings WHERE name = ANY(%s)
            """,
            [
                "fsync",
                "full_page_writes",
                "synchronous_commit",
                "max_connections",
                "default_toast_compression",
                "idle_in_transaction_session_timeout",
                "max_wal_size",
                "transaction_read_only",
            ],
        )
    )
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if settings[name] == "off":
            yield Finding(
                "wrong",
                "server",
                f"{name} is off: what was answered as stored can be lost in a crash; turn it on",
            )
    if settings["transaction_read_only"] == "on":
        yield Finding(
            "wrong", "server", "it is read-only, a standby perhaps; DATABASE_URL has to lead to the primary"
        )
    if int(settings["max_connections"]) < _ENOUGH_CONNECTIONS:
        yield Finding(
            "advice",
            "server",
            f"max_connections is {settings['max_connections']}; syncs, Dagster and the HTTP server together open "
            f"up to {_ENOUGH_CONNECTIONS}: raise it, or lower max_concurrent_runs in dagster.yaml",
        )
    ((used,),) = await ask(
        conn, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    if used > 0.9 * int(settings["max_connections"]):
        yield Finding(
            "wrong", "server", f"{used} of {settings['max_connections']} connections are taken; raise it"
        )
    if "lz4" not in settings["default_toast_compression"]:
        yield Finding(
            "advice",
            "server",
            "it is built without lz4, so raw records are stored as long as they are; nothing to do on a small "
            "installation, and `unified raw compress` on a large one",
        )
    if settings["idle_in_transaction_session_timeout"] == "0":
        yield Finding(
            "advice",
            "server",
            "idle_in_transaction_session_timeout is 0: a forgotten session of anybody's can hold up webhooks for "
            "ever; set it to 10min",
        )
    if int(settings["max_wal_size"]) * 2**20 < _GIBIBYTE:
        yield Finding(
            "advice", "server", "max_wal_size is below 1GB: a first load forces checkpoints; set it to 2GB"
        )


async def _clock(conn: AsyncConnection[Any]) -> Findings:
    started, before = datetime.now(UTC), time.monotonic()
    ((theirs,),) = await ask(conn, "SELECT clock_timestamp()")
    half = timedelta(seconds=(time.monotonic() - before) / 2)
    if skew := describe_skew(theirs, started + half, half):
        yield Finding(
            "wrong", "clock", f"this machine's clock is {skew} the database's; synchronise both by NTP"
        )


def describe_skew(theirs: datetime, ours: datetime, uncertain: timedelta = timedelta(0)) -> str | None:
    """``12 s behind`` or ``12 s ahead of``, or None where two clocks agree well enough."""
    skew = ours - theirs
    if abs(skew) <= MOST_SKEW + uncertain:
        return None
    return f"{abs(skew).total_seconds():.0f} s {'ahead of' if skew > timedelta(0) else 'behind'}"


async def _revision(conn: AsyncConnection[Any]) -> Finding | None:
    try:
        rows = await ask_as(conn, APP_ROLE, "SELECT version_num FROM public.alembic_version")
    except psycopg.errors.UndefinedTable:
        rows = []
    except psycopg.errors.InsufficientPrivilege:
        return Finding("wrong", "migrations", f"they can't be looked at: the login can't act as {APP_ROLE}")
    revision = rows[0][0] if rows else None
    if revision == HEAD:
        return None
    return Finding(
        "wrong",
        "migrations",
        f"the database is at revision {revision or 'none'} and this release needs {HEAD}; run `unified migrate`",
    )


# What goes on -----------------------------------------------------------------------------------------------------


async def _transactions(conn: AsyncConnection[Any]) -> Findings:
    """What keeps the inbox's horizon back: events are read once nothing older can still commit."""
    rows = await ask(
        conn,
        """
        SELECT l.pid, a.application_name, a.usename, a.datname, a.state, clock_timestamp() - a.xact_start
        FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid IS NOT NULL
            AND l.pid <> pg_backend_pid()
        ORDER BY a.xact_start NULLS LAST
        """,
    )
    hidden = 0
    for pid, application, user, database, state, age in rows:
        if age is None:
            hidden += 1
        elif age > _LONG_TRANSACTION:
            yield Finding(
                "wrong",
                "transactions",
                f"pid {pid} ({application or 'no application_name'}, of {user}) has had a transaction open for "
                f"{_ago(age)} ({state}) in the database {database} and holds up webhooks and routes on the whole "
                "server; end it, or "
                f"SELECT pg_terminate_backend({pid})",
            )
    if hidden:
        yield Finding(
            "advice",
            "transactions",
            f"{hidden} transaction(s) of others can't be seen: GRANT pg_read_all_stats TO {conn.info.user}",
        )
    for name, age in await ask(conn, "SELECT gid, clock_timestamp() - prepared FROM pg_prepared_xacts"):
        if age > _LONG_TRANSACTION:
            yield Finding(
                "wrong",
                "transactions",
                f"the prepared transaction {name} is {_ago(age)} old and holds up webhooks: "
                f"COMMIT PREPARED or ROLLBACK PREPARED '{name}'",
            )


async def _positions(conn: AsyncConnection[Any]) -> Findings:
    ((is_foreign,),) = await ask_as(conn, SCHEDULER_ROLE, "SELECT positions_are_foreign()")
    if is_foreign:
        yield Finding("wrong", "positions", SAID)


async def _held_up(conn: AsyncConnection[Any]) -> Findings:
    async with conn.transaction():
        await conn.execute(f"SET LOCAL ROLE {SCHEDULER_ROLE}".encode())
        found = await horizon.held_up(conn)
    for held in found.connections.values() if found else ():
        age = datetime.now(UTC) - held.oldest_at
        yield Finding(
            "wrong",
            held.connection,
            f"{held.events} webhook event(s), the oldest of {_ago(age)} ago, can't be read yet; they wait for "
            f"{found.by if found else ''}",
        )


async def _partitions(conn: AsyncConnection[Any]) -> Findings:
    missing = await ask(
        conn,
        """
        SELECT day::date::text FROM generate_series(
            date_trunc('day', now() AT TIME ZONE 'UTC'), (now() AT TIME ZONE 'UTC') + %s, interval '1 day'
        ) AS day WHERE to_regclass('webhook_inbox_' || to_char(day, 'YYYYMMDD')) IS NULL
        """,
        timedelta(days=_DAYS_AHEAD),
    )
    if missing:
        days = ", ".join(day for (day,) in missing)
        yield Finding(
            "wrong",
            "inbox",
            f"no partition for {days}; events go to webhook_inbox_other, where they are not dropped by the day. "
            "Dagster's daemon makes partitions ahead: does it run, with the sensor inbox_retention switched on?",
        )


async def _connections(conn: AsyncConnection[Any]) -> Findings:
    rows = await ask_as(
        conn,
        SCHEDULER_ROLE,
        f"""
        SELECT w.slug || '/' || c.name, now() - c.sync_started_at,
            now() - c.last_sync_at, make_interval(mins => c.sync_interval_minutes), c.sync_status,
            c.needs_reauth, c.approval,
            {waits.until("now()")}
        FROM connector_configs AS c JOIN workspaces AS w ON w.id = c.workspace_id
        WHERE c.is_active ORDER BY 1
        """,  # noqa: S608 - an expression of the store's own
    )
    for key, running, since, interval, status, needs_reauth, approval, waits_until in rows:
        if needs_reauth:
            yield Finding("wrong", key, "its authorization has ended; authorize it again")
        elif approval == "pending":
            yield Finding("advice", key, "it waits for an admin's approval")
        elif waits_until:
            yield Finding(
                "advice",
                key,
                f"its provider asked to be left alone until {waits_until:%Y-%m-%d %H:%M %Z}; `unified status` says why",
            )
        elif status == "syncing" and running is not None and running > _LONGEST_SYNC:
            yield Finding(
                "wrong",
                key,
                f"it has been syncing for {_ago(running)}, longer than a run may take: its process is gone; "
                f"`unified sync {key}` goes on from its last commit",
            )
        elif status != "syncing" and since is not None and since > _OVERDUE * interval + _LONG_TRANSACTION:
            yield Finding(
                "wrong",
                key,
                f"it was last synced {_ago(since)} ago and is due every {_ago(interval)}; does Dagster's daemon run?",
            )
    troubled = await ask_as(
        conn,
        SCHEDULER_ROLE,
        """
        SELECT w.slug || '/' || c.name, now() - i.failing_since, i.attempts
        FROM inbox_cursors AS i
        JOIN connector_configs AS c ON (c.workspace_id, c.id) = (i.workspace_id, i.connection_id)
        JOIN workspaces AS w ON w.id = c.workspace_id WHERE i.attempts > 0 ORDER BY 1
        """,
    )
    for key, since, attempts in troubled:
        yield Finding(
            "wrong",
            key,
            f"its webhooks have waited for {_ago(since)}, after {attempts} attempt(s); `unified status` says why",
        )
    unreported = await ask_as(
        conn,
        SCHEDULER_ROLE,
        f"""
        SELECT w.slug || '/' || c.name, h.stream, h.report ->> 'error'
        FROM cursors AS h
        JOIN connector_configs AS c ON (c.workspace_id, c.id) = (h.workspace_id, h.connector_config_id)
        JOIN connectors AS k ON k.name = c.connector
        JOIN workspaces AS w ON w.id = c.workspace_id
        WHERE c.is_active AND h.report ->> 'error' IS NOT NULL AND {READS} ORDER BY 1, 2
        """,  # noqa: S608 - an expression of ours
    )
    for key, stream, error in unreported:
        yield Finding("wrong", key, f"its provider was not told whose data are kept ({stream}): {error}")


async def _dead_letters(conn: AsyncConnection[Any]) -> Findings:
    rows = await ask_as(
        conn,
        SCHEDULER_ROLE,
        """
        SELECT w.slug || '/' || c.name, d.letters FROM connector_configs AS c
        JOIN workspaces AS w ON w.id = c.workspace_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS letters FROM webhook_dead_letters
            WHERE (workspace_id, connection_id) = (c.workspace_id, c.id) AND state = 'dead'
        ) AS d
        WHERE d.letters > 0 ORDER BY 1
        """,
    )
    for key, count in rows:
        yield Finding(
            "wrong",
            key,
            f"{count} webhook event(s) were given up; `unified webhooks dead-letters {key}` says why, "
            f"`unified webhooks replay {key}` tries them again",
        )


def _ago(span: timedelta) -> str:
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if span.total_seconds() >= 2 * seconds:
            return f"{span.total_seconds() / seconds:.0f} {unit}"
    return f"{span.total_seconds():.0f} s"
