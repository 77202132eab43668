"""How a process that is ours alone begins and ends without work that nobody sees.

Not here: which modules a process imports, which is said where they are needed; and processes that we only take part in,
as Dagster's.
"""

import atexit
import gc
import sys


def spare_time() -> None:
    """Leave out what only takes time. To be called before httpx is imported.

    httpx imports its own command, and with it click, rich and pygments where these are installed: 55 ms. Where that is
    no module, it does without. Python looks for garbage in all that was ever imported as a process ends, three times:
    0.1 s after a sync, for memory that goes with the process anyway.
    """
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # so Python marks what can't be imported
    atexit.register(gc.freeze)
