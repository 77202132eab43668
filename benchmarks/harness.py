"""What the benchmarks share: the peers' harness, and a connection of ours to its fake API.

The harness (``BENCH_HARNESS``, by default ``../shared/bench`` beside the checkout) brings a fast fake of Stripe's API,
PostgreSQL on port 5555 and the peers' loaders; its README says how to start them. Commands run one after the other
on the same machine, server and data, in turn, so what counts is the ratio between them.
"""

import importlib
import json
import os
import statistics
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptography.fernet import Fernet

HARNESS = Path(os.environ.get("BENCH_HARNESS", Path(__file__).parents[2] / "shared" / "bench"))
API = os.environ.get("PERF_SAAS", "http://127.0.0.1:8700")
DATABASE = "postgresql://postgres@127.0.0.1:5555/unified_bench"
UNIFIED = str(Path(sys.executable).with_name("unified"))
NAME = "bench/stripe"
STREAMS = ("--stream", "customers", "--stream", "invoices")


def measure() -> ModuleType:
    """The harness's own measuring module.

    Raises:
        SystemExit: If the harness is absent or not set up.
    """
    if not HARNESS.is_dir() or "BENCH_ROOT" not in os.environ:
        sys.exit(f"no harness in {HARNESS}, or BENCH_ROOT is not set; see benchmarks/README.md")
    sys.path.insert(0, str(HARNESS))
    return importlib.import_module("measure")


def environment() -> dict[str, str]:
    """The environment of our commands; the key is made anew and opens nothing but this benchmark's database."""
    # Python may keep what it compiles, as it does for users; some machines forbid it by a variable.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **inherited,
        "DATABASE_URL": DATABASE,
        "UNIFIED_MASTER_KEYS": os.environ.setdefault("UNIFIED_MASTER_KEYS", Fernet.generate_key().decode()),
        "UNIFIED_SECRET_API_KEY": "sk_test_fake_benchmark",
    }


def unified(*arguments: str) -> str:
    """Run the ``unified`` command and return what it prints."""
    done = subprocess.run(
        [UNIFIED, *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"unified {' '.join(arguments)} failed: {done.stderr}")
    return done.stdout


def fresh_connection(*, requests_per_second: float = 100_000, base_url: str = API) -> None:
    """A connection to a fake API, with nothing loaded yet."""
    unified("migrate")
    listed = json.loads(unified("connections", "list", "--json"))
    if any(connection["name"] == NAME for connection in listed):
        unified("connections", "remove", NAME, "--yes")
    workspaces = json.loads(unified("workspaces", "list", "--json"))
    if not any(workspace["workspace"] == "bench" for workspace in workspaces):
        unified("workspaces", "add", "bench")
    settings = (
        "--set",
        f"requests_per_second={requests_per_second}",
        "--base-url",
        base_url,
        "--allow-private-hosts",
    )
    unified("connections", "add", "stripe", "stripe", "--workspace", "bench", "--no-test", *settings)


def control(**settings: Any) -> dict[str, Any]:
    """Set the fake API's latency and limits, and read its counters."""
    query = "&".join(f"{name}={value}" for name, value in settings.items())
    with urllib.request.urlopen(f"{API}/_ctl?{query}") as answer:  # noqa: S310 - loopback
        return dict(json.load(answer))


def median(values: list[float]) -> float:
    """The median, rounded for print."""
    return round(statistics.median(values), 2)
