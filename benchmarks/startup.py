"""CPU that the quickest commands take, which people and scripts call often: `unified --help`, `unified status`.

    python benchmarks/startup.py [--times 5]

Status is asked of a database that runs already, with one connection. Printed are seconds of user and system time: the
least of all calls, because whatever else the machine does only adds to it.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from unified.store.server import embedded

COMMANDS = {"help": ["--help"], "status": ["status"]}


def main() -> None:
    """Print the least CPU seconds of each command as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5, help="how often each command is called")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["UNIFIED_HOME"] = folder
        embedded.start(home)
        try:
            _unified(
                ["connections", "add", "stripe", "main", "--secret-stdin", "--no-test"], "sk_test_fake_acme"
            )
            print(
                json.dumps(
                    {name: min(_cpu(command) for _ in range(times)) for name, command in COMMANDS.items()}
                )
            )
        finally:
            embedded.leave(home)


def _cpu(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _unified(arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 3)


def _unified(arguments: list[str], stdin: str = "") -> None:
    command = [str(Path(sys.executable).with_name("unified")), *arguments]
    subprocess.run(command, input=stdin, text=True, check=True, capture_output=True)


if __name__ == "__main__":
    main()
