"""What encryption costs, and a rotation of many workspaces' keys while other processes read and write.

    uv run --group dev python benchmarks/keys.py

Encrypting and decrypting include reading and unwrapping the workspace's data key. The readers are processes of their
own, started before the rotation with the old key; a read that fails ends the benchmark with an error.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from rig import postgres

from unified.cli.installation import migrate_database
from unified.kit.secrets import Secret
from unified.sandbox.vault import VaultSandbox
from unified.store import removal
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets import data_keys
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import FileKeyProvider, KeyProvider
from unified.store.secrets.vault import VaultKeyProvider
from unified.store.workspaces import workspaces

ALLOWED_MS = 1.0
SAMPLES = 500
_VAULT_TOKEN = "root-fake-benchmark"  # noqa: S105 - opens nothing but this


def main() -> None:
    """Measure, or be one of the readers."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workspaces", type=int, default=10_000)
    arguments.add_argument("--readers", type=int, default=2, help="processes that read and write meanwhile")
    arguments.add_argument("--batch", type=int, default=100, help="data keys per transaction of the rotation")
    arguments.add_argument("--read", nargs=2, metavar=("URL", "FILE"), help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.read:
        asyncio.run(_read_on(options.read[0], Path(options.read[1])))
        return
    with postgres() as server:
        migrate_database(server.url)
        asyncio.run(_measure(server.url, server.folder, options))


async def _measure(url: str, folder: Path, options: argparse.Namespace) -> None:
    keys = FileKeyProvider(folder / "bench.keys")
    async with Database.open(url) as db:
        connection = await _first(db, keys)
        await _costs("key file", db, keys, *connection)
        with VaultSandbox(token=_VAULT_TOKEN) as vault:
            environment = {"VAULT_ADDR": vault.url, "VAULT_TOKEN": _VAULT_TOKEN}
            other = await workspaces.create(db, "vault")
            added = await Registry(db).add_connection(other.id, "stripe", "main")
            remembered = VaultKeyProvider.from_environment(environment)
            await _costs("Vault", db, remembered, other.id, added.id)
            await removal.delete_workspace(db, other.id)
        await _fill(url, keys, options.workspaces)
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, __file__, "--read", url, str(folder / "bench.keys"))
        readers = [
            await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
            for _ in range(options.readers)
        ]
        for reader in readers:
            assert reader.stdout is not None  # noqa: S101 - a pipe was asked for
            await reader.stdout.readline()
        began = time.perf_counter()
        report = await data_keys.rotate(db, keys, batch_size=options.batch)
        took = time.perf_counter() - began
        told = [json.loads((await reader.communicate(b""))[0] or "{}") for reader in readers]
        if any(reader.returncode for reader in readers):
            sys.exit("a reader failed; what it says stands above")
        assert await data_keys.status(db) == {report.primary_key_id: report.rewrapped}  # noqa: S101
        uses = sum(each["uses"] for each in told)
        worst = max(each["worst_ms"] for each in told)
        print(
            f"{report.rewrapped:,} data keys moved in {took:.1f} s ({report.rewrapped / took:,.0f} a second); "
            f"meanwhile {uses:,} uses of credentials in {len(readers)} processes, none failed, "
            f"the slowest {worst:.0f} ms"
        )


async def _first(db: Database, keys: KeyProvider) -> tuple[UUID, UUID]:
    workspace = await workspaces.create(db, "bench")
    connection = await Registry(db).add_connection(workspace.id, "stripe", "main")
    fields = {"api_key": Secret("sk_test_fake_benchmark")}
    await CredentialStore(db, keys).put(workspace.id, connection.id, "api_key", fields)
    return workspace.id, connection.id


async def _costs(name: str, db: Database, keys: KeyProvider, workspace: UUID, connection: UUID) -> None:
    store, secret = CredentialStore(db, keys), Secret("sk_test_fake_" + "x" * 100)
    encrypting, decrypting = [], []
    async with db.workspace(workspace) as conn:
        for _ in range(SAMPLES):
            began = time.perf_counter()
            sealed = await store.seal(conn, workspace, connection, "benchmark", secret)
            between = time.perf_counter()
            await store.unseal(conn, workspace, connection, "benchmark", sealed)
            decrypting.append(time.perf_counter() - between)
            encrypting.append(between - began)
    for what, times in (("encrypt", encrypting), ("decrypt", decrypting)):
        p95 = statistics.quantiles(times, n=20)[-1]
        print(
            f"{what} with the {name}: p50 {statistics.median(times) * 1e3:.2f} ms, p95 {p95 * 1e3:.2f} ms "
            f"({ALLOWED_MS} ms is allowed)"
        )


async def _fill(url: str, keys: KeyProvider, workspaces: int) -> None:
    """Workspaces with a data key each, wrapped by the key file's key; by COPY, as it is the rotation that counts."""
    with psycopg.connect(url) as conn:
        missing = workspaces - 1  # the first one is there
        slugs = [(uuid4(), f"w-{number}") for number in range(missing)]
        with conn.cursor().copy("COPY workspaces (id, slug, name) FROM STDIN") as copy:
            for workspace_id, slug in slugs:
                copy.write_row((workspace_id, slug, slug))
        with conn.cursor().copy(
            "COPY workspace_keys (workspace_id, wrapped_key, master_key_id) FROM STDIN"
        ) as copy:
            for workspace_id, _ in slugs:
                copy.write_row((workspace_id, *await keys.wrap(os.urandom(32))))
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")


async def _read_on(url: str, file: Path) -> None:
    """Use and replace the credential of one workspace, and any workspace's data key, until standard input ends."""
    uses, worst = 0, 0.0
    async with Database.open(url) as db:
        keys: Any = FileKeyProvider(file)
        store, registry = CredentialStore(db, keys), Registry(db)
        workspace_ids = [workspace.id for workspace in await workspaces.listed(db)]
        connection = await registry.find("bench/main")
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        print("ready", flush=True)
        while not ended.done():
            began = time.perf_counter()
            fields = await store.reveal(
                connection.workspace_id, connection.id, actor="benchmark", purpose="read"
            )
            await store.put(connection.workspace_id, connection.id, "api_key", fields)
            for workspace_id in random.sample(workspace_ids, 5):
                async with db.workspace(workspace_id) as conn:
                    await data_keys.current(conn, keys, workspace_id)
            uses += 7
            worst = max(worst, time.perf_counter() - began)
    print(json.dumps({"uses": uses, "worst_ms": worst * 1e3}))


if __name__ == "__main__":
    main()
