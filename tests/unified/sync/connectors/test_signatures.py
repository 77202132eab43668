"""A signature is of one document and of one key, and everything else is refused."""

import base64
import json

import pytest

from unified.sync.connectors import signatures
from unified.sync.connectors.signatures import SignatureError, fingerprint, read_signature, sign

HASH = "ab" * 32


@pytest.fixture(scope="module")
def pair() -> tuple[str, str]:
    return signatures.generate()


def test_a_signature_says_who_made_it(pair: tuple[str, str]) -> None:
    private, public = pair
    made = sign(HASH, private.encode())
    read = read_signature(made.as_file().encode(), HASH, "c.yaml.sig")
    assert read == made
    assert (read.public_key, read.signer) == (public, fingerprint(public))


def test_it_is_of_no_other_document_and_of_no_other_key(pair: tuple[str, str]) -> None:
    made = sign(HASH, pair[0].encode())
    another = json.dumps({"key": signatures.generate()[1], "signature": made.signature})
    for text, hashed in ((made.as_file(), "cd" * 32), (another, HASH)):
        with pytest.raises(SignatureError, match="is not the signature of this document"):
            read_signature(text.encode(), hashed, "c.yaml.sig")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"key": "AAAA", "signature": "AAAA"}', '{"key": "\\u00e9", "signature": "*"}']
)
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(SignatureError, match="is not a signature"):
        read_signature(text.encode(), HASH, "c.yaml.sig")


def test_what_is_no_key_is_refused(pair: tuple[str, str]) -> None:
    for private in (b"", pair[1].encode(), b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(SignatureError, match="not an Ed25519 private key"):
            sign(HASH, private)
    for public in ("", "abc", base64.b64encode(b"short").decode(), "\u00e9" * 44):
        with pytest.raises(SignatureError, match="a public key is 32 bytes in base64"):
            fingerprint(public)
