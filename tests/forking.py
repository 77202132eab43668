"""Processes that need not import first what they run, which takes longer than most of them live.

Each is forked from one process that has imported all of it and done nothing else. Python has one such process for
all that a test process forks, so what it imports is named here, in one place.
"""

import multiprocessing

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        "tests.unified.cli.forked",
        "tests.unified.sync.forked",
        "tests.unified.sync.victim",
        "tests.unified.sync.routes.victim",
        "tests.unified.sync.identities.victim",
    ]
)
