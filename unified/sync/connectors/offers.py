"""A document that somebody offers for installation: read, checked, tried on its recorded exchanges, and who vouches.

Nothing is stored here, and nothing leaves: see :mod:`unified.sync.connectors.installing`.
"""

from dataclasses import dataclass
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import Document, read
from unified.kit.errors import ConfigurationError
from unified.kit.registry import packaged_adapters
from unified.store.connectors import trust
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.connectors.documents import NewDocument, Tier
from unified.store.database import Database
from unified.sync.access.aside import Aside
from unified.sync.connectors import templates
from unified.sync.connectors.files import Files
from unified.sync.connectors.golden import Golden, GoldenError, read_golden, rehearse
from unified.sync.connectors.signatures import Signature, read_signature

_MOST_SECONDS = 60.0
_ASIDE = Aside("rehearsal", at_once=2)


class RevokedError(ConfigurationError):
    """A document, or the key that signed it, was revoked."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A document that can be installed.

    Attributes:
        document: What it says.
        adapter: The connector that it makes.
        tier: By who vouches for it.
        signer: Who signed it, by name where the key is known, else by fingerprint.
        deprecated: Why the operator advises against it, where that is so.
        records: How many records its recorded exchanges made, all as expected; None where it has none.
        stored: What to store of it.
    """

    document: Document
    adapter: type[BaseAdapter[Any]]
    tier: Tier
    signer: str | None
    deprecated: str | None
    records: int | None
    stored: NewDocument

    @property
    def entry(self) -> ConnectorEntry:
        """Its place in the catalogue."""
        return ConnectorEntry.of(self.adapter, is_document=True)


async def examine(db: Database, files: Files) -> Offer:
    """Read a document, check all that comes with it, and try it on its recorded exchanges.

    Args:
        db: Knows whose signatures count, what was revoked and what is deprecated.
        files: What was handed in.

    Raises:
        DocumentError: If it is not a document that this release can run; with file, line and what to do.
        SignatureError: If its signature is not its own.
        RevokedError: If it, or the key that signed it, was revoked.
        GoldenError: If it does not make of its recorded exchanges what it should.
        ConfigurationError: If a connector of a package has its name.
    """
    document, adapter = read_document(files)
    signature = _signature(files, document)
    keys = {key.fingerprint: key for key in await trust.keys(db)}
    await _refuse_revoked(db, document, signature)
    golden = _golden(files)
    records = None if golden is None else await _rehearsed(adapter, golden)
    key = keys.get(signature.signer) if signature else None
    return Offer(
        document=document,
        adapter=adapter,
        tier=_tier(document, key),
        signer=key.name if key else (signature.signer if signature else None),
        deprecated=trust.why_deprecated(await trust.deprecations(db), adapter.name, document.hash),
        records=records,
        stored=NewDocument(
            connector=adapter.name,
            version=document.version,
            hash=document.hash,
            source=files.document.decode(),
            exchanges=None if files.exchanges is None else files.exchanges.decode(),
            tier=_tier(document, key),
            signer=signature.signer if signature else None,
            signature=signature.signature if signature else None,
        ),
    )


def read_document(files: Files) -> tuple[Document, type[BaseAdapter[Any]]]:
    """A document and the connector that it makes; raises as :func:`examine`, of the document alone."""
    document = read(files.document, files.name)
    adapter = adapter_class(document)
    if adapter.name in packaged_adapters():
        raise ConfigurationError(
            f"{files.name}: the connector {adapter.name} comes with an installed package; give the document another id"
        )
    return document, adapter


async def tried(files: Files) -> int | None:
    """How many records a document makes of its recorded exchanges, all as expected; None where it has none.

    Raises:
        DocumentError, GoldenError, ConfigurationError: As :func:`examine`.
    """
    _, adapter = read_document(files)
    golden = _golden(files)
    return None if golden is None else await _rehearsed(adapter, golden)


async def _rehearsed(adapter: type[BaseAdapter[Any]], golden: Golden) -> int:
    """How many records agree; away from the server's loop, as it is somebody's document that runs."""
    try:
        return await _ASIDE.run(lambda: rehearse(adapter, golden), seconds=_MOST_SECONDS)
    except TimeoutError:
        raise GoldenError(
            f"{adapter.name} is not done with its recorded exchanges after {_MOST_SECONDS:.0f} s; record less, or look "
            "for waits and loops"
        ) from None


def _golden(files: Files) -> Golden | None:
    return None if files.exchanges is None else read_golden(files.exchanges, f"the exchanges of {files.name}")


def _signature(files: Files, document: Document) -> Signature | None:
    if files.signature is None:
        return None
    return read_signature(files.signature, document.hash, f"the signature of {files.name}")


async def _refuse_revoked(db: Database, document: Document, signature: Signature | None) -> None:
    revoked = await trust.revocations(db)
    for what in (document.hash, signature.signer if signature else ""):
        if found := revoked.get(what):
            raise RevokedError(
                f"version {document.version} of {document.id} was revoked ({found.reason}); use another one"
            )


def _tier(document: Document, key: trust.SigningKey | None) -> Tier:
    """By who vouches: a template of this release is the project's own, whatever it is signed with."""
    if document.hash in templates.hashes():
        return "project"
    return key.tier if key else "unsigned"
