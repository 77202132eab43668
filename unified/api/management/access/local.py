"""Access for this process itself: who may log in to the database may do that anyway, so nothing has to be proved."""

from unified.api.management.access.callers import Access, Caller, Identity
from unified.store.database import Database
from unified.store.workspaces.rows import Workspace
from unified.store.workspaces.tokens import TokenLookup


class LocalAccess(Access):
    """Knows one caller, whatever a request shows.

    Attributes:
        caller: That one.
    """

    def __init__(self, db: Database, workspace: Workspace, actor: str, permissions: frozenset[str]) -> None:
        """Admit ``actor`` to one workspace, with these permissions."""
        super().__init__(db, TokenLookup(db), None, frozenset())
        self.caller = Caller(actor, None, workspace.id, workspace.slug, None, permissions, "token")
        self._identity = Identity(actor, None, frozenset(), "token", home=self.caller)

    async def identify(self, authorization: str | None) -> Identity:  # noqa: ARG002 - nothing has to be proved
        """That caller."""
        return self._identity
