"""JWTs: whether one is genuine and still good, and whom it names. Whether they may do anything is `access`'s question.

Keys come from the issuer's JWKS, whose algorithm follows from the key and never from the token; or, by explicit
setting only, from one shared secret. The rest is RFC 8725 (https://www.rfc-editor.org/rfc/rfc8725): nothing in a
token's header says where its key is.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.exceptions import InvalidTokenError

from unified.api.management.access.jwks import Jwks, KeysAwayError, UnknownKeyError
from unified.api.settings import JwtSettings

__all__ = ["BadJwtError", "Claims", "JwtVerifier", "KeysAwayError"]

# Clocks differ by seconds.
_LEEWAY_SECONDS = 10
_LONGEST = 8 * 1024
# A JWT comes with each of its bearer's requests, and was verified a moment ago. Never beyond its expiry; a key that
# its issuer withdraws lives for longer anyway (`jwks`).
_REMEMBERED_SECONDS = 30.0
_MOST_REMEMBERED = 10_000
_REQUIRED = ("exp", "iat", "aud", "iss", "sub")
# Where a key is or what it is, as the token's maker would like it.
_KEYS_IN_HEADER = frozenset({"jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "crit", "b64", "zip"})


class BadJwtError(Exception):
    """The JWT is not to be believed; the message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a genuine JWT says.

    Attributes:
        subject: Whom it names.
        workspaces: Slugs or ids of the only workspaces that it is good for; None where it names none.
    """

    subject: str
    workspaces: frozenset[str] | None


class JwtVerifier:
    """Verifies JWTs of one issuer."""

    def __init__(
        self, settings: JwtSettings, keys: Jwks, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take keys from ``keys``, unless ``settings`` have a secret; ``clock`` counts seconds."""
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._verified: dict[str, tuple[float, Claims]] = {}

    async def verify(self, token: str) -> Claims:
        """What a JWT says, if it is genuine, meant for us and not expired.

        Raises:
            BadJwtError: If it is not.
            KeysAwayError: If the issuer's keys can't be had now.
        """
        if len(token) > _LONGEST:
            raise BadJwtError("The JWT is too long.")
        good_until, claims = self._verified.get(token, (0.0, None))
        if claims is not None and self._clock() < good_until:
            return claims
        payload = await self._decode(token)
        if not payload["sub"]:
            raise BadJwtError("The JWT names nobody.")
        claims = Claims(payload["sub"], self._workspaces(payload))
        if len(self._verified) >= _MOST_REMEMBERED:
            self._verified.clear()
        good_for = min(payload["exp"] - time.time(), _REMEMBERED_SECONDS)
        self._verified[token] = (self._clock() + good_for, claims)
        return claims

    async def _decode(self, token: str) -> dict[str, Any]:
        try:
            key, algorithm = await self._key(jwt.get_unverified_header(token))
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": list(_REQUIRED)},
            )
        except InvalidTokenError as error:
            raise BadJwtError(_reason(error)) from None
        except UnknownKeyError:
            raise BadJwtError("The JWT is signed by a key that its issuer does not have.") from None
        except (TypeError, ValueError, OverflowError, RecursionError):
            raise BadJwtError("The JWT has a claim of a wrong type.") from None

    async def _key(self, header: dict[str, Any]) -> tuple[Any, str]:
        if _KEYS_IN_HEADER & header.keys():
            raise BadJwtError("The JWT's header says more than which key signed it.")
        if self._settings.secret is not None:
            return self._settings.secret.reveal(), "HS256"
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise BadJwtError("The JWT does not say which key signed it.")
        key = await self._keys.find(kid)
        return key.key, key.algorithm

    def _workspaces(self, payload: dict[str, Any]) -> frozenset[str] | None:
        """At the top, or in ``app_metadata``, which Supabase lets no user write; ``user_metadata`` is not looked at."""
        name = self._settings.workspace_claim
        below = payload.get("app_metadata")
        claimed = payload.get(name, below.get(name) if isinstance(below, dict) else None)
        if claimed is None:
            return None
        several = [claimed] if isinstance(claimed, str) else claimed
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            raise BadJwtError("The JWT has a workspace claim of a wrong type.")
        return frozenset(several)


def _reason(error: InvalidTokenError) -> str:
    """Why a JWT is refused. PyJWT's messages can quote it, so only the kinds of its errors are shown."""
    match error:
        case jwt.ExpiredSignatureError():
            return "The JWT has expired."
        case jwt.ImmatureSignatureError():
            return "The JWT is not valid yet."
        case jwt.InvalidAudienceError():
            return "The JWT is meant for somebody else (aud)."
        case jwt.InvalidIssuerError():
            return "The JWT comes from somebody else (iss)."
        case jwt.MissingRequiredClaimError():
            return f"The JWT lacks a claim; it needs {', '.join(_REQUIRED)}."
        case jwt.InvalidAlgorithmError():
            return "The JWT is signed in another way than its key is for (alg)."
        case jwt.InvalidSignatureError():
            return "The JWT's signature is wrong."
        case _:
            return "This is no JWT that can be read."
