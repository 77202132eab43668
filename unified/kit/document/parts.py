"""What all declarations of a connector document are made of: strict models, names, keys, and texts with expressions."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.refusals import RuleError

_HOST = r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,62}"
_CLIENTS = ("connection", "content-length", "host", "transfer-encoding")


def worded(words: str) -> WrapValidator:
    """What a text should be, in words where it does not match its pattern: few people read one."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            if all(one["type"] == "string_pattern_mismatch" for one in error.errors(include_url=False)):
                raise ValueError(f"it should be {words}") from None
            raise

    return WrapValidator(validate)


Keys = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...],
    Field(max_length=10, description="Keys from an object's top down."),
]
Text = Annotated[str, Field(max_length=2_000)]
AS_NAME = worded("at most 40 lower-case letters, digits and _, with a letter first")
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$"), AS_NAME]
Parameter = Annotated[str, Field(min_length=1, max_length=100)]
Host = Annotated[
    str,
    Field(pattern=f"^{_HOST}$"),
    worded("a host by its name, such as api.desk.example or *.desk.example, without https:// and port"),
]
HttpsUrl = Annotated[
    str, Field(pattern="^https://", max_length=300), worded("a URL that begins with https://")
]
Expression = Annotated[
    str, Field(max_length=2_000, description="Text that may hold `{{ }}`, over `settings` and `partition`.")
]
Parameters = Annotated[dict[Parameter, Expression], Field(max_length=50)]


def _may_be_said(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if name.lower() in _CLIENTS:
            raise ValueError(f"{name} says where a request goes and how long it is, which the client does")
    return headers


Headers = Annotated[
    dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")], Expression],
    Field(max_length=50),
    AfterValidator(_may_be_said),
]
OfRecord = Annotated[
    str,
    Field(max_length=2_000, description="Text with `{{ }}` over `record`, `settings` and `partition`."),
]
Path = Annotated[
    str,
    Field(
        pattern="^/[^?#]*$",
        max_length=2_000,
        description="Below the base URL, without a query; may hold `{{ }}`.",
    ),
    worded("a path that begins with / and has neither ? nor #; a query goes into `parameters`"),
]

SCOPE = ("settings", "partition")
"""What expressions of requests may name. A secret is not among it: only `auth` names secrets. They know what time it
is (``now_utc``) as well, which those over records and answers do not."""

RECORD_SCOPE = (*SCOPE, "record")
"""What expressions over a record may name."""

ANSWER_SCOPE = ("response", "status", "headers")
"""What expressions over an answer may name."""


class Said(BaseModel):
    """Part of a document. A key that nobody knows is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def has_expressions(text: str) -> bool:
    """Whether a text is more than what it says: it has `{{ }}`, or what expressions refuse."""
    return any(opening in text for opening in ("{{", "{%", "{#"))


def check_expressions(
    texts: Iterable[str], names: Iterable[str], functions: Mapping[str, Any] | None = None
) -> None:
    """Refuse texts whose expressions can't work.

    Raises:
        ValueError: With the reason.
    """
    for text in texts:
        try:
            compile_template(text, tuple(names), functions)
        except RuleError as error:
            raise ValueError(str(error)) from None
