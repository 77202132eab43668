"""The files of a connector document: itself, its recorded exchanges, its signature.

They stand beside each other: ``acme.yaml``, ``acme.exchanges.json``, ``acme.yaml.sig``; in a folder of one document
they are ``connector.yaml``, ``exchanges.json``, ``connector.yaml.sig``.
"""

from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from unified.kit.errors import ConfigurationError
from unified.sync.connectors.signatures import SUFFIX

DOCUMENT = "connector.yaml"
EXCHANGES = "exchanges.json"


@dataclass(frozen=True, slots=True)
class Files:
    """What somebody hands in.

    Attributes:
        name: Of the document's file, for errors.
        document: YAML or JSON.
        exchanges: Its recorded exchanges, JSON.
        signature: The file beside it.
    """

    name: str
    document: bytes
    exchanges: bytes | None = None
    signature: bytes | None = None

    @classmethod
    def of(cls, path: Path) -> "Files":
        """The files of a document.

        Args:
            path: The document, or the folder of one.

        Raises:
            ConfigurationError: If it is a folder without one.
            OSError: If it can't be read.
        """
        document = path
        if path.is_dir():
            document = path / DOCUMENT
            if not document.is_file():
                raise ConfigurationError(
                    f"there is no {DOCUMENT} in the folder {path}; name the document's file"
                )
        beside = document.with_name(
            EXCHANGES if document.name == DOCUMENT else f"{document.stem}.{EXCHANGES}"
        )
        signature = document.with_name(document.name + SUFFIX)
        return cls(
            str(document),
            document.read_bytes(),
            beside.read_bytes() if beside.is_file() else None,
            signature.read_bytes() if signature.is_file() else None,
        )

    @classmethod
    def within(cls, folder: Traversable) -> "Files":
        """The files of a document that is part of a package."""
        return cls(
            f"{folder.name}/{DOCUMENT}", (folder / DOCUMENT).read_bytes(), (folder / EXCHANGES).read_bytes()
        )
