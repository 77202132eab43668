"""A Redis, for the tests of Celery; `.ci/run` installs one."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.waiting import LIMIT_SECONDS


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis with a password."""
    if (program := shutil.which("redis-server")) is None:
        if os.environ.get("UNIFIED_CELERY_REQUIRED"):
            pytest.fail("UNIFIED_CELERY_REQUIRED is set, and there is no redis-server")
        pytest.skip("there is no redis-server here; .ci/run installs one")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    settings = folder / "redis.conf"
    settings.write_text(f"port {port}\nbind 127.0.0.1\nrequirepass fake\nsave ''\ndir {folder}\n")
    process = subprocess.Popen([program, str(settings)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "Ready to accept connections" not in (line := process.stdout.readline()):
        assert line, "Redis has ended"
    yield f"redis://:fake@127.0.0.1:{port}/0"
    process.terminate()
    process.communicate(timeout=LIMIT_SECONDS)
