"""`unified doctor`: what is misconfigured, and what to do about it.

What is looked for in the database, and how: `unified.store.doctor.examine`.
"""

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import httpx
import typer

from resources.celery_names import BROKER_VARIABLE
from unified.api.settings import PUBLIC_URL_VARIABLE, ManagementSettings, Settings
from unified.cli.arguments import AsJson
from unified.cli.installation import is_embedded, storage_url
from unified.cli.output import out, print_json
from unified.cli.session import Session, asynchronous
from unified.kit.errors import AdapterError
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.doctor import examine as doctor
from unified.store.doctor.findings import Finding
from unified.store.errors import StoreError
from unified.store.secrets import data_keys
from unified.store.secrets.keys import KEY_FILE
from unified.store.secrets.providers import key_file, load_provider
from unified.store.server.urls import database_url

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LEAST_FREE = 2**30
_LEAST_FREE_SHARE = 0.05


@asynchronous
async def examine(
    *,
    providers: Annotated[
        bool,
        typer.Option("--providers", help="Also ask each connection's provider, with its credential."),
    ] = False,
    watch: Annotated[
        float | None,
        typer.Option(
            "--watch",
            min=1,
            metavar="SECONDS",
            help="Look again so often, and print what comes and what goes, until Ctrl-C.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is misconfigured, a line for each finding with what to do. Exits with 1 if anything is wrong.

    Looks at the database (version, settings, roles, isolation, migrations, clock, long transactions, inbox), the
    master keys, Dagster's storage, Celery's broker and workers, the disk, the HTTP server's settings and how
    connections stand. It changes nothing. Set the environment variables that the services have.
    """
    if watch is not None:
        await _watch(watch, with_providers=providers, as_json=as_json)
    findings = [finding async for finding in _findings(with_providers=providers)]
    findings.sort(key=lambda finding: finding.level, reverse=True)  # what is wrong first
    wrong = sum(finding.level == "wrong" for finding in findings)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            out.print(f"{finding.level:<6}  {finding.about}: {finding.message}", soft_wrap=True)
        advice = len(findings) - wrong
        out.print(
            f"{wrong} wrong, {advice} worth a thought." if findings else "All is as it should be.",
            soft_wrap=True,
        )
    if wrong:
        raise typer.Exit(1)


async def _watch(seconds: float, *, with_providers: bool, as_json: bool) -> NoReturn:
    """Print each finding when it is first there and when it is gone, a line each, with the time."""
    known: dict[tuple[str, ...], Finding] = {}
    while True:
        found = {_identity(one): one async for one in _findings(with_providers=with_providers)}
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        changes = [
            *(("gone", one) for key, one in known.items() if key not in found),
            *((one.level, one) for key, one in found.items() if key not in known),
        ]
        for state, finding in changes:
            if as_json:
                typer.echo(json.dumps({"at": now, "state": state, **finding._asdict()}))
            else:
                typer.echo(f"{now}  {state:<6}  {finding.about}: {finding.message}")
        known = found
        await asyncio.sleep(seconds)


def _identity(finding: Finding) -> tuple[str, ...]:
    """What makes a finding the same one later: ages, counts and sizes in its message go on changing."""
    return finding.level, finding.about, re.sub(r"[\d.,:]+", "#", finding.message)


async def _findings(*, with_providers: bool) -> AsyncIterator[Finding]:
    folder = _home()
    for finding in (*_settings(), *_disk(folder), *_celery()):
        yield finding
    if is_embedded() and not (folder / "postgres").is_dir():
        yield Finding("wrong", "database", f"there is none in {folder} yet; `unified dev` makes it")
        return
    found = []
    try:
        url = database_url()
        found = await doctor.examine(url, is_embedded=is_embedded())
        found += await doctor.examine_storage(storage_url(url), is_embedded=is_embedded())
        found += _public_url(await doctor.active_endpoints(url))
        async with Database.open(url) as db:
            found += [finding async for finding in _keys(db, folder)]
            if with_providers:
                found += [finding async for finding in _providers(db)]
    except StoreError as error:
        # Where it is among the findings already that the database is not as it has to be, this says no more.
        if not any(finding.level == "wrong" for finding in found):
            yield Finding("wrong", "database", str(error))
    for finding in found:
        yield finding


def _home() -> Path:
    """The folder of an embedded installation; unlike `unified.store.server.embedded.home` it is not made."""
    return Path(os.environ.get("UNIFIED_HOME") or ".unified").absolute()


def _settings() -> Iterator[Finding]:
    """The HTTP server's."""
    try:
        settings = Settings.from_environment(address="http://127.0.0.1:8000")
        if settings.management.jwt and settings.management.jwt.secret:
            yield Finding(
                "advice",
                "api",
                "JWTs are checked with a shared secret, with which one can also make them; prefer the issuer's "
                "public keys (UNIFIED_JWT_JWKS_URL)",
            )
    except StoreError as error:
        yield Finding("wrong", "api", f"its settings can't be used: {error}")


def _disk(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        return
    total, _, free = shutil.disk_usage(folder)
    if free < _LEAST_FREE or free < _LEAST_FREE_SHARE * total:
        yield Finding(
            "wrong",
            "disk",
            f"{free / 2**20:,.0f} MB are left where {folder} is; PostgreSQL stops when it is full",
        )


def _celery() -> Iterator[Finding]:
    """Where runs are tasks of Celery workers."""
    if not (url := os.environ.get(BROKER_VARIABLE)):
        return
    if urlsplit(url).scheme not in ("redis", "rediss"):
        yield Finding("wrong", "celery", f"{BROKER_VARIABLE} has to begin with redis:// or rediss://")
        return
    try:
        # Celery, which is an extra, and Dagster
        from resources.celery_broker import client_app, idle_queues, trouble  # noqa: PLC0415
    except ImportError:
        yield Finding("wrong", "celery", f"{BROKER_VARIABLE} is set, and the extra `celery` is not installed")
        return
    app = client_app(url)
    if reason := trouble(app):
        yield Finding(
            "wrong", "celery", f"no run can begin: {reason}; start it, or correct {BROKER_VARIABLE}"
        )
        return
    for queue in idle_queues(app):
        yield Finding("wrong", "celery", f"no worker takes the queue {queue}; start one (docs/deploy.md)")


def _public_url(endpoints: int) -> Iterator[Finding]:
    url = urlsplit(os.environ.get(PUBLIC_URL_VARIABLE, ""))
    if endpoints and (url.scheme != "https" or url.hostname in _LOOPBACK):
        # Stand-ins on this machine deliver here as well; that is what the demo does.
        yield Finding(
            "advice" if is_embedded() else "wrong",
            "webhooks",
            f"{endpoints} endpoint(s) wait for deliveries, and {PUBLIC_URL_VARIABLE} is "
            f"{'not set' if not url.scheme else 'no https URL that providers can reach'}; say where they reach this "
            "server (docs/webhooks.md)",
        )


async def _keys(db: Database, folder: Path) -> AsyncIterator[Finding]:
    in_use = await data_keys.status(db)
    file = folder / KEY_FILE
    is_file = key_file() is not None
    if is_file and not file.exists():
        if in_use:
            yield Finding(
                "wrong",
                "keys",
                f"{file} is missing, and {sum(in_use.values())} data key(s) can't be unwrapped without it; put it "
                "back from your backup",
            )
        return
    try:
        provider = load_provider()
        primary = await provider.primary_key_id()
        outcomes = await data_keys.unwrapped_by(db, provider)
    except StoreError as error:
        yield Finding("wrong", "keys", str(error))
        return
    for key_id, reason in outcomes.items():
        if reason:
            yield Finding(
                "wrong", "keys", f"{in_use.get(key_id, 0)} data key(s) can't be unwrapped: {reason}"
            )
        elif key_id != primary:
            yield Finding(
                "advice",
                "keys",
                f"{in_use.get(key_id, 0)} data key(s) are still wrapped by the former master key {key_id}; "
                "`unified keys rotate` moves them",
            )
    if is_file:
        yield Finding(
            "advice",
            "keys",
            f"{file} lies beside the database that it protects: keep a copy elsewhere, or lose the credentials with it",
        )


async def _providers(db: Database) -> AsyncIterator[Finding]:
    jwt = ManagementSettings.from_environment().jwt
    if jwt and jwt.jwks_url:
        try:
            async with httpx.AsyncClient(timeout=10) as client:
                (await client.get(jwt.jwks_url)).raise_for_status()
        except httpx.HTTPError as error:
            yield Finding(
                "wrong", "api", f"{jwt.jwks_url} gives no keys ({type(error).__name__}), so no JWT is taken"
            )
    session = Session(db, Registry(db))
    adapters = session.adapters()
    for connection in await session.registry.all_connections():
        if not connection.is_active:
            continue
        try:
            adapter = await adapters.create(connection.workspace_id, connection.id, purpose="test")
            async with adapter:
                await adapter.test()
                theirs, ours = adapter.http.server_time, datetime.now(UTC)
        except (AdapterError, StoreError) as error:
            yield Finding("wrong", connection.key, str(error))
            continue
        # The header has whole seconds, and was written a moment ago.
        if theirs and (skew := doctor.describe_skew(theirs, ours, timedelta(seconds=2))):
            yield Finding(
                "wrong", "clock", f"this machine's clock is {skew} {connection.connector}'s; use NTP"
            )
