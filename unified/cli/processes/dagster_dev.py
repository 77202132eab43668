"""`python -m unified.cli.processes.dagster_dev`: `dagster dev` with its options, its webserver guarded.

`dagster dev` starts the webserver as a module by name, and has no option for another. The daemon and the code server
are Dagster's own.
"""

import sys
from typing import Any

from dagster._cli import dev, main
from dagster_shared.ipc import open_ipc_subprocess

_WEBSERVER = "dagster_webserver"
_GUARDED = "unified.cli.processes.webserver"


def open_guarded(parts: list[str], **options: Any) -> Any:
    """Start one of Dagster's processes, the guarded webserver in the unguarded one's place."""
    return open_ipc_subprocess([_GUARDED if part == _WEBSERVER else part for part in parts], **options)


if __name__ == "__main__":
    setattr(dev, "open_ipc_subprocess", open_guarded)  # noqa: B010 - it is typed as the original
    sys.argv.insert(1, "dev")
    main()  # type: ignore[no-untyped-call]
