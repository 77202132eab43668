"""`unified serve` in a process of its own, as `unified dev` and `unified demo` start it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from unified.cli.processes.child import PATIENCE_SECONDS, Child, child
from unified.cli.processes.local import local

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ingress:
    """A running webhook server.

    Attributes:
        process: Its process.
        address: Where it listens.
        public_url: Where providers reach it; the same unless UNIFIED_PUBLIC_URL says otherwise.
    """

    process: Child
    address: str
    public_url: str


@contextmanager
def running_ingress(
    port: int, log: Path, public_url: str | None = None, *, patience: float = PATIENCE_SECONDS
) -> Iterator[Ingress]:
    """Run the webhook server for the length of a block.

    Args:
        port: On 127.0.0.1.
        log: Where its output goes.
        public_url: Where providers reach it, if not where it listens.
        patience: Seconds that it may start without showing progress.

    Raises:
        CommandError: If it does not start.
    """
    address = f"http://{HOST}:{port}"
    public_url = public_url or address
    arguments = ["serve", "--host", HOST, "--port", str(port), "--public-url", public_url]
    with child("the webhook server", [sys.executable, "-m", "unified.cli", *arguments], log) as process:
        process.wait_until(lambda: _is_ready(address), patience)
        yield Ingress(process, address, public_url)


def _is_ready(address: str) -> bool:
    try:
        return local().get(f"{address}/readyz", timeout=10).is_success
    except httpx.TransportError:
        return False
