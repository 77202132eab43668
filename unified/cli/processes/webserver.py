"""`python -m unified.cli.processes.webserver`: `dagster-webserver` with its options, behind :class:`Guard`.

``UNIFIED_UI_HOSTS`` names hosts that it is reached by, by commas; ``UNIFIED_UI_TOKEN`` is a token to ask for.
"""

import os
from typing import Any

from dagster_webserver import cli
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.types import ASGIApp

from unified.cli.processes.guard import HOSTS_VARIABLE, TOKEN_VARIABLE, Guard


def guarded(*arguments: Any, **options: Any) -> ASGIApp:
    """Dagster's own application, guarded as the environment says."""
    hosts = [host for part in os.environ.get(HOSTS_VARIABLE, "").split(",") if (host := part.strip())]
    app: ASGIApp = create_app_from_workspace_process_context(*arguments, **options)
    return Guard(app, hosts=hosts, token=os.environ.get(TOKEN_VARIABLE) or None)


def main() -> None:
    """Serve Dagster's UI."""
    # The command makes its application by this name, and has no other place to put something before it.
    setattr(cli, "create_app_from_workspace_process_context", guarded)  # noqa: B010 - it is typed as the original
    cli.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
