"""A folder with a server that was made and has stopped."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from unified.store.server import embedded


def is_running(folder: Path) -> bool:
    return (folder / "postgres" / "postmaster.pid").exists()


@pytest.fixture(scope="module")
def made(quick_folder: Path) -> Iterator[Path]:
    """A folder whose server has stopped: making one takes longer than most of these tests."""
    folder = Path(mkdtemp(prefix="made-", dir=quick_folder))
    embedded.start(folder)
    embedded.leave(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Iterator[Path]:
    """An installation's folder; whatever server is left in it is stopped."""
    # As root its files belong to the server's user, which shutil would not keep.
    subprocess.run(["cp", "-a", made / "postgres", tmp_path], check=True)  # noqa: S607 - wherever it is
    yield tmp_path
    embedded.start(tmp_path)
    embedded.leave(tmp_path)
    assert not is_running(tmp_path)
