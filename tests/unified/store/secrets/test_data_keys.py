import asyncio
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets import data_keys
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import (
    FileKeyProvider,
    LocalKeyProvider,
    UnknownMasterKeyError,
    WrappedKey,
    fingerprint,
    generate_key,
)
from unified.store.workspaces import workspaces

ROOT = Path(__file__).parents[4]
WORKSPACES = 4

# A rotation that is killed on the way, at a point counted in calls and not in time.
KILLED_ROTATION = """
import asyncio, os, signal, sys
from pathlib import Path
from unified.store.secrets.data_keys import rotate
from unified.store.database import Database
from unified.store.secrets.keys import FileKeyProvider

url, file, point, survived = sys.argv[1:]

class Killed(FileKeyProvider):
    calls = 0
    def reach(self, here):
        if here == point:
            self.calls += 1
            if self.calls > int(survived):
                os.kill(os.getpid(), signal.SIGKILL)
    async def wrap(self, data_key):
        self.reach("wrap")
        return await super().wrap(data_key)
    async def renew(self):
        await super().renew()
        self.reach("after renewing")
    async def retire(self, in_use):
        self.reach("before retiring")
        retired = await super().retire(in_use)
        self.reach("after retiring")
        return retired

async def main():
    async with Database.open(url) as db:
        await rotate(db, Killed(Path(file)), batch_size=1)

asyncio.run(main())
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "master.keys"


def keys_in(file: Path) -> list[str]:
    """Ids of the file's master keys."""
    return [fingerprint(key) for key in file.read_text().split()]


async def fill(database: Database, store: CredentialStore, first: int = 0) -> list[tuple[UUID, UUID]]:
    """Some workspaces, each with a connection and its secret."""
    registry = Registry(database)
    places = []
    for number in range(first, first + WORKSPACES):
        workspace = await workspaces.create(database, f"workspace-{number}")
        connection = await registry.add_connection(workspace.id, "stripe", "stripe")
        await store.put(workspace.id, connection.id, "api_key", {"api_key": Secret(f"of {connection.id}")})
        places.append((workspace.id, connection.id))
    return places


async def read_all(store: CredentialStore, places: list[tuple[UUID, UUID]]) -> None:
    for workspace_id, connection_id in places:
        secrets = await store.reveal(workspace_id, connection_id, actor="tests", purpose="test")
        assert secrets == {"api_key": Secret(f"of {connection_id}")}


async def until_it_waits(task: "asyncio.Task[Any]", database_url: str, kind: str = "advisory") -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as watch:
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = %s AND NOT granted"
        while not await (await watch.execute(waiting, (kind,))).fetchone():
            assert not task.done()
            await asyncio.sleep(0.01)


async def test_a_rotation_moves_every_data_key_and_drops_the_old_master_key(
    database: Database, file: Path
) -> None:
    provider = FileKeyProvider(file)
    old = await provider.primary_key_id()
    places = await fill(database, CredentialStore(database, provider))
    assert await data_keys.status(database) == {old: WORKSPACES}

    report = await data_keys.rotate(database, provider, batch_size=3)

    (new,) = keys_in(file)
    assert report == (new, WORKSPACES, (old,))
    assert new != old
    assert await data_keys.status(database) == {new: WORKSPACES}
    await read_all(CredentialStore(database, FileKeyProvider(file)), places)


async def test_a_rotation_of_nothing_makes_a_new_key(database: Database, file: Path) -> None:
    provider = FileKeyProvider(file)
    old = await provider.primary_key_id()
    report = await data_keys.rotate(database, provider)
    assert (report.rewrapped, report.retired) == (0, (old,))
    assert keys_in(file) == [report.primary_key_id] != [old]


async def test_readers_and_writers_go_on_in_the_middle_of_every_batch(database: Database, file: Path) -> None:
    long_running = CredentialStore(database, FileKeyProvider(file))
    places = await fill(database, long_running)
    batches = 0

    class Watched(FileKeyProvider):
        async def wrap(self, data_key: bytes) -> WrappedKey:
            # This batch was read, and its new wrapping is not stored yet.
            nonlocal batches
            batches += 1
            started_since = CredentialStore(database, FileKeyProvider(file))
            await asyncio.gather(read_all(long_running, places), read_all(started_since, places))
            places.extend(await fill(database, long_running, first=100 * batches))
            return await super().wrap(data_key)

    report = await data_keys.rotate(database, Watched(file), batch_size=1)

    assert report.rewrapped == batches == WORKSPACES, "what was made meanwhile is under the new key already"
    assert await data_keys.status(database) == {report.primary_key_id: WORKSPACES * (1 + batches)}
    await read_all(long_running, places)
    await read_all(CredentialStore(database, FileKeyProvider(file)), places)


