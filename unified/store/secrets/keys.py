"""Master keys: where they come from, and wrapping and unwrapping data keys with them.

A master key never reaches the database. Its id is a short fingerprint, which stands beside what it wrapped,
so nothing is decrypted by trial. What it wraps, and how all of that moves to another one:
`unified.store.secrets.data_keys`. Master keys that never leave HashiCorp Vault: `unified.store.secrets.vault`.
"""

import base64
import hashlib
import logging
import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from cryptography.fernet import Fernet, InvalidToken

from unified.store import ciphers
from unified.store.errors import StoreError

MASTER_KEYS_VARIABLE = "UNIFIED_MASTER_KEYS"
KEY_FILE = "master.keys"

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")

_log = logging.getLogger(__name__)


class MasterKeyError(StoreError):
    """Master keys are missing, malformed, readable by others, or not the ones that this database needs."""


class UnknownMasterKeyError(MasterKeyError):
    """A data key is wrapped by a master key that this process does not have."""


class DamagedDataKeyError(MasterKeyError):
    """A wrapped data key was changed: its master key is here and does not unwrap it."""


class WrappedKey(NamedTuple):
    """A data key as the database holds it.

    Attributes:
        wrapped: The encrypted data key.
        key_id: Names the master key that wrapped it.
    """

    wrapped: bytes
    key_id: str


class KeyProvider(Protocol):
    """Wraps and unwraps data keys. Asynchronous, because a provider may be a service on the network."""

    async def primary_key_id(self) -> str:
        """Names the master key that wraps from now on."""
        ...

    @property
    def takes_cipher(self) -> bool:
        """Whether it wraps by the cipher that is chosen (:mod:`unified.store.ciphers`), or by one of its own."""
        ...

    def has(self, key_id: str) -> bool:
        """Whether a master key is of this provider. It may be one that it has given up."""
        ...

    async def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypt a data key under the primary master key."""
        ...

    async def unwrap(self, wrapped: bytes, key_id: str) -> bytes:
        """Decrypt a data key.

        Raises:
            UnknownMasterKeyError: If there is no master key ``key_id`` here.
            DamagedDataKeyError: If that master key did not wrap this.
        """
        ...

    async def rewrap(self, keys: Sequence[WrappedKey]) -> list[WrappedKey]:
        """Move data keys to the primary master key, in the same order; raises what :meth:`unwrap` does."""
        ...

    async def renew(self) -> None:
        """Put a new primary in front, unless former keys still await retirement or a person sets the keys."""
        ...

    async def retire(self, in_use: Collection[str]) -> tuple[str, ...]:
        """Give up every key that is neither the primary nor in use.

        Args:
            in_use: Ids of the master keys that wrap a data key.

        Returns:
            Ids of the keys that are gone, or that a person may remove from where they are set.
        """
        ...


class MasterKey(NamedTuple):
    """A master key in plain, which wraps data keys by the cipher that is chosen, bound to its own id.

    Attributes:
        id: Its fingerprint.
        key: 32 bytes.
        fernet: The same as a Fernet.
    """

    id: str
    key: bytes
    fernet: Fernet

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypt a data key."""
        wrapped = ciphers.encrypt(self.key, data_key, bound_to=self._bound_to, fernet=lambda: self.fernet)
        return WrappedKey(wrapped, self.id)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Decrypt a data key; raises InvalidToken where this key did not wrap it so."""
        return ciphers.decrypt(self.key, wrapped, bound_to=self._bound_to, fernet=lambda: self.fernet)

    @property
    def _bound_to(self) -> bytes:
        return f"unified data key|{self.id}".encode()

    def __repr__(self) -> str:
        return f"MasterKey(id={self.id!r})"


class LocalKeyProvider:
    """Master keys in memory; the first is the primary, the others only unwrap."""

    takes_cipher = True

    def __init__(self, keys: Iterable[str], source: str = "the list of master keys") -> None:
        """Take master keys.

        Args:
            keys: Each 32 bytes in URL-safe base64, the form of a Fernet key; the primary first.
            source: Where they come from, for error messages.

        Raises:
            MasterKeyError: If there is none, or one is not a Fernet key; the message says which, not its text.
        """
        self._keys = _parse(keys, source)
        self._source = source

    async def primary_key_id(self) -> str:
        """Names the first key."""
        return self._primary

    def has(self, key_id: str) -> bool:
        """Whether a key id is a fingerprint, as all of this kind are."""
        return _FINGERPRINT.fullmatch(key_id) is not None

    async def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypt a data key under the first key."""
        return self._keys[self._primary].wrap(data_key)

    async def unwrap(self, wrapped: bytes, key_id: str) -> bytes:
        """Decrypt a data key; see :meth:`KeyProvider.unwrap`."""
        if key_id not in self._keys:
            raise UnknownMasterKeyError(
                f"a workspace's data key is wrapped by master key {key_id}, which is not in {self._source} "
                f"(it has {', '.join(self._keys)}); put that key there, behind the others, and restart "
                "whatever reads it from the environment"
            )
        try:
            return self._keys[key_id].unwrap(wrapped)
        except InvalidToken:
            raise DamagedDataKeyError(
                f"a workspace's data key does not unwrap under its master key {key_id}: "
                "its row was changed; restore it from a backup"
            ) from None

    async def rewrap(self, keys: Sequence[WrappedKey]) -> list[WrappedKey]:
        """Move data keys to the first key."""
        return [await self.wrap(await self.unwrap(*key)) for key in keys]

    async def renew(self) -> None:
        """Do nothing: the person who set these keys has put the new one first."""

    async def retire(self, in_use: Collection[str]) -> tuple[str, ...]:
        """Name the keys that may now be removed from where they are set."""
        return tuple(key_id for key_id in self._keys if key_id not in {self._primary, *in_use})

    @property
    def _primary(self) -> str:
        return next(iter(self._keys))


