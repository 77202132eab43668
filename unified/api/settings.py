"""What can be set about the HTTP server, and the limits that keep its memory flat."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from unified.kit.asking.settings import ModelSettings
from unified.kit.errors import ConfigurationError
from unified.kit.secrets import Secret
from unified.store.errors import StoreError

PUBLIC_URL_VARIABLE = "UNIFIED_PUBLIC_URL"
BODY_BYTES_VARIABLE = "UNIFIED_WEBHOOK_MAX_BYTES"
RATE_VARIABLE = "UNIFIED_WEBHOOK_RATE"
JWKS_VARIABLE = "UNIFIED_JWT_JWKS_URL"
ISSUER_VARIABLE = "UNIFIED_JWT_ISSUER"
AUDIENCE_VARIABLE = "UNIFIED_JWT_AUDIENCE"
SECRET_VARIABLE = "UNIFIED_JWT_SECRET"  # noqa: S105 - a name
WORKSPACE_CLAIM_VARIABLE = "UNIFIED_JWT_WORKSPACE_CLAIM"
SUPABASE_VARIABLE = "UNIFIED_SUPABASE_URL"
ADMINS_VARIABLE = "UNIFIED_ADMIN_SUBJECTS"
API_RATE_VARIABLE = "UNIFIED_API_RATE"
ORIGINS_VARIABLE = "UNIFIED_API_ORIGINS"
HOSTS_VARIABLE = "UNIFIED_API_HOSTS"
DAGSTER_VARIABLE = "UNIFIED_DAGSTER_URL"
MCP_CALLS_VARIABLE = "UNIFIED_MCP_CALLS"
MCP_ROWS_VARIABLE = "UNIFIED_MCP_ROWS"

_KIBIBYTE = 1024
_MEBIBYTE = 1024 * _KIBIBYTE


# RFC 7518 (3.2): a key as long as the hash at least.
_SHORTEST_SECRET = 32


class SettingError(StoreError):
    """An environment variable of the server can't be used."""


@dataclass(frozen=True)
class JwtSettings:
    """Whose JWTs are taken.

    Attributes:
        issuer: Their claim ``iss``.
        audience: Their claim ``aud``.
        jwks_url: Where the issuer's public keys are; empty with a secret.
        secret: What HS256 signs with, where there are no public keys; None with a URL.
        workspace_claim: The claim that names the only workspaces which a JWT is good for, where it has one.
    """

    issuer: str
    audience: str
    jwks_url: str = ""
    secret: Secret | None = None
    workspace_claim: str = "workspace"


@dataclass(frozen=True)
class ManagementSettings:
    """How the management API behaves.

    Attributes:
        jwt: Whose JWTs are taken; None takes API tokens only.
        admin_subjects: Subjects that may make workspaces and read metrics.
        rate: Requests a second that one caller may keep up.
        burst: How many it may send at once after a pause.
        body_bytes: Most that one request may have.
        bytes_in_flight: Most that all requests under way may have together.
        origins: Web pages of other origins that may use the API.
        open_hosts: Hosts, each with or without a port, that connections may lead to besides the providers' own.
        dagster_url: Where people open Dagster's UI, for links to runs; None shows none.
        mcp_calls: Calls of tools an hour that an agent's token is good for.
        mcp_rows: Rows an hour that an agent is shown.
        model: The language model that is asked for rules.
    """

    jwt: JwtSettings | None = None
    admin_subjects: frozenset[str] = frozenset()
    rate: int = 50
    burst: int = 200
    body_bytes: int = 256 * _KIBIBYTE
    bytes_in_flight: int = 16 * _MEBIBYTE
    origins: tuple[str, ...] = ()
    open_hosts: frozenset[str] = frozenset()
    dagster_url: str | None = None
    mcp_calls: int = 2_000
    mcp_rows: int = 20_000
    model: ModelSettings = field(default_factory=ModelSettings)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The defaults, but for what environment variables say.

        Raises:
            SettingError: If one of them can't be used, or they contradict each other.
        """
        return cls(
            jwt=_jwt(environment),
            admin_subjects=frozenset(_listed(environment, ADMINS_VARIABLE)),
            rate=(rate := _whole(environment, API_RATE_VARIABLE, cls.rate)),
            burst=4 * rate,
            origins=tuple(_listed(environment, ORIGINS_VARIABLE)),
            open_hosts=frozenset(host.lower() for host in _listed(environment, HOSTS_VARIABLE)),
            dagster_url=_url(environment, DAGSTER_VARIABLE, "")
            if environment.get(DAGSTER_VARIABLE)
            else None,
            mcp_calls=_whole(environment, MCP_CALLS_VARIABLE, cls.mcp_calls),
            mcp_rows=_whole(environment, MCP_ROWS_VARIABLE, cls.mcp_rows),
            model=_model(environment),
        )


@dataclass(frozen=True)
class Settings:
    """How the server behaves.

    Attributes:
        public_url: Where providers reach it, without a slash at the end. HubSpot signs it, so it is never taken from a
            request's headers, which the request's sender chooses.
        body_bytes: Most that a delivery of one event may have; one of many events may have 16 times as much.
        bytes_in_flight: Most that all deliveries under way may have together; more are turned away with 503.
        waiting: Most deliveries that may wait for their commit.
        connections: Most connections at once.
        endpoint_rate: Deliveries a second that one endpoint may keep up; more are turned away with 429.
        endpoint_burst: How many it may send at once after a pause.
        management: The management API.
    """

    public_url: str = "http://127.0.0.1:8000"
    body_bytes: int = _MEBIBYTE
    bytes_in_flight: int = 32 * _MEBIBYTE
    waiting: int = 2_000
    connections: int = 1_000
    endpoint_rate: float = 1_000
    endpoint_burst: int = 5_000
    management: ManagementSettings = ManagementSettings()

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the server by https."""
        return self.public_url.startswith("https://")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, *, address: str) -> Self:
        """The defaults, but for what environment variables say.

        Args:
            environment: Variables by name.
            address: The public URL where none is set: the server's own, which will do on one machine.

        Raises:
            SettingError: If one of them is no URL or no positive number.
        """
        return cls(
            public_url=_url(environment, PUBLIC_URL_VARIABLE, address),
            body_bytes=_whole(environment, BODY_BYTES_VARIABLE, cls.body_bytes),
            endpoint_rate=(rate := _whole(environment, RATE_VARIABLE, int(cls.endpoint_rate))),
            endpoint_burst=5 * rate,
            management=ManagementSettings.from_environment(environment),
        )


