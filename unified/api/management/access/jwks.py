"""The issuer's public keys (RFC 7517), fetched over HTTP and kept.

A key that is not known makes them be fetched again, which rotation needs, but not more often than every
:data:`REFETCH_SECONDS`, or made-up key ids would make us flood the issuer. While the issuer is away the keys that are
there go on being used, for :data:`STALE_SECONDS` at most: a key that was withdrawn must not live for ever. They are
fetched and read aside, so an issuer holds up nothing else.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from unified.sync.access.aside import Aside

FRESH_SECONDS = 600.0
STALE_SECONDS = 24 * 3600.0
REFETCH_SECONDS = 30.0
_FIRST_SECONDS = 3.0  # between two tries as long as there is no key at all
FETCH_SECONDS = 5.0
_LARGEST = 256 * 1024
_MOST_KEYS = 100
_WEAKEST_RSA = 2048

_ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
_CURVES = {"EC": "P-256", "OKP": "Ed25519"}

# One fetch of an issuer's is under way at a time.
_fetches = Aside("jwks", at_once=2)

_log = logging.getLogger(__name__)


class UnknownKeyError(Exception):
    """The issuer has no key of that id."""


class KeysAwayError(Exception):
    """The issuer's keys can't be had now, and none that were kept may still be used."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key of the issuer's.

    Attributes:
        key: As PyJWT takes it.
        algorithm: The only one that it is good for.
    """

    key: Any
    algorithm: str


class Jwks:
    """An issuer's keys."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Fetch them from ``url``; ``clock`` counts seconds."""
        self._url = url
        self._clock = clock
        self._keys: dict[str, PublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> PublicKey:
        """The key of that id. A caller with a known key does not wait for a fetch.

        Raises:
            UnknownKeyError: If the issuer has none.
            KeysAwayError: If that can't be said now.
        """
        now = self._clock()
        age = None if self._fetched_at is None else now - self._fetched_at
        if age is not None and age < STALE_SECONDS and (key := self._keys.get(kid)):
            if age > FRESH_SECONDS:
                self._fetch(now)
            return key
        if task := self._fetch(now):
            await asyncio.shield(task)
        if self._fetched_at is None or self._clock() - self._fetched_at >= STALE_SECONDS:
            raise KeysAwayError("The issuer of JWTs can't be asked for its keys; come again.")
        if kid not in self._keys:
            raise UnknownKeyError
        return self._keys[kid]

    def _fetch(self, now: float) -> asyncio.Task[None] | None:
        """The fetch under way, or a new one; None where it is too early for one."""
        if self._fetching is not None:
            return self._fetching
        pause = REFETCH_SECONDS if self._keys else _FIRST_SECONDS
        if self._tried_at is not None and now - self._tried_at < pause:
            return None
        self._tried_at = now
        self._fetching = asyncio.create_task(self._replace())
        return self._fetching

    async def _replace(self) -> None:
        try:
            keys = await _fetches.run(self._load, seconds=FETCH_SECONDS)
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            _log.warning("the JWKS at %s can't be used: %s", self._url, str(error) or type(error).__name__)
        else:
            self._keys = keys
            self._fetched_at = self._clock()
        finally:
            self._fetching = None

    async def _load(self) -> dict[str, PublicKey]:
        # The environment's proxies are not used: one of them could give us keys of its own. Nothing is decompressed: a
        # few kilobytes could become hundreds of megabytes.
        headers = {"accept-encoding": "identity"}
        async with (
            httpx.AsyncClient(trust_env=False, follow_redirects=False, headers=headers) as client,
            client.stream("GET", self._url) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"it was answered with {response.status_code}")
            if "content-encoding" in response.headers:
                raise ValueError("it is compressed, which was not asked for")
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > _LARGEST:
                    raise ValueError("it has too many bytes")
        return _read(body)


def _read(body: bytes) -> dict[str, PublicKey]:
    """Keys by id. One that can't be used is left out, as RFC 7517 (5) has it.

    Raises:
        ValueError: If this is no JWKS, or it has no key that can be used.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("it is not JSON") from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is not a JWKS")  # noqa: TRY004 - its sender chose the type
    keys = {jwk["kid"]: key for jwk in listed[:_MOST_KEYS] if (key := _public_key(jwk))}
    if not keys:
        raise ValueError("it has no key that can be used")
    return keys


def _public_key(jwk: Any) -> PublicKey | None:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or jwk.get("use", "sig") != "sig":
        return None
    kind = jwk.get("kty")
    algorithm = _ALGORITHMS.get(kind) if isinstance(kind, str) else None
    if (
        algorithm is None
        or jwk.get("alg", algorithm) != algorithm
        or jwk.get("crv") != _CURVES.get(str(kind))
    ):
        return None
    try:
        key = PyJWK(jwk, algorithm).key
    except (PyJWTError, TypeError, ValueError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _WEAKEST_RSA:
        return None
    # A private key has no business there; PyJWT would read it as one.
    return None if "d" in jwk else PublicKey(key, algorithm)