class FileKeyProvider(LocalKeyProvider):
    """Master keys in a file of one key a line, which only its owner reads and which is replaced as a whole.

    Other processes use the same file while it changes: they read it again before they wrap, and when they
    meet a key id that is new to them.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, after making it with one new key where there is none.

        Raises:
            MasterKeyError: If others may read it, or it holds something else than Fernet keys.
        """
        self._path = path
        if not path.exists() and _create(path, generate_key()):
            _log.warning(
                "made a master key in %s; without that file the stored credentials can't be read: back it up",
                path,
            )
        super().__init__(_read(path), str(path))

    async def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypt a data key under the file's first key."""
        self._reload()
        return await super().wrap(data_key)

    async def unwrap(self, wrapped: bytes, key_id: str) -> bytes:
        """Decrypt a data key; see :meth:`KeyProvider.unwrap`."""
        if key_id not in self._keys:
            self._reload()
        if key_id not in self._keys and key_id in map(fingerprint, self._former()):
            raise UnknownMasterKeyError(
                f"a workspace's data key is wrapped by master key {key_id}, which was retired, as in a copy of a "
                f"database that was made before; put its line from {self._retired} into {self._path}, behind the others"
            )
        return await super().unwrap(wrapped, key_id)

    async def renew(self) -> None:
        """Put a new key on the file's first line, unless an unfinished rotation has done so."""
        keys = _read(self._path)
        if len(keys) == 1:
            _replace(self._path, [generate_key(), *keys])
        self._reload()

    async def retire(self, in_use: Collection[str]) -> tuple[str, ...]:
        """Leave only the first key and those in use in the file; the others go into one beside it.

        Backups that were made before need them. They go there first: a process may be killed in between.
        """
        primary, *former = _read(self._path)
        kept = [key for key in former if fingerprint(key) in in_use]
        gone = [key for key in former if key not in kept]
        if gone:
            _replace(self._retired, list(dict.fromkeys([*self._former(), *gone])))
            _replace(self._path, [primary, *kept])
        return tuple(map(fingerprint, gone))

    @property
    def _retired(self) -> Path:
        return self._path.with_name(f"{self._path.name}.former")

    def _former(self) -> list[str]:
        return _read(self._retired) if self._retired.exists() else []

    def _reload(self) -> None:
        # A key that has left the file still unwraps here, for a row that was read before it was re-wrapped.
        self._keys = _parse(_read(self._path), self._source) | self._keys


