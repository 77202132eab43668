"""JWTs: whatever is not the issuer's, meant for us and in time is refused, and the issuer may be away for a while."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.unified.api.management.rig import AUDIENCE, ISSUER, KEYS, RSA_KEY, Issuer, public_jwk, signed
from unified.api.management.access.jwks import FRESH_SECONDS, REFETCH_SECONDS, STALE_SECONDS, Jwks
from unified.api.management.access.jwts import BadJwtError, JwtVerifier, KeysAwayError
from unified.api.settings import JwtSettings, ManagementSettings, SettingError
from unified.kit.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRET = "a-fake-secret-of-more-than-32-bytes"
STRANGER = rsa.generate_private_key(65537, 2048)


class Clock:
    """Counts seconds when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    made.publish()
    async with made.serving():
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(issuer: Issuer, clock: Clock) -> JwtVerifier:
    return JwtVerifier(JwtSettings(ISSUER, AUDIENCE, issuer.url), Jwks(issuer.url, clock=clock), clock=clock)


def by_secret() -> JwtVerifier:
    return JwtVerifier(JwtSettings(ISSUER, AUDIENCE, secret=Secret(SECRET)), Jwks(""))


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "someone", "iat": now, "exp": now + 300, **changed}


def made_by_hand(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    """A JWT as no library would make it."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize("kid", KEYS)
async def test_a_jwt_of_the_issuer_names_its_subject(verifier: JwtVerifier, kid: str) -> None:
    assert (await verifier.verify(signed("ann", kid=kid))).subject == "ann"


async def test_supabase_jwts_are_taken(issuer: Issuer) -> None:
    settings = ManagementSettings.from_environment({"UNIFIED_SUPABASE_URL": "https://ref.supabase.co/"}).jwt
    assert settings is not None
    assert settings.issuer == "https://ref.supabase.co/auth/v1"
    assert settings.jwks_url == "https://ref.supabase.co/auth/v1/.well-known/jwks.json"
    extra = {
        "role": "authenticated",
        "email": "a@example.com",
        "session_id": "s",
        "app_metadata": {"workspace": "acme"},
        "user_metadata": {"workspace": "other"},
    }
    token = signed("ann", kid="ec", iss=settings.issuer, aud=settings.audience, **extra)
    found = await JwtVerifier(settings, Jwks(issuer.url)).verify(token)
    assert (found.subject, found.workspaces) == ("ann", {"acme"})
    # The project's own keys to its API are JWTs as well, and name nobody.
    with pytest.raises(BadJwtError, match="lacks a claim"):
        await JwtVerifier(settings, Jwks(issuer.url)).verify(
            signed(sub=None, iss=settings.issuer, aud=settings.audience, role="service_role")
        )


@pytest.mark.parametrize("missing", ["exp", "iat", "aud", "iss", "sub"])
async def test_a_claim_that_is_missing_is_missed(verifier: JwtVerifier, missing: str) -> None:
    with pytest.raises(BadJwtError):
        await verifier.verify(signed(**{missing: None}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"aud": {"unified": 1}},
        {"iss": "https://issuer.example.com.evil.example"},
        {"iss": ISSUER + "/"},
        {"exp": 1},
        {"exp": "never"},
        {"exp": int(time.time()) - 60},
        {"nbf": int(time.time()) + 86_400},
        {"iat": int(time.time()) + 86_400},
        {"iat": "now"},
        {"sub": ""},
        {"sub": 7},
        {"sub": ["ann"]},
        {"workspace": 7},
        {"workspace": ["acme", 7]},
    ],
)
async def test_a_claim_that_is_wrong_is_refused(verifier: JwtVerifier, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadJwtError) as refusal:
        await verifier.verify(signed(**wrong))
    assert "someone" not in str(refusal.value)


async def test_what_was_verified_a_moment_ago_is_not_beyond_its_expiry(
    verifier: JwtVerifier, issuer: Issuer, clock: Clock
) -> None:
    soon = signed(exp=int(time.time()) + 5)
    assert await verifier.verify(soon) is await verifier.verify(soon)
    later = signed(exp=int(time.time()) - 9)  # within the leeway
    assert await verifier.verify(later) is not await verifier.verify(later)
    clock.now += STALE_SECONDS
    issuer.status = 500
    with pytest.raises(KeysAwayError):
        await verifier.verify(soon)


async def test_clocks_may_differ_by_seconds(verifier: JwtVerifier) -> None:
    assert await verifier.verify(signed(exp=int(time.time()) - 3))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
async def test_no_signature_is_none(verifier: JwtVerifier, alg: str) -> None:
    for one in (verifier, by_secret()):
        for kid in ({"kid": "rsa"}, {}):
            with pytest.raises(BadJwtError):
                await one.verify(made_by_hand({"alg": alg, "typ": "JWT", **kid}, claims()))


@pytest.mark.parametrize("kid", KEYS)
async def test_the_public_key_is_no_secret(verifier: JwtVerifier, kid: str) -> None:
    """The public key, which everybody knows, signs nothing by HS256."""
    pem = KEYS[kid][0].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for secret in (pem, pem.strip()):
        head = {"alg": "HS256", "typ": "JWT", "kid": kid}
        unsigned = made_by_hand(head, claims()).rpartition(".")[0]
        signature = hmac.digest(secret, unsigned.encode(), hashlib.sha256)
        with pytest.raises(BadJwtError):
            await verifier.verify(made_by_hand(head, claims(), signature))


async def test_a_key_signs_in_its_own_way_only(verifier: JwtVerifier) -> None:
    for algorithm in ("RS384", "RS512", "PS256"):
        token = jwt.encode(claims(), RSA_KEY, algorithm, headers={"kid": "rsa"})
        with pytest.raises(BadJwtError, match="another way"):
            await verifier.verify(token)
    with pytest.raises(BadJwtError):
        await verifier.verify(signed(kid="rsa", header={"kid": "ec"}))


async def test_a_signature_is_of_this_very_text(verifier: JwtVerifier) -> None:
    head, payload, signature = signed("ann").split(".")
    other = signed("bob").split(".")[1]
    for changed in (f"{head}.{other}.{signature}", f"{head}.{payload}.", f"{head}.{payload}", "a.b.c", ".."):
        with pytest.raises(BadJwtError):
            await verifier.verify(changed)
    for deep in (made_by_hand({"alg": "RS256", "kid": "rsa"}, {}), "."):
        nested = base64.urlsafe_b64encode(b'{"a":' + b"[" * 5_000).decode()
        with pytest.raises(BadJwtError):
            await verifier.verify(f"{nested}.{deep}")
    with pytest.raises(BadJwtError, match="too long"):
        await verifier.verify(signed("a" * 9_000))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c", "crit", "b64", "zip"])
async def test_a_jwt_does_not_say_where_its_key_is(verifier: JwtVerifier, issuer: Issuer, name: str) -> None:
    values: dict[str, Any] = {
        "jku": issuer.url,
        "x5u": issuer.url,
        "jwk": public_jwk("rsa", STRANGER, "RS256"),
        "x5c": ["x"],
        "crit": ["exp"],
        "b64": True,
        "zip": "DEF",
    }
    unsigned = made_by_hand({"alg": "RS256", "kid": "rsa", name: values[name]}, claims()).rpartition(".")[0]
    signature = jwt.get_algorithm_by_name("RS256").sign(unsigned.encode(), RSA_KEY)
    whole = f"{unsigned}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    with pytest.raises(BadJwtError, match="no JWT" if name == "crit" else "header"):
        await verifier.verify(whole)
    assert issuer.fetches == 0


async def test_made_up_key_ids_do_not_flood_the_issuer(
    verifier: JwtVerifier, issuer: Issuer, clock: Clock
) -> None:
    for number in range(20):
        with pytest.raises(BadJwtError, match="does not have"):
            await verifier.verify(signed(header={"kid": f"made-up-{number}"}))
    assert issuer.fetches == 1
    clock.now += REFETCH_SECONDS
    with pytest.raises(BadJwtError):
        await verifier.verify(signed(header={"kid": "made-up"}))
    assert issuer.fetches == 2
    for kid in (None, 7, ["rsa"], {"rsa": 1}):
        with pytest.raises(BadJwtError):
            await verifier.verify(made_by_hand({"alg": "RS256", "kid": kid}, claims(), b"x"))


async def test_a_new_key_is_found_and_a_former_one_forgotten(
    verifier: JwtVerifier, issuer: Issuer, clock: Clock
) -> None:
    assert await verifier.verify(signed())
    issuer.publish(new=KEYS["ec"])
    KEYS["new"] = KEYS["ec"]
    try:
        clock.now += REFETCH_SECONDS
        assert await verifier.verify(signed(kid="new"))
    finally:
        del KEYS["new"]
    with pytest.raises(BadJwtError):
        await verifier.verify(signed())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (404, b"{}"),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"keys": 7}'),
        (200, b'{"keys": []}'),
        (200, b'{"keys": [7, {}, {"kid": 7}, {"kid": "rsa", "kty": ["RSA"]}, {"kid": "rsa", "kty": "RSA"}]}'),
        (200, b'{"keys": [{"kid": "rsa", "kty": "oct", "k": "c2VjcmV0"}]}'),
        (200, b"[" * 100_000),
        (200, b" " * 300_000),
    ],
)
async def test_while_the_issuer_is_in_trouble_known_keys_stay_good_for_a_day(
    verifier: JwtVerifier, issuer: Issuer, clock: Clock, status: int, body: bytes
) -> None:
    assert await verifier.verify(signed())
    issuer.status, issuer.body, issuer.location = status, body, issuer.url if status == 302 else ""
    clock.now += FRESH_SECONDS + 1
    assert await verifier.verify(signed())
    clock.now = STALE_SECONDS - 1
    assert await verifier.verify(signed())
    with pytest.raises(BadJwtError):
        await verifier.verify(signed(header={"kid": "made-up"}))
    clock.now = STALE_SECONDS + 60
    with pytest.raises(KeysAwayError):
        await verifier.verify(signed())
    issuer.status, issuer.location = 200, ""
    issuer.publish()
    clock.now += REFETCH_SECONDS
    assert await verifier.verify(signed())


async def test_an_issuer_that_was_never_there_is_asked_again_soon(clock: Clock) -> None:
    issuer = Issuer()
    async with issuer.serving():
        away = issuer.url
    verifier = JwtVerifier(JwtSettings(ISSUER, AUDIENCE, away), Jwks(away, clock=clock))
    for _ in range(2):
        with pytest.raises(KeysAwayError):
            await verifier.verify(signed())


async def test_nobody_with_a_known_key_waits_for_a_slow_issuer(
    verifier: JwtVerifier, issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await verifier.verify(signed())
    issuer.delay = 3600
    clock.now += FRESH_SECONDS + 1
    assert await verifier.verify(signed())  # and not an hour later
    monkeypatch.setattr("unified.api.management.access.jwks.FETCH_SECONDS", 0.01)
    fresh = JwtVerifier(JwtSettings(ISSUER, AUDIENCE, issuer.url), Jwks(issuer.url))
    with pytest.raises(KeysAwayError):
        await fresh.verify(signed())


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
async def test_weak_and_foreign_keys_are_not_taken(issuer: Issuer) -> None:
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is what is refused
    wide = ec.generate_private_key(ec.SECP384R1())
    private = jwt.get_algorithm_by_name("RS256").to_jwk(RSA_KEY, as_dict=True)
    listed = [
        public_jwk("weak", weak, "RS256"),
        public_jwk("wide", wide, "ES384"),
        public_jwk("to-encrypt", RSA_KEY, "RS256", use="enc"),
        public_jwk("other-way", RSA_KEY, "RS256", alg="PS256"),
        {**private, "kid": "private"},
        public_jwk("rsa", RSA_KEY, "RS256"),
    ]
    issuer.body = json.dumps({"keys": listed}).encode()
    verifier = JwtVerifier(JwtSettings(ISSUER, AUDIENCE, issuer.url), Jwks(issuer.url))
    assert await verifier.verify(signed())
    for key, algorithm, kid in (
        (weak, "RS256", "weak"),
        (wide, "ES384", "wide"),
        (RSA_KEY, "RS256", "to-encrypt"),
        (RSA_KEY, "PS256", "other-way"),
        (RSA_KEY, "RS256", "private"),
    ):
        with pytest.raises(BadJwtError):
            await verifier.verify(jwt.encode(claims(), key, algorithm, headers={"kid": kid}))


async def test_a_secret_takes_hs256_and_nothing_else() -> None:
    verifier = by_secret()
    assert (await verifier.verify(jwt.encode(claims(), SECRET, "HS256"))).subject == "someone"
    for token in (
        signed(),
        jwt.encode(claims(), SECRET * 2, "HS512"),
        jwt.encode(claims(), SECRET[::-1], "HS256"),
        made_by_hand({"alg": "none"}, claims()),
    ):
        with pytest.raises(BadJwtError):
            await verifier.verify(token)


@pytest.mark.parametrize(
    "environment",
    [
        {"UNIFIED_JWT_SECRET": SECRET},
        {"UNIFIED_JWT_SECRET": "short", "UNIFIED_JWT_ISSUER": ISSUER, "UNIFIED_JWT_AUDIENCE": "a"},
        {"UNIFIED_JWT_JWKS_URL": "https://i.example.com/k"},
        {"UNIFIED_JWT_JWKS_URL": "https://i.example.com/k", "UNIFIED_JWT_ISSUER": ISSUER},
        {"UNIFIED_JWT_JWKS_URL": "https://i.example.com/k", "UNIFIED_JWT_AUDIENCE": "a"},
        {
            "UNIFIED_JWT_JWKS_URL": "https://i.example.com/k",
            "UNIFIED_JWT_SECRET": SECRET,
            "UNIFIED_JWT_ISSUER": ISSUER,
            "UNIFIED_JWT_AUDIENCE": "a",
        },
        {
            "UNIFIED_JWT_JWKS_URL": "http://i.example.com/k",
            "UNIFIED_JWT_ISSUER": ISSUER,
            "UNIFIED_JWT_AUDIENCE": "a",
        },
        {"UNIFIED_JWT_ISSUER": ISSUER, "UNIFIED_JWT_AUDIENCE": "a"},
        {"UNIFIED_API_RATE": "0"},
    ],
)
def test_settings_that_would_take_the_wrong_jwts_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingError) as refusal:
        ManagementSettings.from_environment(environment)
    assert SECRET not in str(refusal.value)


def test_without_settings_no_jwt_is_taken() -> None:
    assert ManagementSettings.from_environment({}).jwt is None
