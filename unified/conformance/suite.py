"""From checks to tests: one line makes a test class of an adapter's bench, with a test for each check and case."""

import asyncio
import importlib
from collections.abc import Callable
from typing import Any

import pytest

_ROOMS = ("declarations", "reading", "trouble", "mapping", "writing", "webhooks")
"""The modules that define checks."""

# A failed assertion shows what it compared; that has to be asked for before the checks are imported.
pytest.register_assert_rewrite(*(f"unified.conformance.{name}" for name in _ROOMS))
for _name in _ROOMS:
    importlib.import_module(f"unified.conformance.{_name}")

from unified.conformance.bench import Bench  # noqa: E402
from unified.conformance.checks import CHECKS, Check  # noqa: E402

__all__ = ["conformance"]


def conformance(bench: type[Bench]) -> type:
    """Make the tests that an adapter must pass; pytest collects what they are assigned to.

    ``TestStripe = conformance(StripeBench)`` is all that is needed. Each test runs with a stand-in of its own. A check
    that does not apply, such as writing for an adapter that only reads, makes no test.

    Args:
        bench: The adapter's bench.
    """
    tests = {f"test_{one.run.__name__}": _test(bench, one) for one in CHECKS if one.cases(bench)}
    return type(f"Test{bench.adapter_class.__name__}", (), {"__doc__": bench.__doc__, **tests})


def _test(bench: type[Bench], one: Check) -> Callable[..., None]:
    def test(self: Any, case: tuple[Any, ...]) -> None:  # noqa: ARG001 - pytest calls it as a method
        with bench() as running:
            asyncio.run(one.run(running, *case))

    test.__doc__ = one.run.__doc__
    cases = one.cases(bench)
    names = [" ".join(map(_words, case)) or "once" for case in cases]
    marked: Callable[..., None] = pytest.mark.parametrize("case", cases, ids=names)(test)
    return marked


def _words(part: Any) -> str:
    return " ".join(map(str, part)) if isinstance(part, tuple) else str(part)
