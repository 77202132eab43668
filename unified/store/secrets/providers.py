"""Which master keys this process is set up with: local ones, HashiCorp Vault's, or both while data keys move.

What a provider of keys does is `unified.store.secrets.keys`'s and `unified.store.secrets.vault`'s.
"""

import os
from pathlib import Path

from unified.store import ciphers
from unified.store.secrets.keys import (
    KEY_FILE,
    MASTER_KEYS_VARIABLE,
    FileKeyProvider,
    JoinedKeyProvider,
    KeyProvider,
    LocalKeyProvider,
    MasterKeyError,
)
from unified.store.server.embedded import home

PROVIDER_VARIABLE = "UNIFIED_KEY_PROVIDER"


def load_provider() -> KeyProvider:
    """The master keys that this process is set up with.

    ``UNIFIED_KEY_PROVIDER`` says whose they are: ``local``, the default, or ``vault``; both, while data keys
    move from one to the other, with the one that wraps first. Of the local ones ``UNIFIED_MASTER_KEYS``
    (comma-separated, the primary first) wins. Without it, the embedded database has its keys in a file beside
    it. Any other database has none, and that is an error: nothing is stored unencrypted.

    Raises:
        MasterKeyError: If there are no keys, or no usable ones.
        InvalidSettingError: If UNIFIED_CIPHER names no cipher.
    """
    ciphers.chosen()  # so that nothing starts that could not encrypt
    providers = [
        _provider_named(name.strip()) for name in (os.environ.get(PROVIDER_VARIABLE) or "local").split(",")
    ]
    return providers[0] if len(providers) == 1 else JoinedKeyProvider(providers)


def key_file() -> Path | None:
    """The file with the master keys, which may not be there yet; None where they come from anywhere else."""
    elsewhere = (MASTER_KEYS_VARIABLE, PROVIDER_VARIABLE, "DATABASE_URL")
    return None if any(os.environ.get(name) for name in elsewhere) else home() / KEY_FILE


def _provider_named(name: str) -> KeyProvider:
    if name == "local":
        return _local_provider()
    if name == "vault":
        # HTTP, which few installations need here.
        from unified.store.secrets.vault import VaultKeyProvider  # noqa: PLC0415

        return VaultKeyProvider.from_environment()
    raise MasterKeyError(f"{PROVIDER_VARIABLE} takes local or vault, or both with a comma, not {name!r}")


def _local_provider() -> LocalKeyProvider:
    keys = os.environ.get(MASTER_KEYS_VARIABLE)
    if keys is not None:
        return LocalKeyProvider(keys.split(","), MASTER_KEYS_VARIABLE)
    if os.environ.get("DATABASE_URL"):
        raise MasterKeyError(
            f"DATABASE_URL is set but {MASTER_KEYS_VARIABLE} is not, and nothing is stored unencrypted; "
            "make a key with `unified keys generate` and pass it in that variable from your secret store"
        )
    return FileKeyProvider(home() / KEY_FILE)
