"""Master keys in HashiCorp Vault: data keys are wrapped and unwrapped by a key that never leaves it.

The requests themselves: `unified.store.secrets.transit`. What is here: how Vault's key versions are named in
the database, how long an unwrapped data key is remembered, and what is read from the environment.
"""

import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from unified.kit.errors import AdapterError, UnavailableError
from unified.kit.secrets import Secret
from unified.store.secrets.keys import DamagedDataKeyError, MasterKeyError, UnknownMasterKeyError, WrappedKey
from unified.store.secrets.transit import TransitKey
from unified.store.secrets.transit_refusals import CiphertextError
from unified.store.secrets.transit_settings import VaultLogin, VaultSettings

FRESH_SECONDS = 5 * 60.0
"""How long an unwrapped data key is used without asking Vault again."""
KEPT_SECONDS = 15 * 60.0
"""How long it is used while Vault can't be asked: an outage of up to ten minutes stops nothing that runs."""
AGAIN_SECONDS = 30.0
"""How long not to ask again where Vault could not be asked."""
MOST_KEPT = 10_000

# As docs/keys.md lists them.
_ADDRESS = "VAULT_ADDR"
_TOKEN = "VAULT_TOKEN"  # noqa: S105 - a variable's name
_ROLE_ID = "UNIFIED_VAULT_ROLE_ID"
_KUBERNETES_ROLE = "UNIFIED_VAULT_KUBERNETES_ROLE"

_CIPHERTEXT = re.compile(rb"vault:v([1-9][0-9]*):")


class KeyServiceError(MasterKeyError):
    """Vault could not be asked, or did not do what it was asked for. Nothing was changed."""


@dataclass(slots=True)
class _Remembered:
    """An unwrapped data key, with monotonic times in seconds: since when, and when to ask again."""

    data_key: bytes
    since: float
    ask_at: float

    def __repr__(self) -> str:
        return f"_Remembered(since={self.since})"


