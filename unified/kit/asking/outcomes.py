"""What comes of a question: an answer, a reason why there is none, or a provider that is to be asked again."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel

Outcome = Literal[
    "not set up", "not allowed", "over budget", "too slow", "busy", "down", "refused", "cut off", "unreadable"
]
"""Why there is no answer."""

T = TypeVar("T", bound=BaseModel)


class ModelError(Exception):
    """There is no answer of the model.

    Attributes:
        outcome: Why, as one of few words.
        may_have_cost: Whether the provider may charge for it all the same.
    """

    def __init__(self, outcome: Outcome, message: str, *, may_have_cost: bool = False) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.may_have_cost = may_have_cost


class BusyError(ModelError):
    """The provider can't answer now.

    Attributes:
        seconds: After how many it may be asked again.
    """

    def __init__(self, outcome: Outcome, message: str, seconds: float) -> None:
        super().__init__(outcome, message)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """An answer, and the tokens of question and answer."""

    answer: T
    tokens: int
