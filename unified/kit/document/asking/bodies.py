"""What a document's requests send besides their query: a JSON object, or a form. Not here: who fills it in (`listing`).

A GraphQL query is a JSON body: its text is a field, `variables` is another.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from unified.kit.document.parts import Keys, Parameter, Path, Said, has_expressions
from unified.kit.mapping.steps import LONGEST_EXPRESSION

Taker = Annotated[
    Parameter | Annotated[Keys, Field(min_length=1)],
    Field(
        union_mode="left_to_right",
        description="A parameter of the query, or a list of keys: a place in the body.",
    ),
]

_LONGEST = 20_000


class Body(Said):
    """A JSON object, or a form. Each text in it may hold `{{ }}`; one that is an expression alone gives a value."""

    kind: Literal["json", "form"] = "json"
    fields: Annotated[dict[Parameter, JsonValue], Field(max_length=100)] = Field(
        default_factory=dict, description="JSON, nested as the API takes it; of a form, texts."
    )

    @model_validator(mode="after")
    def _is_a_form(self) -> "Body":
        if self.kind == "form" and not all(isinstance(one, str) for one in self.fields.values()):
            raise ValueError("the fields of a form are texts")
        if any(
            len(text) > (LONGEST_EXPRESSION if has_expressions(text) else _LONGEST) for text in self.texts()
        ):
            raise ValueError(
                f"a text of its body is too long, or one with {{{{ }}}} longer than {LONGEST_EXPRESSION}"
            )
        return self

    def texts(self) -> Iterator[str]:
        """The texts in it."""
        waiting: list[Any] = [self.fields]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                yield one
            elif isinstance(one, dict | list):
                waiting += one.values() if isinstance(one, dict) else one


class Request(Said):
    """What is asked, how, and with what; a base of those that say more."""

    path: Path
    method: Literal["GET", "POST"] = Field(
        default="GET", description="A POST here reads: where one fails, it is sent again as a GET is."
    )
    body: Body | None = Field(default=None, description="Sent with each request, by POST.")

    @model_validator(mode="after")
    def _may_have_a_body(self) -> "Request":
        if self.body is not None and self.method == "GET":
            raise ValueError("a body is sent by POST; say `method: POST`")
        return self

    def body_expressions(self) -> Iterator[str]:
        """The texts of the body that are filled in."""
        return filter(has_expressions, self.body.texts() if self.body else ())


def check_takers(body: Body | None, takers: Iterable[str | tuple[str, ...]]) -> None:
    """See that each value that goes into a body has one to go into.

    Raises:
        ValueError: If there is none, or it is a form, which has no places below others.
    """
    for taker in takers:
        if isinstance(taker, str):
            continue
        if body is None:
            raise ValueError(
                f"{'.'.join(taker)} is a place in a body, and there is no `body`; `body: {{}}` is an empty one"
            )
        if body.kind == "form" and len(taker) > 1:
            raise ValueError(f"{'.'.join(taker)} lies below another field, which a form does not have")