class JoinedKeyProvider:
    """Several providers as one, so that data keys can move from one to another: the first one wraps."""

    def __init__(self, providers: Sequence[KeyProvider]) -> None:
        """Join at least one provider, the one that wraps first."""
        self._first, *self._others = providers

    @property
    def takes_cipher(self) -> bool:
        """Whether the first provider does."""
        return self._first.takes_cipher

    async def primary_key_id(self) -> str:
        """Names the first provider's primary."""
        return await self._first.primary_key_id()

    def has(self, key_id: str) -> bool:
        """Whether a master key is of any of them."""
        return any(provider.has(key_id) for provider in (self._first, *self._others))

    async def wrap(self, data_key: bytes) -> WrappedKey:
        """Encrypt a data key by the first provider."""
        return await self._first.wrap(data_key)

    async def unwrap(self, wrapped: bytes, key_id: str) -> bytes:
        """Decrypt a data key by the provider that its master key belongs to."""
        for provider in self._others:
            if provider.has(key_id):
                return await provider.unwrap(wrapped, key_id)
        return await self._first.unwrap(wrapped, key_id)

    async def rewrap(self, keys: Sequence[WrappedKey]) -> list[WrappedKey]:
        """Move data keys to the first provider; those that it has already it moves by itself."""
        own = [key for key in keys if self._first.has(key.key_id)]
        moved = dict(zip(own, await self._first.rewrap(own), strict=True))
        for key in keys:
            if key not in moved:
                moved[key] = await self.wrap(await self.unwrap(*key))
        return [moved[key] for key in keys]

    async def renew(self) -> None:
        """Nothing new is made while data keys move between providers."""

    async def retire(self, in_use: Collection[str]) -> tuple[str, ...]:
        """Name the other providers' keys that are not in use; none is destroyed."""
        keys = [await provider.primary_key_id() for provider in self._others]
        return tuple(key_id for key_id in keys if key_id not in in_use)


def generate_key() -> str:
    """A new master key: 32 random bytes in URL-safe base64."""
    return Fernet.generate_key().decode()


def fingerprint(key: str) -> str:
    """The name of a master key: a short fingerprint, which shows nothing of the key."""
    return hashlib.sha256(b"unified master key " + key.strip().encode()).hexdigest()[:16]


def _parse(keys: Iterable[str], source: str) -> dict[str, MasterKey]:
    """Master keys by id, in the order given."""
    parsed: dict[str, MasterKey] = {}
    for place, key in enumerate(keys, start=1):
        try:
            fernet = Fernet(key.strip())
        except ValueError:
            raise MasterKeyError(
                f"key {place} of {source} is not a Fernet key (32 bytes in URL-safe base64); "
                "make one with `unified keys generate`"
            ) from None
        key_id = fingerprint(key)
        parsed[key_id] = MasterKey(key_id, base64.urlsafe_b64decode(key.strip()), fernet)
    if not parsed:
        raise MasterKeyError(f"there is no key in {source}; make one with `unified keys generate`")
    return parsed


def _read(path: Path) -> list[str]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        keys = path.read_text(encoding="ascii", errors="replace").split()
    except OSError as error:
        raise MasterKeyError(f"the master keys in {path} can't be read: {error.strerror}") from error
    if mode & 0o077:
        raise MasterKeyError(
            f"{path} may be read by others (mode {mode:o}); run `chmod 600 {path}`, "
            "then `unified keys rotate` if anyone may have read it"
        )
    return keys


def _create(path: Path, key: str) -> bool:
    """Write a new file, whole from the first moment on; False where another process was quicker."""
    with _writing(path), _draft_beside(path, [key]) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    return True


def _replace(path: Path, keys: list[str]) -> None:
    with _writing(path), _draft_beside(path, keys) as draft:
        draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say in one line why the file can't be written: a full disk, a quota, a right that is missing."""
    try:
        yield
    except OSError as error:
        raise MasterKeyError(
            f"the master keys in {path} can't be written: {error.strerror}; the file is as it was. Make room on its "
            "disk, or see to the folder's rights, and try again"
        ) from error


@contextmanager
def _draft_beside(path: Path, keys: list[str]) -> Iterator[Path]:
    """A draft on disk, in the same folder, gone at the end; mkstemp makes it readable by its owner only."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.writelines(f"{key}\n" for key in keys)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)
