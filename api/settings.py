"""What can be set about the HTTP server, and the limits that keep its memory flat."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from store.errors import StoreError

PUBLIC_URL_VARIABLE = "UNIFIED_PUBLIC_URL"
BODY_BYTES_VARIABLE = "UNIFIED_WEBHOOK_MAX_BYTES"
RATE_VARIABLE = "UNIFIED_WEBHOOK_RATE"

_KIBIBYTE = 1024
_MEBIBYTE = 1024 * _KIBIBYTE


class SettingError(StoreError):
    """An environment variable of the server can't be used."""


@dataclass(frozen=True)
class Settings:
    """How the server behaves.

    Attributes:
        public_url: Where providers reach it, without a slash at the end. HubSpot signs it, so it is never taken from a
            request's headers, which whoever sends the request chooses.
        body_bytes: Most that one delivery may have.
        bytes_in_flight: Most that all deliveries under way may have together; more are turned away with 503.
        waiting: Most deliveries that may wait for their commit.
        connections: Most connections at once.
        endpoint_rate: Deliveries a second that one endpoint may keep up; more are turned away with 429.
        endpoint_burst: How many it may send at once after a pause.
    """

    public_url: str = "http://127.0.0.1:8000"
    body_bytes: int = _MEBIBYTE
    bytes_in_flight: int = 32 * _MEBIBYTE
    waiting: int = 2_000
    connections: int = 1_000
    endpoint_rate: float = 1_000
    endpoint_burst: int = 5_000

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
        )


def _url(environment: Mapping[str, str], name: str, default: str) -> str:
    url = environment.get(name, "").rstrip("/") or default
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise SettingError(
            f"{name} must be where providers reach this server, like https://hooks.example.com"
        )
    return url


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not int(text):
        raise SettingError(f"{name} must be a whole number above 0, not {text!r}")
    return int(text)
