"""A Redis, for the tests of Celery; `.ci/run` installs one."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS


class Redis:
    """A Redis with a password, always at the same address. It keeps nothing: each start is an empty one."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"redis://:fake@127.0.0.1:{port}/0"
        settings = folder / "redis.conf"
        settings.write_text(f"port {port}\nbind 127.0.0.1\nrequirepass fake\nsave ''\ndir {folder}\n")
        self._command = [program, str(settings)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        while "Ready to accept connections" not in (line := self.process.stdout.readline()):
            assert line, "Redis has ended"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=LIMIT_SECONDS)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    if (program := shutil.which("redis-server")) is None:
        if os.environ.get("UNIFIED_CELERY_REQUIRED"):
            pytest.fail("UNIFIED_CELERY_REQUIRED is set, and there is no redis-server")
        pytest.skip("there is no redis-server here; .ci/run installs one")
    made = Redis(program, tmp_path_factory.mktemp("redis"))
    yield made
    made.kill()


@pytest.fixture
def broker(redis: Redis) -> str:
    """URL of a Redis with a password."""
    return redis.url