async def test_a_rotation_waits_for_a_data_key_that_is_being_made(
    database: Database, database_url: str, workspace: UUID, file: Path
) -> None:
    provider = FileKeyProvider(file)
    async with database.workspace(workspace) as conn:
        made = await data_keys.current(conn, provider, workspace)
        rotation = asyncio.create_task(data_keys.rotate(database, FileKeyProvider(file)))
        await until_it_waits(rotation, database_url)
    report = await rotation
    assert report.retired == (made.master_key_id,)
    assert await data_keys.status(database) == {report.primary_key_id: 1}
    async with database.workspace(workspace) as conn:
        assert (await data_keys.current(conn, FileKeyProvider(file), workspace)).key == made.key


@pytest.mark.parametrize(
    ("point", "survived", "left"),
    [
        ("after renewing", 0, WORKSPACES),
        *(("wrap", batches, WORKSPACES - batches) for batches in range(WORKSPACES)),
        ("before retiring", 0, 0),
        ("after retiring", 0, 0),
    ],
)
async def test_a_killed_rotation_is_finished_by_the_next(
    point: str, survived: int, left: int, *, database: Database, database_url: str, file: Path
) -> None:
    provider = FileKeyProvider(file)
    old = await provider.primary_key_id()
    places = await fill(database, CredentialStore(database, provider))

    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED_ROTATION, database_url, str(file), point, str(survived)],
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()

    assert (await data_keys.status(database)).get(old, 0) == left
    await read_all(CredentialStore(database, provider), places)
    await read_all(CredentialStore(database, FileKeyProvider(file)), places)
    report = await data_keys.rotate(database, FileKeyProvider(file))
    assert await data_keys.status(database) == {report.primary_key_id: WORKSPACES}
    assert keys_in(file) == [report.primary_key_id]
    if point != "after retiring":  # that one was complete, and a new rotation was right
        assert (report.rewrapped, report.retired) == (left, (old,))
    await read_all(CredentialStore(database, FileKeyProvider(file)), places)


async def test_keys_that_a_person_sets_are_rotated_by_putting_a_new_one_first(database: Database) -> None:
    old, new = generate_key(), generate_key()
    places = await fill(database, CredentialStore(database, LocalKeyProvider([old])))
    assert (await data_keys.rotate(database, LocalKeyProvider([old]))).rewrapped == 0
    report = await data_keys.rotate(database, LocalKeyProvider([new, old]))
    assert report == (fingerprint(new), WORKSPACES, (fingerprint(old),))
    await read_all(CredentialStore(database, LocalKeyProvider([new])), places)


async def test_processes_that_are_restarted_one_by_one_read_and_write_throughout(database: Database) -> None:
    old, new = generate_key(), generate_key()
    places: list[tuple[UUID, UUID]] = []
    # What UNIFIED_MASTER_KEYS holds, step by step. Within a step some processes still have the list of the one before.
    steps = [[old], [old, new], [new, old], [new]]
    for number, (before, after) in enumerate(pairwise(steps)):
        processes = [CredentialStore(database, LocalKeyProvider(keys)) for keys in (before, after)]
        for count, process in enumerate(processes):
            places += await fill(database, process, first=WORKSPACES * (2 * number + count))
        for process in processes:
            await read_all(process, places)
        if after == [new, old]:
            with pytest.raises(data_keys.MasterKeyInUseError, match=f"{fingerprint(old)} wraps"):
                await data_keys.retire(database, LocalKeyProvider(after))
            report = await data_keys.rotate(database, LocalKeyProvider(after))
            assert report.retired == (fingerprint(old),)
            for process in processes:
                await read_all(process, places)
    assert await data_keys.status(database) == {fingerprint(new): len(places)}


async def test_a_process_that_was_left_out_is_told_which_key_it_lacks(database: Database) -> None:
    old, new = generate_key(), generate_key()
    left_out = CredentialStore(database, LocalKeyProvider([old]))
    places = await fill(database, left_out)
    await data_keys.rotate(database, LocalKeyProvider([new, old]))
    with pytest.raises(UnknownMasterKeyError, match=f"{fingerprint(new)}.*restart"):
        await read_all(left_out, places)
    # It can still make a data key under the old one; then that one may not be retired.
    await fill(database, left_out, first=WORKSPACES)
    with pytest.raises(data_keys.MasterKeyInUseError, match=fingerprint(old)):
        await data_keys.retire(database, LocalKeyProvider([new, old]))
    assert (await data_keys.rotate(database, LocalKeyProvider([new, old]))).rewrapped == WORKSPACES


async def data_keys_of(database: Database, workspace_id: UUID) -> set[UUID]:
    async with database.workspace(workspace_id) as conn:
        rows = await conn.execute("SELECT id FROM workspace_keys")
        return {data_key_id for (data_key_id,) in await rows.fetchall()}


