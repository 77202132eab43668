"""The ciphers that secrets are kept by: Fernet, and AES-256-GCM. Which one encrypts is chosen; both decrypt.

What is encrypted says by its beginning which of them it needs. AES-256-GCM takes what a value is bound to as
associated data; Fernet, AES-128-CBC with an HMAC, has none, and its callers derive a key for each place instead. Either
way a value that was moved or changed raises ``InvalidToken``. Which values there are, and what they are bound to:
`unified.store.secrets.rows` (credentials) and `unified.store.secrets.keys` (data keys).
"""

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from unified.store.errors import InvalidSettingError

CIPHER_VARIABLE = "UNIFIED_CIPHER"
"""``fernet``, the default, or ``aes-256-gcm``."""
FERNET, AES = "fernet", "aes-256-gcm"

AES_MARK = b"aes-256-gcm:1:"
"""What everything that is encrypted by AES-256-GCM begins with. No Fernet token does: theirs is base64 of 0x80."""

# Random; after 2^32 values under one key, two of them might be the same (NIST SP 800-38D, 8.3). A data key has dozens.
_NONCE_BYTES = 12


def chosen() -> str:
    """The cipher that encrypts from now on.

    Raises:
        InvalidSettingError: If UNIFIED_CIPHER names none; nothing is encrypted by a cipher that nobody chose.
    """
    name = os.environ.get(CIPHER_VARIABLE) or FERNET
    if name not in (FERNET, AES):
        raise InvalidSettingError(f"{CIPHER_VARIABLE} takes {FERNET} or {AES}, not {name!r}")
    return name


def encrypt(key: bytes, plain: bytes, *, bound_to: bytes, fernet: Callable[[], Fernet]) -> bytes:
    """Encrypt by the cipher that is chosen.

    Args:
        key: 32 random bytes.
        plain: What to encrypt.
        bound_to: Where it is kept, which is not stored with it.
        fernet: The Fernet of that key and place.
    """
    if chosen() == FERNET:
        return fernet().encrypt(plain)
    nonce = os.urandom(_NONCE_BYTES)
    return AES_MARK + nonce + _aes(key).encrypt(nonce, plain, AES_MARK + bound_to)


def decrypt(key: bytes, ciphertext: bytes, *, bound_to: bytes, fernet: Callable[[], Fernet]) -> bytes:
    """Decrypt by the cipher that it was encrypted by; arguments as for :func:`encrypt`.

    Raises:
        InvalidToken: If it was encrypted by another key or for another place, or changed since.
    """
    if not ciphertext.startswith(AES_MARK):
        return fernet().decrypt(ciphertext)
    rest = ciphertext[len(AES_MARK) :]
    try:
        return _aes(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], AES_MARK + bound_to)
    except (InvalidTag, ValueError):  # a nonce that was cut is a ValueError
        raise InvalidToken from None


def is_chosen(ciphertext: bytes) -> bool:
    """Whether something is encrypted by the cipher that is chosen."""
    return ciphertext.startswith(AES_MARK) == (chosen() == AES)


def _aes(key: bytes) -> AESGCM:
    """By a key of its own: one key serves one cipher."""
    return AESGCM(HKDF(SHA256(), 32, None, AES_MARK).derive(key))