def _url(environment: Mapping[str, str], name: str, default: str) -> str:
    url = environment.get(name, "").rstrip("/") or default
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise SettingError(f"{name} must be an http(s) URL without a query, like https://hooks.example.com")
    return url


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not int(text):
        raise SettingError(f"{name} must be a whole number above 0, not {text!r}")
    return int(text)


def _model(environment: Mapping[str, str]) -> ModelSettings:
    try:
        return ModelSettings.from_environment(environment)
    except ConfigurationError as error:
        raise SettingError(str(error)) from None


def _listed(environment: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in environment.get(name, "").split(",") if part.strip()]


def _jwt(environment: Mapping[str, str]) -> JwtSettings | None:
    """Whose JWTs are taken: of one issuer, which signs by keys of its own or, if that is said, by a shared secret."""
    supabase = environment.get(SUPABASE_VARIABLE, "").rstrip("/")
    # https://supabase.com/docs/guides/auth/jwts
    issuer = environment.get(ISSUER_VARIABLE) or (f"{supabase}/auth/v1" if supabase else "")
    audience = environment.get(AUDIENCE_VARIABLE) or ("authenticated" if supabase else "")
    secret = environment.get(SECRET_VARIABLE, "")
    jwks_url = environment.get(JWKS_VARIABLE, "")
    if secret and jwks_url:
        raise SettingError(f"set {JWKS_VARIABLE} or {SECRET_VARIABLE}, not both: one way of signing is taken")
    if supabase and not secret:
        jwks_url = jwks_url or f"{issuer}/.well-known/jwks.json"
    if not (secret or jwks_url):
        if issuer or audience:
            raise SettingError(
                f"{ISSUER_VARIABLE} needs {JWKS_VARIABLE} beside it: where the issuer's keys are"
            )
        return None
    if not (issuer and audience):
        raise SettingError(f"JWTs are taken only with both {ISSUER_VARIABLE} and {AUDIENCE_VARIABLE} set")
    if secret and len(secret.encode()) < _SHORTEST_SECRET:
        raise SettingError(f"{SECRET_VARIABLE} needs {_SHORTEST_SECRET} bytes at least")
    if jwks_url:
        _check_keys_url(jwks_url)
    claim = environment.get(WORKSPACE_CLAIM_VARIABLE) or JwtSettings.workspace_claim
    return JwtSettings(issuer, audience, jwks_url, Secret(secret) if secret else None, claim)


def _check_keys_url(url: str) -> None:
    parts = urlsplit(url)
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_local)):
        raise SettingError(
            f"{JWKS_VARIABLE} must be an https:// URL: a person who can change its content can be anybody"
        )
