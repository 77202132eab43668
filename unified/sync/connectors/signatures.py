"""Signatures on connector documents: Ed25519 (RFC 8032) over the hash of what a document says.

A document's signature stands in a file beside it, ``connector.yaml.sig``. Which keys count, and for which tier, is
`unified.store.connectors.trust`'s.
"""

import base64
import hashlib
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from unified.kit.errors import ConfigurationError

SUFFIX = ".sig"
# So that a signature is of no use for anything else that is a hash.
_PURPOSE = b"unified-assets connector document\n"


class SignatureError(ConfigurationError):
    """A signature or a key can't be used, or is not of this document."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was checked: it is of the document that it came with.

    Attributes:
        public_key: Of the signer, in base64.
        signature: In base64.
    """

    public_key: str
    signature: str

    @property
    def signer(self) -> str:
        """The signer's fingerprint."""
        return fingerprint(self.public_key)

    def as_file(self) -> str:
        """What stands in the file beside the document."""
        return msgspec.json.encode({"key": self.public_key, "signature": self.signature}).decode() + "\n"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    signature: str


def generate() -> tuple[str, str]:
    """A new key: the private one in PEM, which only the signer keeps, and the public one in base64."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), _public(key)


def sign(document_hash: str, private_key: bytes) -> Signature:
    """Sign a document.

    Args:
        document_hash: SHA-256 of what it says, in hexadecimal digits.
        private_key: Ed25519, in PEM without a password.

    Raises:
        SignatureError: If the key is not such a one.
    """
    try:
        key = serialization.load_pem_private_key(private_key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise SignatureError(
            "the key is not an Ed25519 private key in PEM without a password; `unified connectors keys new` makes one"
        )
    return Signature(_public(key), base64.b64encode(key.sign(_PURPOSE + document_hash.encode())).decode())


def read_signature(text: bytes, document_hash: str, name: str) -> Signature:
    """The signature of a document, from the file beside it.

    Args:
        text: The file.
        document_hash: SHA-256 of what the document says.
        name: The file's, for errors.

    Raises:
        SignatureError: If it can't be read, or is the signature of something else.
    """
    try:
        said = msgspec.json.decode(text, type=_File)
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(said.key, validate=True))
        public.verify(base64.b64decode(said.signature, validate=True), _PURPOSE + document_hash.encode())
    except InvalidSignature:
        raise SignatureError(
            f"{name} is not the signature of this document, which was changed after it was signed; get both anew"
        ) from None
    except ValueError:
        raise SignatureError(
            f'{name} is not a signature: expected {{"key": "…", "signature": "…"}}'
        ) from None
    return Signature(said.key, said.signature)


def fingerprint(public_key: str) -> str:
    """SHA-256 of a public key, in hexadecimal digits.

    Args:
        public_key: Ed25519, its 32 bytes in base64.

    Raises:
        SignatureError: If it is not such a key.
    """
    try:
        raw = base64.b64decode(public_key, validate=True)
        Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise SignatureError("a public key is 32 bytes in base64, 44 letters and digits") from None
    return hashlib.sha256(raw).hexdigest()


def _public(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()
