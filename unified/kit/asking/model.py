"""A model asked: one question, one answer of a given form, no tools. What does not become an answer has its reason.

Temperature is not set: current models do not take it. Who needs the same answer again stores it.
"""

import asyncio
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from unified.extras import how_to_install
from unified.kit.asking.outcomes import Answered, BusyError, ModelError, T
from unified.kit.asking.settings import ModelSettings

if TYPE_CHECKING:
    from unified.kit.asking.provider import Asking

LONGEST_ANSWER_TOKENS = 8_000

MOST_WAIT_SECONDS = 20.0
"""The longest pause that a provider may ask for before the question is asked again."""

MOST_ATTEMPTS = 3

_BYTES_A_TOKEN = 2
"""Fewer than any model's of English or JSON: what is counted beforehand is no less than what is used."""


def most_tokens(instructions: str, question: str) -> int:
    """How many tokens a question may use at most, its answer included."""
    asked = len(instructions.encode()) + len(question.encode())
    return asked // _BYTES_A_TOKEN + LONGEST_ANSWER_TOKENS


def ensure_ready(settings: ModelSettings) -> None:
    """See whether a model can be asked at all.

    Raises:
        ModelError: If there is no key, or the library is not installed.
    """
    if not settings.is_set_up:
        raise ModelError("not set up", f"{settings.name} has no key: {settings.missing()}")
    if find_spec("pydantic_ai") is None:
        raise ModelError("not set up", f"asking a model takes the extra `model`: {how_to_install('model')}")


async def ask(settings: ModelSettings, instructions: str, question: str, form: type[T]) -> Answered[T]:
    """Ask a model once; a provider that is busy is asked again, within the time that the settings give.

    Args:
        settings: Which model.
        instructions: What it is to do; ours alone.
        question: What it is to look at. Text in it may be anybody's.
        form: What the answer has to be. Limits of numbers and lengths are not enforced by providers.

    Raises:
        ModelError: If there is no answer of that form. The message is one line, and holds neither question nor answer.
    """
    ensure_ready(settings)
    make = await asyncio.to_thread(_load)
    asking: Asking[T] = make(settings, instructions, form, LONGEST_ANSWER_TOKENS)
    try:
        async with asyncio.timeout(settings.seconds):
            return await _asked(asking, question)
    except TimeoutError:
        raise ModelError(
            "too slow", f"{settings.name} did not answer within {settings.seconds} s", may_have_cost=True
        ) from None


async def _asked(asking: "Asking[T]", question: str) -> Answered[T]:
    async with asking:
        for _ in range(MOST_ATTEMPTS - 1):
            try:
                return await asking.ask(question)
            except BusyError as error:
                if error.seconds > MOST_WAIT_SECONDS:
                    raise
                await asyncio.sleep(error.seconds)
        return await asking.ask(question)


def _load() -> "type[Asking[Any]]":
    """The library, which takes seconds to import; in a thread, so that a server answers others meanwhile."""
    from unified.kit.asking.provider import Asking  # noqa: PLC0415 - as above

    return Asking