class VaultKeyProvider:
    """A key of Vault's transit engine; each of its versions is a master key.

    Unwrapped data keys are remembered for some minutes, in this process's memory alone. So nearly no use of a
    credential waits for Vault, and a short outage of Vault stops nothing that runs. A right that is taken away
    in Vault is noticed when a key is next asked for.
    """

    takes_cipher = False

    def __init__(self, settings: VaultSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Use a key.

        Args:
            settings: Which one.
            clock: Seconds that only rise.

        Raises:
            MasterKeyError: If the settings can't be used.
        """
        with _as_key_errors():
            self._key = TransitKey(settings)
        self._name = f"vault:{settings.mount.strip('/')}/{settings.key}:v"
        self._clock = clock
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._is_there = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The key that environment variables name.

        Raises:
            MasterKeyError: If one is missing or can't be used; the message never repeats a value.
        """
        return cls(vault_settings(environment))

    async def primary_key_id(self) -> str:
        """Names the key's latest version."""
        with _as_key_errors():
            return f"{self._name}{(await self._key.versions()).latest}"

    def has(self, key_id: str) -> bool:
        """Whether a key id names a version of this key."""
        return key_id.startswith(self._name)

    async def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypt a data key under the latest version."""
        with _as_key_errors():
            if not self._is_there:
                # To encrypt with a key that does not exist makes it, where the policy is generous.
                await self._key.versions()
                self._is_there = True
            wrapped = self._wrapped(await self._key.encrypt(data_key))
        self._remember(wrapped.wrapped, data_key)
        return wrapped

    async def unwrap(self, wrapped: bytes, key_id: str) -> bytes:
        """Decrypt a data key, from memory where it was decrypted lately; see :meth:`KeyProvider.unwrap`."""
        if not self.has(key_id):
            raise UnknownMasterKeyError(
                f"a workspace's data key is wrapped by master key {key_id}, which is not of {self._key}; "
                "set UNIFIED_KEY_PROVIDER to both providers until `unified keys rotate` has moved it"
            )
        if not _CIPHERTEXT.match(wrapped) or self._wrapped(wrapped.decode(errors="replace")).key_id != key_id:
            raise _damaged(key_id)
        known, now = self._remembered.get(wrapped), self._clock()
        if known and now < known.ask_at:
            self._remembered.move_to_end(wrapped)
            return known.data_key
        try:
            with _as_key_errors():
                data_key = await self._key.decrypt(wrapped.decode())
        except KeyServiceError as error:
            if known and now < known.since + KEPT_SECONDS and isinstance(error.__cause__, UnavailableError):
                known.ask_at = now + AGAIN_SECONDS
                return known.data_key
            self._remembered.pop(wrapped, None)
            if isinstance(error.__cause__, CiphertextError):
                raise _damaged(key_id, str(error)) from None
            raise
        self._remember(wrapped, data_key)
        return data_key

    async def rewrap(self, keys: Sequence[WrappedKey]) -> list[WrappedKey]:
        """Move data keys to the latest version inside Vault; they are not seen here."""
        with _as_key_errors():
            try:
                renewed = await self._key.rewrap([key.wrapped.decode(errors="replace") for key in keys])
            except CiphertextError as error:
                raise _damaged(", ".join(sorted({key.key_id for key in keys})), str(error)) from None
            return [self._wrapped(ciphertext) for ciphertext in renewed]

    async def renew(self) -> None:
        """Make a new version, unless an unfinished rotation or Vault's own schedule has made one."""
        with _as_key_errors():
            oldest, latest = await self._key.versions()
            if oldest == latest:
                await self._key.rotate()

    async def retire(self, in_use: Collection[str]) -> tuple[str, ...]:
        """Let no version decrypt that is older than all in use. Vault keeps them; `trim` there destroys them."""
        with _as_key_errors():
            oldest, latest = await self._key.versions()
            used = [int(key_id.removeprefix(self._name)) for key_id in in_use if self.has(key_id)]
            needed = min([latest, *used])
            if needed > oldest:
                await self._key.set_oldest(needed)
        return tuple(f"{self._name}{version}" for version in range(oldest, needed))

    def _wrapped(self, ciphertext: str) -> WrappedKey:
        wrapped = ciphertext.encode()
        version = _CIPHERTEXT.match(wrapped)
        if version is None:
            raise KeyServiceError(f"{self._key} answered with something that is not a ciphertext of its own")
        return WrappedKey(wrapped, f"{self._name}{int(version[1])}")

    def _remember(self, wrapped: bytes, data_key: bytes) -> None:
        now = self._clock()
        self._remembered[wrapped] = _Remembered(data_key, now, now + FRESH_SECONDS)
        self._remembered.move_to_end(wrapped)
        if len(self._remembered) > MOST_KEPT:
            self._remembered.popitem(last=False)


def _damaged(key_id: str, reason: str = "it is not a ciphertext of that key") -> DamagedDataKeyError:
    return DamagedDataKeyError(
        f"a workspace's data key does not unwrap under its master key {key_id} ({reason}): its row was changed, "
        "or that version was switched off in Vault; restore the row or allow the version again"
    )


def vault_settings(environment: Mapping[str, str]) -> VaultSettings:
    """The Vault that environment variables name, as docs/keys.md lists them, and its transit key.

    Raises:
        MasterKeyError: If one is missing or can't be used; the message never repeats a value.
    """
    given = {name: value for name, value in environment.items() if value}
    if _ADDRESS not in given:
        raise MasterKeyError(f"{_ADDRESS} is not set, so it is not known where Vault is")
    return VaultSettings(
        address=given[_ADDRESS],
        key=given.get("UNIFIED_VAULT_KEY", "unified"),
        credential=_credential(given),
        mount=given.get("UNIFIED_VAULT_MOUNT", "transit"),
        namespace=given.get("VAULT_NAMESPACE"),
        ca_file=given.get("VAULT_CACERT"),
    )


def _credential(given: Mapping[str, str]) -> Secret | VaultLogin:
    methods = [name for name in (_TOKEN, _ROLE_ID, _KUBERNETES_ROLE) if name in given]
    if len(methods) != 1:
        raise MasterKeyError(
            f"Vault needs one way to log in: set {_TOKEN}, or {_ROLE_ID} with UNIFIED_VAULT_SECRET_ID, or "
            f"{_KUBERNETES_ROLE}; set are {' and '.join(methods) or 'none'}"
        )
    if _TOKEN in given:
        return Secret(given[_TOKEN])
    mount = given.get("UNIFIED_VAULT_AUTH_MOUNT")
    if _KUBERNETES_ROLE in given:
        return VaultLogin(mount or "kubernetes", kubernetes_role=given[_KUBERNETES_ROLE])
    secret_id = given.get("UNIFIED_VAULT_SECRET_ID")
    return VaultLogin(mount or "approle", given[_ROLE_ID], Secret(secret_id) if secret_id else None)


@contextmanager
def _as_key_errors() -> Iterator[None]:
    """What Vault's client raises, as errors of the master keys."""
    try:
        yield
    except AdapterError as error:
        raise KeyServiceError(str(error)) from error