async def test_new_data_keys_for_what_is_stored_from_now_on(database: Database) -> None:
    store = CredentialStore(database, LocalKeyProvider([generate_key()]))
    places = await fill(database, store)
    workspace_id, connection_id = places[0]
    former = await data_keys_of(database, workspace_id)

    assert await data_keys.replace(database) == WORKSPACES

    await read_all(store, places)
    assert await data_keys_of(database, workspace_id) == former, "what is stored still needs it"
    await store.put(workspace_id, connection_id, "api_key", {"api_key": Secret(f"of {connection_id}")})
    await data_keys.replace(database)
    assert not await data_keys_of(database, workspace_id) & former
    await read_all(store, places)


async def test_a_data_key_that_is_being_used_is_replaced_and_not_deleted(
    database: Database, database_url: str, workspace: UUID, add_connection: Any
) -> None:
    connection_id = await add_connection(workspace)
    provider = LocalKeyProvider([generate_key()])
    async with database.workspace(workspace) as conn:
        used = await data_keys.current(conn, provider, workspace)
    async with database.workspace(workspace) as conn:
        assert await data_keys.current(conn, provider, workspace) == used
        replacing = asyncio.create_task(data_keys.replace(database))
        await until_it_waits(replacing, database_url, "transactionid")
        await conn.execute(
            """
            INSERT INTO connector_credentials
                (workspace_id, connector_config_id, kind, field, ciphertext, data_key_id)
            VALUES (%s, %s, 'api_key', 'f', 'c', %s)
            """,
            (workspace, connection_id, used.id),
        )
    assert await replacing == 1
    assert await data_keys_of(database, workspace) == {used.id}


async def test_a_key_in_use_is_not_retired(database: Database, file: Path) -> None:
    provider = FileKeyProvider(file)
    old = await provider.primary_key_id()
    await fill(database, CredentialStore(database, provider))
    await provider.renew()
    keys = keys_in(file)
    with pytest.raises(
        data_keys.MasterKeyInUseError, match=f"{old} wraps {WORKSPACES}, of workspace-0, workspace-1, .*-3\\."
    ):
        await data_keys.retire(database, provider)
    assert keys_in(file) == keys


async def test_a_key_is_not_retired_while_a_data_key_is_being_made_under_it(
    database: Database, database_url: str, workspace: UUID, file: Path
) -> None:
    provider = FileKeyProvider(file)
    async with database.workspace(workspace) as conn:
        made = await data_keys.current(conn, provider, workspace)
        await provider.renew()
        retirement = asyncio.create_task(data_keys.retire(database, provider))
        await until_it_waits(retirement, database_url)
    with pytest.raises(data_keys.MasterKeyInUseError, match=made.master_key_id):
        await retirement
    assert keys_in(file) == [await provider.primary_key_id(), made.master_key_id]


async def test_a_rotation_that_was_overtaken_undoes_nothing(database: Database, file: Path) -> None:
    places = await fill(database, CredentialStore(database, FileKeyProvider(file)))

    class Overtaken(FileKeyProvider):
        is_overtaken = False

        async def wrap(self, data_key: bytes) -> WrappedKey:
            assert (await data_keys.status(database)).keys() <= set(keys_in(file))
            wrapped = await super().wrap(data_key)
            if not self.is_overtaken:
                self.is_overtaken = True
                for _ in range(2):  # one that ends this rotation, and one that retires its key
                    await data_keys.rotate(database, FileKeyProvider(file))
            return wrapped

    await data_keys.rotate(database, Overtaken(file), batch_size=1)
    assert await data_keys.status(database) == {keys_in(file)[0]: WORKSPACES}
    await read_all(CredentialStore(database, FileKeyProvider(file)), places)


async def test_the_wrong_key_is_refused_at_the_start_and_changes_nothing(
    database: Database, file: Path
) -> None:
    provider = FileKeyProvider(file)
    await data_keys.verify(database, provider)
    await fill(database, CredentialStore(database, provider))
    await data_keys.verify(database, provider)
    before = await data_keys.status(database)

    elsewhere = file.with_name("other.keys")
    stranger = FileKeyProvider(elsewhere)
    keys = keys_in(elsewhere)
    for attempt in (data_keys.verify(database, stranger), data_keys.rotate(database, stranger)):
        with pytest.raises(UnknownMasterKeyError, match=await provider.primary_key_id()):
            await attempt
    assert await data_keys.status(database) == before
    assert keys_in(elsewhere) == keys


async def test_a_data_key_does_not_show_itself(database: Database, workspace: UUID) -> None:
    async with database.workspace(workspace) as conn:
        data_key = await data_keys.current(conn, LocalKeyProvider([generate_key()]), workspace)
    assert len(data_key.key) == 32
    assert repr(data_key.key) not in f"{data_key!r} {data_key}"
