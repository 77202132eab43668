"""What a workspace is; `unified.store.workspaces.workspaces` keeps them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from unified.store.errors import StoreError

WORKSPACES = "SELECT id, slug, name, created_at, requires_approval, model_sees, compresses_raw, version FROM workspaces"

ModelSees = Literal["nothing", "shapes", "values"]
"""Of a stream's fields: nothing, so that no model is asked; names, types and shapes of values; or some values too."""


class WorkspaceNotFoundError(StoreError):
    """There is no such workspace."""

    def __init__(self, which: object) -> None:
        super().__init__(f"there is no workspace {which}")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant.

    Attributes:
        id: Carried by everything that it owns.
        slug: Its name in keys and commands.
        name: Its name for people.
        created_at: When it was made.
        requires_approval: Whether a new connection waits for an admin before its first use.
        model_sees: What a model may be shown of its records, when one is asked for rules.
        compresses_raw: Whether raw records that are stored from now on are compressed; then no SQL reads them.
        version: Rises with each change.
    """

    id: UUID
    slug: str
    name: str
    created_at: datetime
    requires_approval: bool
    model_sees: ModelSees
    compresses_raw: bool
    version: int
