"""Which model is asked, where, and within which limits: one set of variables for a deployment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from unified.kit.errors import ConfigurationError
from unified.kit.secrets import Secret

MODEL_VARIABLE = "UNIFIED_MODEL"
KEY_VARIABLE = "UNIFIED_MODEL_KEY"
URL_VARIABLE = "UNIFIED_MODEL_URL"
SECONDS_VARIABLE = "UNIFIED_MODEL_SECONDS"
TOKENS_VARIABLE = "UNIFIED_MODEL_TOKENS"

_USUAL_KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openai-chat": "OPENAI_API_KEY",
    "openai-responses": "OPENAI_API_KEY",
}
"""Where the providers' own clients look for a key."""


@dataclass(frozen=True)
class ModelSettings:
    """Which model is asked.

    Attributes:
        name: Provider and model, as pydantic-ai writes them (https://ai.pydantic.dev/models/overview/).
        key: The provider's; None where none is set.
        url: Where the provider is reached; empty for its usual address.
        seconds: Within how many an answer has to be there, repetitions included.
        tokens: How many a workspace may use a day, of question and answer together.
    """

    name: str = "anthropic:claude-sonnet-5-5"
    key: Secret | None = None
    url: str = ""
    seconds: int = 90
    tokens: int = 200_000

    @property
    def provider(self) -> str:
        """Its provider, as pydantic-ai calls it."""
        return self.name.partition(":")[0]

    @property
    def is_set_up(self) -> bool:
        """Whether it can be asked: a provider of its own variables may have a key where none is seen here."""
        return self.key is not None or bool(self.url) or self.provider not in _USUAL_KEYS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The defaults, but for what environment variables say.

        Raises:
            ConfigurationError: If one of them can't be used.
        """
        name = environment.get(MODEL_VARIABLE) or cls.name
        provider, colon, model = name.partition(":")
        if not (provider and colon and model):
            raise ConfigurationError(
                f"{MODEL_VARIABLE} names a provider and a model, like {cls.name} or openai-chat:llama3.3"
            )
        key = environment.get(KEY_VARIABLE) or environment.get(_USUAL_KEYS.get(provider, ""), "")
        return cls(
            name,
            Secret(key) if key else None,
            _url(environment.get(URL_VARIABLE, "")),
            _whole(environment, SECONDS_VARIABLE, cls.seconds),
            _whole(environment, TOKENS_VARIABLE, cls.tokens),
        )

    def missing(self) -> str:
        """What to set, where it is not set up."""
        return (
            f"set {_USUAL_KEYS[self.provider]} or {KEY_VARIABLE}, or {URL_VARIABLE} for a server of your own"
        )


def _url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("https", "http") or not parts.hostname or parts.username):
        raise ConfigurationError(f"{URL_VARIABLE} must be an http(s) URL, like http://127.0.0.1:11434/v1")
    return url


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ConfigurationError(f"{name} must be a whole number above 0")
    return int(text)
