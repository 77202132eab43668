import asyncio
import errno
import logging
import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from unified.store.secrets.keys import (
    DamagedDataKeyError,
    FileKeyProvider,
    LocalKeyProvider,
    MasterKeyError,
    UnknownMasterKeyError,
    fingerprint,
    generate_key,
)
from unified.store.secrets.providers import load_provider

DATA_KEY = b"an obviously fake data key of 32"


@pytest.fixture(autouse=True)
def no_keys_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNIFIED_MASTER_KEYS", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("UNIFIED_HOME", str(tmp_path))


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_the_first_key_wraps_and_each_unwraps() -> None:
    old, new = generate_key(), generate_key()
    wrapped, key_id = await LocalKeyProvider([old]).wrap(DATA_KEY)
    both = LocalKeyProvider([new, old])
    assert DATA_KEY not in wrapped
    assert key_id == fingerprint(old)
    assert await both.unwrap(wrapped, key_id) == DATA_KEY
    assert (await both.wrap(DATA_KEY)).key_id == await both.primary_key_id() == fingerprint(new)


async def test_a_missing_master_key_is_named_by_its_id() -> None:
    old, new = generate_key(), generate_key()
    wrapped, key_id = await LocalKeyProvider([old]).wrap(DATA_KEY)
    with pytest.raises(UnknownMasterKeyError, match=fingerprint(old)) as caught:
        await LocalKeyProvider([new]).unwrap(wrapped, key_id)
    assert new not in str(caught.value)


async def test_a_changed_wrapping_does_not_unwrap() -> None:
    provider = LocalKeyProvider([generate_key()])
    wrapped, key_id = await provider.wrap(DATA_KEY)
    with pytest.raises(DamagedDataKeyError):
        await provider.unwrap(wrapped[:-8] + b"AAAAAAA=", key_id)


@pytest.mark.parametrize(
    "keys", ["", "no key at all", "{good},", ",{good}", "{good},c2hvcnQ=", "{good},schlüssel"]
)
def test_what_is_no_key_is_refused_and_not_shown(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIFIED_MASTER_KEYS", keys.format(good=generate_key()))
    with pytest.raises(MasterKeyError, match="of UNIFIED_MASTER_KEYS is not a Fernet key") as caught:
        load_provider()
    for key in filter(None, os.environ["UNIFIED_MASTER_KEYS"].split(",")):
        assert key not in str(caught.value)
        assert key not in repr(caught.value.__cause__)


def test_no_key_in_the_list() -> None:
    with pytest.raises(MasterKeyError, match="there is no key"):
        LocalKeyProvider([])


async def test_keys_from_the_environment_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    new, old = generate_key(), generate_key()
    monkeypatch.setenv("UNIFIED_MASTER_KEYS", f"{new}, {old}")
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/unified")
    assert await load_provider().primary_key_id() == fingerprint(new)
    assert not files_in(tmp_path)


def test_a_database_of_ones_own_needs_a_key_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/unified")
    with pytest.raises(MasterKeyError, match="unified keys generate"):
        load_provider()
    assert not files_in(tmp_path)


async def test_the_key_file_is_made_once_and_only_its_owner_reads_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "master.keys"
    first = await load_provider().primary_key_id()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(file) in caplog.text
    assert file.read_text().strip() not in caplog.text
    assert await load_provider().primary_key_id() == first
    assert len(caplog.records) == 1
    assert files_in(tmp_path) == [file]


def test_many_who_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    primaries = []

    def start() -> None:
        together.wait()
        provider = FileKeyProvider(tmp_path / "master.keys")
        primaries.append(asyncio.run(provider.primary_key_id()))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(primaries) == 8
    assert len(set(primaries)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_key_file_that_others_read_is_refused(mode: int, tmp_path: Path) -> None:
    load_provider()
    (tmp_path / "master.keys").chmod(mode)
    with pytest.raises(MasterKeyError, match="chmod 600"):
        load_provider()


def test_a_spoilt_key_file_is_refused_and_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "master.keys"
    for content in ("", "not a key\n", "ключ\n"):
        file.write_text(content)
        file.chmod(0o600)
        with pytest.raises(MasterKeyError, match="unified keys generate"):
            load_provider()
        assert file.read_text() == content
    file.unlink()
    file.mkdir()
    with pytest.raises(MasterKeyError, match="can't be read"):
        load_provider()


async def test_processes_follow_the_file_through_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "master.keys"
    rotating, other = FileKeyProvider(file), FileKeyProvider(file)
    before = await other.wrap(DATA_KEY)
    await rotating.renew()
    await rotating.renew()  # an unfinished rotation is gone on with
    assert len(file.read_text().split()) == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    after = await rotating.wrap(DATA_KEY)
    assert await other.unwrap(*after) == DATA_KEY
    assert (await FileKeyProvider(file).wrap(DATA_KEY)).key_id == after.key_id != before.key_id

    assert await rotating.retire([before.key_id, after.key_id]) == ()
    assert await rotating.retire([after.key_id]) == (before.key_id,)
    assert [fingerprint(key) for key in file.read_text().split()] == [after.key_id]
    await other.wrap(DATA_KEY)  # reads the file again
    assert await other.unwrap(*before) == DATA_KEY, "of a row that was read before it was re-wrapped"
    # What was copied before needs the former one, which is kept beside and put back by hand.
    former = file.with_name("master.keys.former")
    assert stat.S_IMODE(former.stat().st_mode) == 0o600
    with pytest.raises(
        UnknownMasterKeyError, match=r"retired.*put its line from .*master\.keys\.former into"
    ):
        await FileKeyProvider(file).unwrap(*before)
    await rotating.renew()
    assert await rotating.retire([]) == (after.key_id,)
    assert [fingerprint(key) for key in former.read_text().split()] == [before.key_id, after.key_id]
    file.write_text(file.read_text() + former.read_text())
    assert await FileKeyProvider(file).unwrap(*before) == DATA_KEY


@pytest.mark.parametrize("call", ["mkstemp", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
async def test_a_file_that_cannot_be_written_stays_as_it_was(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "master.keys"
    keys = FileKeyProvider(file)
    wrapped, before = await keys.wrap(DATA_KEY), file.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(tempfile if call == "mkstemp" else os, call, fail)
        with pytest.raises(
            MasterKeyError, match=f"can't be written: {os.strerror(number)}; the file is as it was"
        ):
            await keys.renew()
        with pytest.raises(MasterKeyError, match="can't be written"):
            FileKeyProvider(tmp_path / "other.keys")
    assert file.read_bytes() == before
    assert files_in(tmp_path) == [file], "no draft is left"
    assert await keys.unwrap(*wrapped) == DATA_KEY
    await keys.renew()
    assert len(file.read_text().split()) == 2


async def test_a_process_that_knew_only_the_old_key_wraps_under_the_new(tmp_path: Path) -> None:
    file = tmp_path / "master.keys"
    rotating, other = FileKeyProvider(file), FileKeyProvider(file)
    await rotating.renew()
    assert (await other.wrap(DATA_KEY)).key_id == await rotating.primary_key_id()
