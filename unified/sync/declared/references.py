"""Secrets by reference: a file says where each is found, and never what it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from unified.kit.errors import AdapterError
from unified.kit.secrets import Secret
from unified.store.errors import StoreError
from unified.store.secrets.elsewhere import references
from unified.sync.errors import SyncError


class SecretNotFoundError(SyncError):
    """A secret is not where the file says."""


@dataclass(frozen=True, slots=True)
class References:
    """Finds secrets.

    Attributes:
        folder: What relative paths begin at: where the file is.
        environment: Variables by name.
    """

    folder: Path
    environment: Mapping[str, str]

    async def find(self, reference: str) -> Secret:
        """The secret that a reference leads to.

        Raises:
            SecretNotFoundError: If there is none; the message names the reference and no value.
        """
        try:
            return await references.find(reference, self.environment, self.folder)
        except (AdapterError, StoreError) as error:
            raise SecretNotFoundError(str(error)) from None

    async def kept(self, kept_at: Mapping[str, str], workspace_id: UUID | None) -> dict[str, Secret]:
        """Secrets that stay where they are, by field; raises as :meth:`find`.

        Args:
            kept_at: Where, by field.
            workspace_id: The workspace; None where it is yet to be made, and no place is its own.
        """
        found: dict[str, Secret] = {}
        for field, reference in kept_at.items():
            try:
                found[field] = await references.resolve(self._whole(reference), workspace_id or uuid4())
            except (AdapterError, StoreError) as error:
                raise SecretNotFoundError(str(error)) from None
        return found

    async def all(self, found_at: Mapping[str, str]) -> dict[str, Secret]:
        """Secrets by field; raises as :meth:`find`."""
        return {field: await self.find(reference) for field, reference in found_at.items()}

    def _whole(self, reference: str) -> str:
        """A reference that leads to the same place from anywhere."""
        kind, _, place = reference.partition(":")
        return f"file:{(self.folder / Path(place).expanduser()).absolute()}" if kind == "file" else reference
