"""One endpoint's share of the traffic."""

from unified.api.ingress.floods import FloodGate


def test_a_burst_passes_and_then_the_rate() -> None:
    gate = FloodGate(rate=10, burst=5)
    assert [gate.wait_for("a", now=100.0) for _ in range(7)] == [0, 0, 0, 0, 0, 1, 1]
    assert gate.wait_for("a", now=100.11) == 0
    assert gate.wait_for("a", now=100.12) == 1


def test_others_are_not_hurt() -> None:
    gate = FloodGate(rate=1, burst=1)
    assert [gate.wait_for("a", now=0.0) for _ in range(2)] == [0, 1]
    assert gate.wait_for("b", now=0.0) == 0


def test_what_is_refused_costs_nothing() -> None:
    gate = FloodGate(rate=1, burst=1)
    gate.wait_for("a", now=0.0)
    assert [gate.wait_for("a", now=0.5) for _ in range(100)] == [1] * 100
    assert gate.wait_for("a", now=1.0) == 0


def test_a_slow_rate_says_how_long() -> None:
    gate = FloodGate(rate=0.1, burst=1)
    gate.wait_for("a", now=0.0)
    assert gate.wait_for("a", now=0.0) == 10


def test_memory_is_bounded_by_who_is_busy() -> None:
    gate = FloodGate(rate=1, burst=1)
    for number in range(50_000):
        gate.wait_for(number, now=float(number))
    assert len(gate._full_at) <= 10_001
