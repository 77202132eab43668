"""Child processes that are waited for while they get on, by a clock that goes as fast as the test has it."""

from __future__ import annotations

import os
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.json_api import JsonApi, serving
from unified.cli.main import ask_this_machine_directly
from unified.cli.processes import child as module
from unified.cli.processes.child import child
from unified.cli.processes.local import local
from unified.cli.session import CommandError
from unified.store.server import patience

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 120.0
TICK = 100.0
# Writes a line for each file that is made for it.
SLOW = """
import sys, time
from pathlib import Path
for number in range(1000):
    while not Path(sys.argv[1], str(number)).exists():
        time.sleep(0.01)
    print("still at it", flush=True)
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that is set by hand; sleeps are as long as they are."""
    clock = SimpleNamespace(now=0.0)
    by_hand = SimpleNamespace(monotonic=lambda: clock.now, sleep=time.sleep)
    monkeypatch.setattr(patience, "time", by_hand)
    monkeypatch.setattr(module, "time", by_hand)
    return clock


def test_a_child_that_gets_on_is_waited_for_however_long_it_takes(
    tmp_path: Path, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = 0
    log = tmp_path / "log"
    with child("the slow one", [sys.executable, "-c", SLOW, str(tmp_path)], log, grace=0.1) as slow:

        def answers() -> bool:
            nonlocal steps
            before = log.stat().st_size
            (tmp_path / str(steps)).touch()
            while log.stat().st_size == before:
                time.sleep(0.01)
            steps += 1
            clock.now += TICK
            return steps == 10

        slow.wait_until(answers, PATIENCE)
    assert clock.now > 8 * PATIENCE
    shown = capsys.readouterr().err
    assert "the slow one is still starting after 100 s" in shown
    assert "processor time" in shown


def test_a_child_that_does_nothing_is_given_up(tmp_path: Path, clock: SimpleNamespace) -> None:
    def answers() -> bool:
        clock.now += TICK
        return False

    arguments = [sys.executable, "-c", "import time; time.sleep(3600)"]
    log = tmp_path / "log"
    with (
        pytest.raises(CommandError, match=r"no progress for 120 s; its log is .*--patience SECONDS"),
        child("the idle one", arguments, log, grace=0.1) as idle,
    ):
        idle.wait_until(answers, PATIENCE)
    assert clock.now < 20 * TICK
    assert idle.process.poll() is not None


def test_a_child_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    with (
        pytest.raises(CommandError, match=r"ended by itself \(code 1\).*\nno such thing"),
        child("the broken one", arguments, tmp_path / "log") as broken,
    ):
        broken.wait_until(lambda: False)


def test_no_proxy_leads_to_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Api(JsonApi):
        def get(self) -> None:
            self.answer(200, "here")

    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "intranet.example.com")
    ask_this_machine_directly()
    local.cache_clear()  # a client knows the proxies of its beginning
    asks = "import os, sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read(), os.environ['no_proxy'])"
    log = tmp_path / "log"
    with serving(Api) as url:
        assert local().get(url).json() == "here"
        with child("the asking one", [sys.executable, "-c", asks, url], log) as asking:
            asking.process.wait()
    assert log.read_text() == "b'\"here\"' intranet.example.com,127.0.0.1,localhost,::1\n"
    ask_this_machine_directly()
    assert os.environ["no_proxy"] == "intranet.example.com,127.0.0.1,localhost,::1"
    monkeypatch.setenv("no_proxy", "*")
    ask_this_machine_directly()
    assert os.environ["no_proxy"] == "*"
    local.cache_clear()
