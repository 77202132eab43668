"""Arguments and questions that several commands share."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from unified.cli.session import UsageError

Name = Annotated[str, typer.Argument(help="The connection, as `workspace/name` or `name`.", metavar="NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

PatienceSeconds = Annotated[
    float,
    typer.Option(
        "--patience",
        min=1,
        metavar="SECONDS",
        help="How long a part that starts may show no progress before it is given up.",
    ),
]


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a question at once: ``asyncio.run`` uses the first one to cancel a task that waits for it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that can't be undone.

    Args:
        question: What to ask.
        yes: Whether the answer was given as an option.

    Raises:
        UsageError: If there is nobody to ask.
        typer.Abort: If the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        msg = f"{question} There is nobody to ask here: say --yes"
        raise UsageError(msg)
    with interruptible():
        typer.confirm(question, abort=True, err=True)
