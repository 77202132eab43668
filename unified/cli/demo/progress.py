"""How the demo's steps are shown and run: a line for each, questions on the database, findings of runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from unified.cli.demo.steps import Finding
from unified.cli.output import err, say
from unified.store.database import Database

if TYPE_CHECKING:
    from unified.cli.demo.runs import RunReport

_P = ParamSpec("_P")
_R = TypeVar("_R")


def ask(
    url: str,
    question: Callable[Concatenate[Database, _P], Awaitable[_R]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _R:
    """Run a step on the database, in an event loop that is gone before Dagster begins one of its own."""

    async def on_database() -> _R:
        async with Database.open(url) as db:
            return await question(db, *args, **kwargs)

    return asyncio.run(on_database())


@contextmanager
def step(done: str) -> Iterator[None]:
    """Show that something is under way, then that it is done."""
    started = time.monotonic()
    with err.status(f"{done} …") if err.is_terminal else ExitStack():
        yield
    say(f"✓ {done} ({time.monotonic() - started:.1f} s)")


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, and a line at its end."""
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda count: progress.advance(task, count)
    say(f"✓ {title} ({time.monotonic() - started:.1f} s)")


def of_runs(runs: Sequence["RunReport"]) -> Iterator[Finding]:
    """See that runs succeeded, and that all their checks passed."""
    for run in runs:
        yield Finding(run.connection, "failure of the run", None, run.failure)
        passed = {check for check, is_passed in run.checks.items() if is_passed}
        yield Finding(run.connection, "asset checks passed", set(run.checks), passed)
