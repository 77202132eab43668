"""A process to kill: resolves a workspace, and stops for good before one of its commits, after saying so."""

import time
from typing import Any
from uuid import UUID

import unified.store.identities.records
import unified.sync.identities.resolve as resolving
from unified.store.database import Database
from unified.store.identities import records as identity_records
from unified.store.identities import scopes as identity_scopes


async def main(url: str, workspace: str, stop: int) -> None:
    unified.store.identities.records.BATCH_RECORDS = 7
    resolving.SCOPE_RECORDS = 3
    steps = 0

    def stopping(function: Any) -> Any:
        async def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            result = await function(*args, **kwargs)
            steps += 1
            if steps == stop:  # all of this step is written, nothing of it committed
                print("stopped", flush=True)  # noqa: T201 - the test reads it
                time.sleep(3600)  # noqa: ASYNC251 - the whole process holds
            return result

        return run

    for module, name in (
        (identity_records, "store"),
        (identity_records, "remove_gone"),
        (identity_scopes, "store"),
    ):
        setattr(module, name, stopping(getattr(module, name)))
    async with Database.open(url) as database:
        await resolving.resolve(database, UUID(workspace))
    print("done", flush=True)  # noqa: T201 - the test reads it
