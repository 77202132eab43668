"""What has to be done to make a workspace equal to a file, thing by thing, and the doing.

Each step is one transaction of the functions that command, API and pages use. One that fails leaves the others alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from unified.kit.document.source import Place
from unified.kit.errors import AdapterError
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.secrets.credentials.store import CredentialStore
from unified.sync.declared.references import References
from unified.sync.errors import SyncError

Kind = Literal["workspace", "connection", "webhook", "rules", "route"]
Action = Literal["add", "change", "same", "extra", "refused"]

REFUSALS = (AdapterError, StoreError, SyncError)
"""What a thing's own fault is raised as; anything else is a fault of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that the file or the workspace has.

    Attributes:
        kind: What it is.
        name: Which; of a connection's parts, the connection's.
        action: ``add`` and ``change`` make it as the file says, ``same`` is so already, ``extra`` is not in the file,
            ``refused`` can't be made so.
        detail: What differs, or why it is refused; never a secret.
        path: Where it stands in the file; nothing for what does not.
        carry_out: Does it, and returns what a person has to know. Of an extra thing, it removes it.
    """

    kind: Kind
    name: str
    action: Action
    detail: Sequence[str] = ()
    path: Place = ()
    carry_out: Callable[[], Awaitable[Sequence[str]]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a step.

    Attributes:
        step: Which.
        is_done: Whether it was carried out.
        error: Why it failed.
        remarks: What a person has to know, such as the URL of a new webhook. It may hold a secret that was made.
    """

    step: Step
    is_done: bool
    error: str | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What steps are planned and carried out on.

    Attributes:
        db: The database.
        credentials: Where secrets are kept.
        references: Finds the secrets that a file refers to.
        actor: In whose name, for the audit log.
        workspace: The workspace's slug.
        public_url: Where providers reach us.
        test: Whether credentials are tried at the provider before they are stored.
    """

    db: Database
    credentials: CredentialStore
    references: References
    actor: str
    workspace: str
    public_url: str
    test: bool = True

    async def connection(self, name: str) -> Connection:
        """A connection as it is now.

        Raises:
            ConnectionNotFoundError: If there is none, or none any more.
        """
        return await Registry(self.db).find(f"{self.workspace}/{name}")


async def carry_out(steps: Sequence[Step], *, prune: bool) -> AsyncIterator[Outcome]:
    """Do what is to be done, in order.

    Args:
        steps: From :func:`unified.sync.declared.plan.plan`.
        prune: Whether to remove what is not in the file.
    """
    for step in steps:
        if step.carry_out is None or (step.action == "extra" and not prune):
            yield Outcome(step=step, is_done=False)
            continue
        try:
            remarks = await step.carry_out()
        except REFUSALS as error:
            yield Outcome(step=step, is_done=False, error=" ".join(str(error).split()))
        else:
            yield Outcome(step=step, is_done=True, remarks=remarks)
