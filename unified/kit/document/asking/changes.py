"""How a document's list is asked for what changed: by which parameters, in which spans, from when on."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from unified.kit.document.asking.bodies import Taker
from unified.kit.document.parts import SCOPE, Expression, Keys, Parameters, Said, check_expressions
from unified.kit.mapping.expressions.times import CLOCK, is_format


def _is_format(form: str) -> str:
    if not is_format(form):
        raise ValueError("it is neither iso, epoch, epoch_ms, date nor a pattern of strftime")
    return form


class Changes(Said):
    """How a list is asked for what changed since a time, oldest change first."""

    parameter: Taker
    format: Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_is_format)] = Field(
        default="iso", description="`iso`, `epoch`, `epoch_ms`, `date`, or a pattern of `strftime`, in UTC."
    )
    end_parameter: Taker | None = Field(
        default=None, description="Takes the present, where the list wants an end as well."
    )
    parameters: Parameters = Field(default_factory=dict, description="What is asked for besides.")
    changed_at: Keys | None = Field(
        default=None, description="Where a record says when it changed; needed where pages are numbered."
    )
    lag_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=300, description="For how long a change may stay invisible."
    )
    lookback_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = Field(
        default=0, description="How much earlier than the last pull got to ask again."
    )
    granularity_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=1, description="What times are rounded down to; equal ones are asked for again."
    )
    step_seconds: Annotated[int, Field(ge=1, le=315_360_000)] | None = Field(
        default=None,
        description="How long a span is asked for at once, where not all that changed is; needs `end_parameter`.",
    )
    start: Expression | None = Field(
        default=None,
        description="Where the first load begins, in ISO 8601, span by span; without it, all of the list is asked for.",
    )
    per_partition: bool = Field(
        default=False,
        description="Whether a partition that was not read before is read whole, and not from the time that all "
        "follow. 1,000 are remembered; where there are more, all follow one time.",
    )
    keeps_days: Annotated[int, Field(ge=1, le=3_650)] | None = Field(
        default=None,
        description="For how long the provider knows what changed; for ever where it is left out.",
    )

    @model_validator(mode="after")
    def _can_step(self) -> "Changes":
        check_expressions(filter(None, (self.start,)), SCOPE[:1], CLOCK)
        if self.step_seconds is not None:
            if self.end_parameter is None:
                raise ValueError("a step ends somewhere: `step_seconds` needs `end_parameter`")
            if self.step_seconds <= self.granularity_seconds:
                raise ValueError(
                    "`step_seconds` is not more than `granularity_seconds`, so a pull would not move on"
                )
        if self.per_partition and (self.step_seconds is not None or self.start is not None):
            raise ValueError(
                "`per_partition` reads a new partition whole; it does not go with `step_seconds` or `start`"
            )
        return self
