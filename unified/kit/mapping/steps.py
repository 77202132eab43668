"""The steps of a rule as data: what may happen to a value between its source and its target.

Each step is an object with the word ``do``; one without settings may be written as that word alone. What each does is
in ``transforms``; docs/rules.md shows every one with an example.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field

from unified.kit.mapping.paths import LONGEST_PATH

MOST_STEPS = 20
LONGEST_EXPRESSION = 4096

Path = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_PATH,
        description="Where a value stands: keys and indexes such as `lines[0].price`, or an RFC 9535 query.",
        examples=["metadata.vat_id"],
    ),
]
Paths = Annotated[tuple[Path, ...], Field(min_length=1, max_length=50)]
Scalar = str | bool | int | None


class Declared(BaseModel):
    """Settings shared by all declarations: immutable, and a key that nobody declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(Declared):
    """Text of a text, a number, or true and false; null where that is empty."""

    do: Literal["text"]


class Trim(Declared):
    """Text without the white space around it; null where nothing is left."""

    do: Literal["trim"]


class Lower(Declared):
    """Text in lower case."""

    do: Literal["lower"]


class Upper(Declared):
    """Text in upper case."""

    do: Literal["upper"]


class Number(Declared):
    """A decimal number of a number or of text, by its digits."""

    do: Literal["number"]
    decimal: Literal[".", ","] = Field(default=".", description="What separates the fraction in text.")
    grouping: str = Field(default="", max_length=1, description="What separates thousands in text; left out.")


class Money(Declared):
    """An exact amount in whole units of its currency."""

    do: Literal["money"]
    unit: Literal["minor", "major"] = Field(description="Whether the source counts cents or whole units.")
    currency: Path | None = Field(default=None, description="Where the currency's code stands.")
    code: str | None = Field(
        default=None, pattern="^[A-Z]{3}$", description="The code, where it is always one."
    )
    digits: dict[str, Annotated[int, Field(ge=0, le=6)]] = Field(
        default_factory=dict,
        description="Digits of the minor unit, by code, where the source counts otherwise than ISO 4217.",
    )


class Date(Declared):
    """A time of text in a pattern of ``strptime``."""

    do: Literal["date"]
    format: Annotated[str, Field(min_length=1, max_length=60)]
    zone: str = Field(default="UTC", max_length=60, description="Zone of a time that names none.")


class Moment(Declared):
    """A time of ISO 8601, of ``/Date(ms)/``, or of a count since 1970."""

    do: Literal["moment"]
    unit: Literal["s", "ms", "us"] | None = Field(
        default=None,
        description="What a number counts. Without it, seconds, or milliseconds beyond 20 billion.",
    )
    zone: str = Field(default="UTC", max_length=60, description="Zone of a time that names none.")


class Boolean(Declared):
    """True or false of those, of 1 and 0, or of words."""

    do: Literal["boolean"]
    yes: tuple[str, ...] = Field(default=("true", "yes", "y", "on", "1"), max_length=50)
    no: tuple[str, ...] = Field(default=("false", "no", "n", "off", "0"), max_length=50)


class Not(Declared):
    """The contrary of true or false."""

    do: Literal["not"]


class Enum(Declared):
    """Another value for each value, by a table."""

    do: Literal["enum"]
    table: dict[str, Scalar] = Field(min_length=1, max_length=500)
    default: Scalar = Field(
        default=None, description="For values that the table lacks; without this key they fail the rule."
    )


class Split(Declared):
    """A list of the parts of a text, trimmed, without empty ones."""

    do: Literal["split"]
    by: Annotated[str, Field(min_length=1, max_length=20)] = ","


class Join(Declared):
    """One text of a list, without null and empty items."""

    do: Literal["join"]
    by: Annotated[str, Field(max_length=20)] = " "


class First(Declared):
    """The first item of a list that is neither null nor empty."""

    do: Literal["first"]


class FirstOf(Declared):
    """Where there is no value yet: the first of several paths that has one."""

    do: Literal["first_of"]
    paths: Paths


class Collect(Declared):
    """A list of the value and of what stands at further paths, each once, without null and empty ones."""

    do: Literal["collect"]
    paths: Paths


class Constant(Declared):
    """Always the same value."""

    do: Literal["constant"]
    value: Scalar


class Default(Declared):
    """A value where there is none."""

    do: Literal["default"]
    value: Scalar


class Template(Declared):
    """Text with ``{{ }}`` expressions over ``value``, ``item`` and ``record``; of one expression alone its value."""

    do: Literal["template"]
    text: Annotated[str, Field(min_length=1, max_length=LONGEST_EXPRESSION)]


class Each(Declared):
    """Steps for each item of a list; null where none is left. One that fails is left out, and noted as a failure."""

    do: Literal["each"]
    path: Path | None = Field(default=None, description="Where in the item its value stands.")
    steps: "Steps" = ()


class Sum(Declared):
    """The sum of the numbers of a list; 0 of an empty one."""

    do: Literal["sum"]
    path: Path | None = Field(default=None, description="Where in the item its number stands.")


class Sort(Declared):
    """A list in the order of numbers in its items; items without one follow."""

    do: Literal["sort"]
    by: Paths


class Omit(Declared):
    """An object without some of its keys, and without those that are null or empty."""

    do: Literal["omit"]
    keys: frozenset[str] = Field(default=frozenset(), max_length=500)


Known = (
    Text | Trim | Lower | Upper | Number | Money | Date | Moment | Boolean | Not | Enum | Split | Join | First | FirstOf
    | Collect | Constant | Default | Template | Each | Sum | Sort | Omit
)  # fmt: skip


def _written_out(step: Any) -> Any:
    return {"do": step} if isinstance(step, str) else step


Step = Annotated[
    Annotated[Known, Discriminator("do")], BeforeValidator(_written_out, json_schema_input_type=Known | str)
]
Steps = Annotated[tuple[Step, ...], Field(max_length=MOST_STEPS)]
Each.model_rebuild()
