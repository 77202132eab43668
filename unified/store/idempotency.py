"""Answers kept for a day, so that a request that is repeated with its Idempotency-Key is carried out once.

An answer is encrypted under the workspace's data key: it may show a secret for the one time that it is shown. Of the
request a keyed hash is kept, to see whether it is the same.
"""

import base64
import hmac
import json
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.secrets import data_keys
from unified.store.secrets.keys import KeyProvider

KEPT = timedelta(hours=24)
UNDER_WAY = timedelta(minutes=1)
"""After this long without an answer its process is taken for dead, and the request may be repeated."""


class KeyReusedError(StoreError):
    """The key came before, with another request."""


class UnderWayError(StoreError):
    """The same request is being carried out right now."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer is kept.

    Attributes:
        workspace_id: The workspace.
        caller: Who asks; two callers' keys have nothing to do with each other.
        route: What for: method and path.
        key: The request's Idempotency-Key.
    """

    workspace_id: UUID
    caller: str
    route: str
    key: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request to carry out now, and then to :meth:`Answers.keep` or :meth:`Answers.abandon`."""

    place: Place
    id: UUID
    cipher: Fernet


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What the same request was answered before.

    Attributes:
        status: Of HTTP.
        answer: Whatever was kept.
    """

    status: int
    answer: bytes


class Answers:
    """Keeps answers."""

    def __init__(self, db: Database, provider: KeyProvider) -> None:
        """Keep them in ``db``, encrypted by data keys that ``provider`` unwraps."""
        self._db = db
        self._provider = provider

    async def begin(self, place: Place, request: bytes) -> Attempt | KeptAnswer:
        """Claim a key, or say what the same request was answered before.

        Args:
            place: Where the answer is kept.
            request: All of the request that makes a difference.

        Raises:
            KeyReusedError: If the key came before with another request.
            UnderWayError: If the same request is being carried out.
            MasterKeyError: If the workspace's data key can't be unwrapped.
        """
        attempt_id = uuid4()
        async with self._db.workspace(place.workspace_id) as conn:
            data_key = await data_keys.current(conn, self._provider, place.workspace_id)
            cipher, hash_key = _keys(place, data_key.key)
            request_hash = hmac.digest(hash_key, request, "sha256")
            await conn.execute("DELETE FROM idempotency_keys WHERE created_at < now() - %s", (KEPT,))
            # Where the row is there already, this waits for the transaction that is just writing it.
            claimed = await conn.execute(
                """
                INSERT INTO idempotency_keys AS k (workspace_id, caller, route, key, request_hash, attempt_id)
                VALUES (%s, %s, %s, %s, %s, %s)
                ON CONFLICT (workspace_id, caller, route, key) DO UPDATE
                SET attempt_id = excluded.attempt_id, created_at = now()
                WHERE k.status IS NULL AND k.request_hash = excluded.request_hash AND k.created_at < now() - %s
                """,
                (
                    place.workspace_id,
                    place.caller,
                    place.route,
                    place.key,
                    request_hash,
                    attempt_id,
                    UNDER_WAY,
                ),
            )
            if claimed.rowcount:
                return Attempt(place, attempt_id, cipher)
            rows = await conn.execute(
                """
                SELECT request_hash, status, answer FROM idempotency_keys
                WHERE (caller, route, key) = (%s, %s, %s)
                """,
                (place.caller, place.route, place.key),
            )
            former_hash, status, answer = await rows.fetchone() or (b"", None, None)
        if former_hash and not hmac.compare_digest(former_hash, request_hash):
            raise KeyReusedError("this Idempotency-Key came before with another request; use a new one")
        if status is None or answer is None:
            raise UnderWayError("the same request is being carried out; repeat it in a moment")
        try:
            return KeptAnswer(status, cipher.decrypt(answer))
        except InvalidToken:
            raise KeyReusedError(
                "the answer kept under this Idempotency-Key can't be read; use a new one"
            ) from None

    async def keep(self, attempt: Attempt, status: int, answer: bytes) -> None:
        """Keep the answer of a request that was carried out."""
        async with self._db.workspace(attempt.place.workspace_id) as conn:
            await conn.execute(
                "UPDATE idempotency_keys SET status = %s, answer = %s WHERE attempt_id = %s",
                (status, attempt.cipher.encrypt(answer), attempt.id),
            )

    async def abandon(self, attempt: Attempt) -> None:
        """Give a key free again: the request was refused or failed, and may be repeated."""
        async with self._db.workspace(attempt.place.workspace_id) as conn:
            await conn.execute("DELETE FROM idempotency_keys WHERE attempt_id = %s", (attempt.id,))


def _keys(place: Place, data_key: bytes) -> tuple[Fernet, bytes]:
    """What encrypts the answer and what hashes the request, in this place alone."""
    parts = ("unified answer", str(place.workspace_id), place.caller, place.route, place.key)
    derived = HKDF(SHA256(), 64, None, json.dumps(parts).encode()).derive(data_key)
    return Fernet(base64.urlsafe_b64encode(derived[:32])), derived[32:]
