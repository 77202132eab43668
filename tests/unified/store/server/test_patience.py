from types import SimpleNamespace

import pytest

from unified.store.server import patience
from unified.store.server.patience import Patience


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that is set by hand."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_it_lasts_as_long_as_something_happens(clock: SimpleNamespace) -> None:
    lines: list[str] = []
    waiting = Patience(10, lambda: len(lines))
    for _ in range(100):
        clock.now += 9
        lines.append("one more")
        assert not waiting.is_out()
    clock.now += 10
    assert not waiting.is_out()
    clock.now += 0.1
    assert waiting.is_out()


def test_what_happens_late_is_not_too_late(clock: SimpleNamespace) -> None:
    seen = [1]
    waiting = Patience(10, lambda: tuple(seen))
    clock.now += 11
    seen.append(2)
    assert not waiting.is_out()
