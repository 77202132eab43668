"""`unified` in a process of its own that need not import it first: see :mod:`tests.forking`."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.forking import FORKING
from tests.waiting import LIMIT_SECONDS
from unified.cli.main import _PANELS, load, main
from unified.kit.registry import packaged_adapters
from unified.store.server.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Mapping

for _commands in _PANELS.values():
    for _name in _commands:
        if _name != "demo":  # it imports Dagster
            load(_name)
packaged_adapters()


def run(
    arguments: tuple[str, ...], environment: Mapping[str, str], stdin: str
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` gives for the command."""
    with TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        for file in files:
            file.write_text(stdin if file.name == "stdin" else "")
        process = FORKING.Process(target=_run, args=(arguments, environment, files))
        process.start()
        patience = Patience(LIMIT_SECONDS, lambda: [file.stat().st_size for file in files])
        while process.exitcode is None:
            process.join(1)
            if patience.is_out():
                process.kill()
                process.join()
                raise subprocess.TimeoutExpired(arguments, LIMIT_SECONDS)
        return subprocess.CompletedProcess(
            arguments, process.exitcode, files[1].read_text(), files[2].read_text()
        )


def _run(arguments: tuple[str, ...], environment: Mapping[str, str], files: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - for good
    sys.argv = ["unified", *arguments]
    try:
        main()
    finally:
        # As at the end of any interpreter; a forked one would leave it out.
        atexit._run_exitfuncs()
