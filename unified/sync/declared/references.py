"""Secrets by reference: a file says where each is found, and never what it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unified.kit.errors import AdapterError
from unified.kit.secrets import Secret
from unified.store.errors import StoreError
from unified.store.secrets.kv import read_field
from unified.sync.errors import SyncError

_MOST_BYTES = 65_536


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
        kind, _, place = reference.partition(":")
        match kind:
            case "env":
                found = self.environment.get(place, "")
                missing = f"the environment has no {place}"
            case "file":
                found, missing = self._of_file(place)
            case _:
                path, _, field = place.partition("#")
                try:
                    return await read_field(path, field, self.environment)
                except (AdapterError, StoreError) as error:
                    raise SecretNotFoundError(f"{reference}: {error}") from None
        if not found.strip():
            raise SecretNotFoundError(f"{reference}: {missing}")
        return Secret(found.strip())

    def _of_file(self, place: str) -> tuple[str, str]:
        path = self.folder / Path(place).expanduser()
        try:
            with path.open("rb") as file:
                text = file.read(_MOST_BYTES + 1)
            if len(text) > _MOST_BYTES:
                raise SecretNotFoundError(f"file:{place}: the file is too large to hold a secret")
            return text.decode(), f"{path} is empty"
        except OSError as error:
            raise SecretNotFoundError(f"file:{place}: {path} can't be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise SecretNotFoundError(f"file:{place}: {path} does not hold text") from None

    async def all(self, references: Mapping[str, str]) -> dict[str, Secret]:
        """Secrets by field; raises as :meth:`find`."""
        return {field: await self.find(reference) for field, reference in references.items()}
