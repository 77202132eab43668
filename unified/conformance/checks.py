"""A check: a coroutine over a bench, and the cases that it is run for.

Not here: the checks (`reading`, `trouble`, `writing`, `webhooks`, `declarations`, `mapping`).
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from unified.conformance.bench import Bench

Run = Callable[..., Coroutine[Any, Any, None]]
Cases = Callable[[type[Bench]], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True)
class Check:
    """One thing that an adapter must do.

    Attributes:
        run: Takes the running bench and a case; its name is the test's, its docstring says what must hold.
        cases: The bench's class → the cases; without one the check does not apply and there is no test of it.
    """

    run: Run
    cases: Cases


CHECKS: list[Check] = []
"""All of them, in the order in which their modules define them."""


def check(cases: Cases) -> Callable[[Run], Run]:
    """Make a check of a coroutine."""

    def add(run: Run) -> Run:
        CHECKS.append(Check(run, cases))
        return run

    return add


def once(_: type[Bench]) -> list[tuple[Any, ...]]:
    """One case without parameters."""
    return [()]


def each_stream(bench: type[Bench]) -> list[tuple[Any, ...]]:
    """A case for each polled stream."""
    return [(name,) for name in bench.streams()]


def each_edited(change: str) -> Cases:
    """A case for each stream whose records know a change at the source."""
    return lambda bench: [(name,) for name in bench.streams(change)]
