"""Providers, by pydantic-ai (https://ai.pydantic.dev): what they are sent, and what their failures mean.

The library takes seconds to import, so that `model` imports this module where a question is asked.
"""

import logging
from typing import Any, Generic, Self

from pydantic_ai import Agent, NativeOutput, PromptedOutput
from pydantic_ai import exceptions as ai
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider_class
from pydantic_ai.settings import ModelSettings as AiSettings

from unified.kit.asking.outcomes import Answered, BusyError, ModelError, Outcome, T
from unified.kit.asking.settings import MODEL_VARIABLE, ModelSettings

# Their DEBUG lines hold requests and answers, whole.
for _name in ("anthropic", "openai", "httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_ADDRESSES = {
    "anthropic": "https://api.anthropic.com",
    "openai": "https://api.openai.com/v1",
    "openai-chat": "https://api.openai.com/v1",
    "openai-responses": "https://api.openai.com/v1",
}
"""Said explicitly: the clients would also take them from files in the home folder."""

_FIRST_PAUSE_SECONDS = 1.0
"""Before a provider is asked again that does not say when."""


class Asking(Generic[T]):
    """A model that is ready to be asked."""

    def __init__(self, settings: ModelSettings, instructions: str, form: type[T], tokens: int) -> None:
        """Make a client of the provider.

        Args:
            settings: Which model.
            instructions: What it is to do.
            form: Of the answer.
            tokens: Of the longest answer. Below some 20,000 none of the providers answers as a stream.

        Raises:
            ModelError: If the provider is not known, or lacks a package or a setting.
        """
        self._name = settings.name
        try:
            model = infer_model(settings.name, lambda name: _provider(settings, name))
        except (ai.UserError, ImportError, ValueError, TypeError) as error:
            said = str(error).partition("\n")[0]
            raise ModelError("not set up", f"{settings.name} can't be asked: {said}") from None
        self._agent: Agent[object, T] = Agent(
            model,
            output_type=NativeOutput(form) if _knows_schemas(model) else PromptedOutput(form),
            instructions=instructions,
            retries=0,
            model_settings=AiSettings(max_tokens=tokens, timeout=settings.seconds, max_retries=0),
        )

    async def __aenter__(self) -> Self:
        await self._agent.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._agent.__aexit__(*error)

    async def ask(self, question: str) -> Answered[T]:
        """Ask once.

        Raises:
            BusyError: If the provider may answer later.
            ModelError: If there is no answer.
        """
        try:
            done = await self._agent.run(question)
        except (ai.ModelAPIError, ai.UnexpectedModelBehavior, ai.UserError) as error:
            raise self._explained(error) from None
        return Answered(done.output, done.usage.input_tokens + done.usage.output_tokens)

    def _explained(self, error: Exception) -> ModelError:
        """What a failure means. Its own message may repeat what was sent or answered, and goes no further."""
        _, outcome, what = next(meant for meant in _MEANINGS if isinstance(error, meant[0]))
        status = getattr(error, "status_code", None)
        said = f"{self._name}: {what}" + (f" ({status})" if status else "")
        if outcome == "busy":
            pause = _FIRST_PAUSE_SECONDS
            if isinstance(error, ai.ModelAPIError) and error.retry_after is not None:
                pause = error.retry_after
                said += f", and asks to wait {pause:.0f} s"
            return BusyError(outcome, said, pause)
        has_answered = isinstance(error, ai.UnexpectedModelBehavior)
        return ModelError(outcome, said, may_have_cost=has_answered or outcome == "too slow")


_MEANINGS: tuple[tuple[type[Exception], Outcome, str], ...] = (
    (ai.ModelQuotaExceededError, "refused", "the account has no credit left"),
    (ai.ModelRateLimitError, "busy", "it is over the account's rate limit"),
    (ai.ModelUnavailableError, "busy", "the provider is overloaded or down"),
    (ai.ModelServerError, "busy", "the provider fails"),
    (ai.ModelTimeoutError, "too slow", "it did not answer in time"),
    (ai.ModelConnectionError, "down", "the provider can't be reached"),
    (ai.ModelAuthenticationError, "refused", "the provider does not take the key"),
    (ai.ModelNotFoundError, "refused", f"the provider has no such model, see {MODEL_VARIABLE}"),
    (ai.ModelAPIError, "refused", "the provider refused the request"),
    (ai.ContentFilterError, "refused", "the model refused to answer"),
    (ai.OutputTokenLimitExceeded, "cut off", "the answer was cut off"),
    (Exception, "unreadable", "the answer has not the form that was asked for"),
)
"""What the library's errors mean, the narrower ones first."""


def _provider(settings: ModelSettings, name: str) -> Provider[Any]:
    said: dict[str, str] = {}
    if url := settings.url or _ADDRESSES.get(name):
        said["base_url"] = url
    if settings.key is not None:
        said["api_key"] = settings.key.reveal()
    elif url:
        said["api_key"] = "none"  # a server of one's own asks for none, and the client for some
    found: Provider[Any] = infer_provider_class(name)(**said)
    return found


def _knows_schemas(model: Model) -> bool:
    return bool(model.profile.get("supports_json_schema_output"))
