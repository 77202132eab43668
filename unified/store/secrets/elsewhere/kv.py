"""Secrets that somebody keeps in Vault's key-value engine, version 2; nothing is written there.

The request is that of https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-version.
"""

from collections.abc import Mapping
from urllib.parse import quote

from unified.kit.errors import NotFoundError, PermissionDeniedError
from unified.kit.secrets import Secret
from unified.store.errors import StoreError
from unified.store.secrets.vault import vault_settings
from unified.store.secrets.vault_client import Vault


class VaultSecretError(StoreError):
    """Vault does not give a secret out, or has none there."""


async def read_field(path: str, field: str, environment: Mapping[str, str]) -> Secret:
    """One field of the newest version of a secret.

    Args:
        path: The engine's mount, and the secret's path in it: ``secret/acme/stripe``.
        field: Which field of it.
        environment: Variables that say where Vault is and how to be let in (docs/keys.md).

    Raises:
        VaultSecretError: If there is no such secret or field, or reading it is not allowed.
        MasterKeyError: If no Vault is configured.
        AdapterError: If Vault can't be asked.
    """
    mount, _, name = path.strip("/").partition("/")
    vault = Vault(vault_settings(environment))
    try:
        data = await vault.request("GET", f"{quote(mount)}/data/{quote(name)}")
    except NotFoundError:
        raise VaultSecretError(
            f"{vault} has no secret {name!r} in a key-value engine (version 2) at {mount!r}"
        ) from None
    except PermissionDeniedError:
        raise VaultSecretError(
            f"{vault} does not let this token read {mount}/data/{name}; its policy needs read on that path"
        ) from None
    values = data.get("data")
    if not isinstance(values, dict) or not isinstance(values.get(field), str) or not values[field]:
        raise VaultSecretError(f"{vault}: the secret {path!r} has no field {field!r} that holds text")
    return Secret(values[field])
