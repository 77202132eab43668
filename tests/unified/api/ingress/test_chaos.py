"""What was acknowledged is stored, whatever is killed: a short run of the benchmarks' chaos, in real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import LIMIT_SECONDS

CHAOS = Path(__file__).parents[4] / "benchmarks" / "chaos.py"

pytestmark = pytest.mark.long(30)


def test_nothing_acknowledged_is_lost_while_ingress_and_database_are_killed() -> None:
    done = subprocess.run(
        [sys.executable, str(CHAOS), "--seconds=15", "--seed=3"],
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * LIMIT_SECONDS,  # it gives up by itself where nothing is acknowledged any more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0, stored twice 0" in done.stdout
