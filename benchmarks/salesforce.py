"""A first load of many Salesforce contacts: peak memory, and how it goes on after it was killed halfway.

    uv run --group dev python benchmarks/salesforce.py 50000 200000

For each size the stand-in serves so many contacts in a process of its own; `unified sync` loads them into an embedded
PostgreSQL, is killed (SIGKILL, with the process that maps) once half of them are stored, and is run again.
"""

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import psutil
import psycopg
from cryptography.fernet import Fernet
from rig import free_port, postgres

from unified.cli.installation import migrate_database
from unified.kit.declarations import ConnectionRef
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets.authorizations import Authorizations, TokenPair
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import MASTER_KEYS_VARIABLE, LocalKeyProvider
from unified.store.workspaces import workspaces

_TOKEN = "00D-fake-acme"  # noqa: S105 - the stand-in's, opens nothing else
_UNIFIED = str(Path(sys.executable).with_name("unified"))
_GENERATING_SECONDS = 1800
_MB = 1024 * 1024


def main() -> None:
    """Load each size and print the peaks and their ratio."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("sizes", nargs="+", type=int, help="contacts, the smaller number first")
    options = arguments.parse_args()
    with postgres() as server:
        migrate_database(server.url)
        peaks = [loaded(server.url, size) for size in options.sizes]
    print(f"ratio of peaks: {peaks[-1] / peaks[0]:.2f}")


def loaded(url: str, size: int) -> float:
    """Load so many contacts in two runs, the first one killed; the higher peak of the two, in MB."""
    keys = Fernet.generate_key().decode()
    environment = {**os.environ, "DATABASE_URL": url, MASTER_KEYS_VARIABLE: keys}
    with standing_in(size) as stand_in:
        name = asyncio.run(connect(url, keys, stand_in, f"crm-{size}"))
        # Records are generated when they are first asked for.
        oracle = httpx.get(f"{stand_in}/_sandbox/salesforce/oracle", timeout=_GENERATING_SECONDS).json()
        contacts = oracle["counts"]["Contact"]
        first = run(name, environment, until=lambda: stored(url, name) >= contacts // 2)
        kept, asked = stored(url, name), requests(stand_in)
        second = run(name, environment)
        found, further = stored(url, name), requests(stand_in) - asked
    if found != contacts:
        sys.exit(f"{found} contacts are stored of {contacts}")
    peak = max(first[0], second[0])
    print(
        f"{contacts} contacts: killed after {kept} in {first[1]:.0f} s and {asked} requests; the rest in "
        f"{second[1]:.0f} s and {further} requests; peak {peak:.0f} MB",
        flush=True,
    )
    return peak


@contextlib.contextmanager
def standing_in(size: int) -> Iterator[str]:
    """The stand-in's URL, as long as it serves."""
    port = free_port()
    sizes = {"accounts": 20, "contacts": size, "invoices": 0}
    options = [f"--salesforce-{kind}={count}" for kind, count in sizes.items()]
    command = [sys.executable, "-m", "unified.sandbox", f"--port={port}", "--no-limits", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/_sandbox/salesforce/stats")
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


async def connect(url: str, keys: str, stand_in: str, name: str) -> str:
    """A connection to the stand-in's org; its key."""
    async with Database.open(url) as db:
        credentials = CredentialStore(db, LocalKeyProvider([keys]))
        owner = await workspaces.create(db, name)
        # The stand-in looks at every contact to count them, as Salesforce does.
        settings = {"base_url": f"{stand_in}/salesforce", "allow_private_hosts": True, "timeout": 300}
        made = await Registry(db).add_connection(
            owner.id, "salesforce", name, settings, streams=("contacts",)
        )
        ref = ConnectionRef(made.id, owner.id, made.key, made.streams)
        authorizations = Authorizations(db, credentials, actor="benchmark")
        tokens = TokenPair(Secret(_TOKEN))
        await authorizations.authorize(ref, "authorization_code", tokens, client={}, account_id=None)
        return made.key


def run(
    name: str, environment: Mapping[str, str], until: Callable[[], bool] = lambda: False
) -> tuple[float, float]:
    """Run `unified sync`, or kill it once ``until`` holds; its peak in MB with that of its children, and seconds."""
    started, peak, is_killed = time.monotonic(), 0.0, False
    process = psutil.Popen([_UNIFIED, "sync", name, "--json"], env=environment, stdout=subprocess.DEVNULL)
    looked = started
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family) / _MB)
            if time.monotonic() - looked > 1:
                looked = time.monotonic()
                if until():
                    is_killed = True
                    for one in family:
                        one.kill()
        time.sleep(0.1)
    if process.returncode and not is_killed:
        sys.exit(f"the sync of {name} failed")
    return peak, time.monotonic() - started


def stored(url: str, name: str) -> int:
    """How many contacts of a connection are stored, by the owner of the database."""
    workspace = name.partition("/")[0]
    query = """
        SELECT count(*) FROM unified_customers AS c JOIN workspaces AS w ON w.id = c.workspace_id
        WHERE w.slug = %s AND c.deleted_at IS NULL
    """
    with psycopg.connect(url) as conn:
        return int((conn.execute(query, (workspace,)).fetchone() or (0,))[0])


def requests(stand_in: str) -> int:
    """How many requests the stand-in has had."""
    answer = httpx.get(f"{stand_in}/_sandbox/salesforce/stats", timeout=60).json()
    return int(sum(answer["requests"].values()))


if __name__ == "__main__":
    main()
