"""What a document says of writing a stream: which fields, and by which steps a record is created, changed and deleted.

The words are Arazzo's (https://spec.openapis.org/arazzo/latest.html): steps, success criteria, outputs, what follows on
failure. A step goes to a later one or ends the action, so an action always ends. What carries it out is `writing`'s.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from unified.kit.document.answers import Condition
from unified.kit.document.asking.bodies import Body
from unified.kit.document.parts import (
    ANSWER_SCOPE,
    Expression,
    Headers,
    Keys,
    Name,
    Parameters,
    Path,
    Said,
    check_expressions,
    has_expressions,
)
from unified.kit.mapping.expressions.times import CLOCK

ACTION_SCOPE = ("settings", "id", "key", "body", "steps")
"""What expressions of a step may name."""

FIND_SCOPE = ("settings", "value")
"""What expressions that look a record up may name."""

WRITABLE = ("company", "description", "email", "name", "phone", "tax_number")
"""Fields that can be written: texts of a customer."""

_KEY = re.compile(r"\{\{[^}]*(?<![.\w])key\b")
_HANDLED = frozenset(range(400, 500)) - {401, 429}
_MOST_STEPS = 10

Fails = Annotated[int, Field(ge=400, le=499)]


class OnFailure(Said):
    """What follows where a step fails: its answer is a refusal, or its success criteria are not met."""

    type: Literal["missing", "applied", "goto"] = Field(
        description="`missing`: the record is gone. `applied`: what was to be done is done. `goto`: a later step."
    )
    http_codes: Annotated[tuple[Fails, ...], Field(max_length=20)] = ()
    predicate: Condition | None = None
    step: Name | None = Field(default=None, description="Where `goto` leads.")

    @model_validator(mode="after")
    def _is_for_something(self) -> "OnFailure":
        if not (self.http_codes or self.predicate):
            raise ValueError("say for which answers: http_codes or predicate")
        if set(self.http_codes) - _HANDLED:
            raise ValueError("401 and 429 are the client's to handle, not a step's")
        if (self.type == "goto") != (self.step is not None):
            raise ValueError("`step` says where `goto` leads, and stands with nothing else")
        check_expressions(filter(None, (self.predicate,)), ANSWER_SCOPE)
        return self


class Step(Said):
    """One request of an action."""

    id: Name
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: Path
    parameters: Parameters = Field(default_factory=dict, description="Of the query.")
    headers: Headers = Field(
        default_factory=dict,
        description="Such as `Idempotency-Key: '{{ key }}'`: with it, it is sent again safely.",
    )
    body: Body | None = None
    record: Keys | None = Field(
        default=None,
        description="Where in the body the fields to write go, none for its top. Without it they are not sent.",
    )
    when: Expression | None = Field(default=None, description="What is true where it is taken at all.")
    success_criteria: Annotated[tuple[Condition, ...], Field(max_length=10)] = ()
    outputs: Annotated[dict[Name, Condition], Field(max_length=20)] = Field(
        default_factory=dict, description="By name, for later steps: `steps.find.outputs.id`."
    )
    on_failure: Annotated[tuple[OnFailure, ...], Field(max_length=10)] = Field(
        default=(), description="The first that fits counts; without any, the write is refused."
    )

    @model_validator(mode="after")
    def _can_be_sent(self) -> "Step":
        body = filter(has_expressions, self.body.texts() if self.body else ())
        texts = [self.path, *self.parameters.values(), *self.headers.values(), *body, self.when or ""]
        check_expressions(texts, ACTION_SCOPE, CLOCK)
        check_expressions([*self.success_criteria, *self.outputs.values()], ANSWER_SCOPE)
        if self.method in ("GET", "DELETE") and (self.body is not None or self.record is not None):
            raise ValueError(f"{self.method} has no body")
        if self.record and self.body is not None and self.body.kind == "form":
            raise ValueError("the fields of a form stand at its top: `record: []`")
        return self

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it twice does no more than once: a PATCH sets fields to what they are by then."""
        return self.method != "POST" or any(map(_KEY.search, self.headers.values()))


class Action(Said):
    """Steps, one after the other."""

    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=_MOST_STEPS)]
    record: Keys | None = Field(
        default=None,
        description="Where the last answer has the record, as the list has it; without it, nowhere.",
    )
    id: Expression | None = Field(
        default=None, description="The record's id, where no answer has the record: it is read then."
    )

    @model_validator(mode="after")
    def _leads_on(self) -> "Action":
        names = [step.id for step in self.steps]
        if len(set(names)) < len(names):
            raise ValueError("two steps have the same id")
        for at, step in enumerate(self.steps):
            for one in step.on_failure:
                if one.step is not None and one.step not in names[at + 1 :]:
                    raise ValueError(f"step {step.id} goes to {one.step!r}, which is no later step")
        check_expressions(filter(None, (self.id,)), ACTION_SCOPE, CLOCK)
        return self

    def forms(self) -> Iterator[bool]:
        """Of each step that sends the fields, whether it does as a form."""
        return (
            step.body is not None and step.body.kind == "form"
            for step in self.steps
            if step.record is not None
        )


class Writing(Said):
    """How a stream of customers is written."""

    fields: Annotated[dict[str, Annotated[Keys, Field(min_length=1)]], Field(min_length=1, max_length=20)] = (
        Field(description="By our field, where a body has it; what is empty is null, in a form empty text.")
    )
    create: Action
    update: Action
    delete: Action | None = None
    find: Annotated[dict[str, Parameters], Field(max_length=10)] = Field(
        default_factory=dict,
        description="By our field, the parameters that ask the list for records with a `value`. Before a record is "
        "created once more whose answer was lost, it is looked for.",
    )
    key_kept_seconds: Annotated[int, Field(ge=0, le=2_592_000)] = Field(
        default=0, description="For how long the provider remembers an idempotency key."
    )

    @model_validator(mode="after")
    def _can_write(self) -> "Writing":
        for name in (*self.fields, *self.find):
            if name not in WRITABLE:
                raise ValueError(f"{name!r} is not written; {', '.join(WRITABLE)} are")
        check_expressions(
            (text for asked in self.find.values() for text in asked.values()), FIND_SCOPE, CLOCK
        )
        is_nested = any(len(keys) > 1 for keys in self.fields.values())
        for name, action in (("create", self.create), ("update", self.update)):
            forms = list(action.forms())
            if not forms:
                raise ValueError(f"no step of {name} sends the fields; `record: []` puts them into its body")
            if is_nested and any(forms):
                raise ValueError(
                    f"a field lies below another, which a form, as {name} sends one, does not have"
                )
        if self.create.record is None and self.create.id is None:
            raise ValueError("create says neither by `record` nor by `id` which record it made")
        places = list(self.fields.values())
        if any(one != other and one == other[: len(one)] for one in places for other in places) or len(
            set(places)
        ) < len(places):
            raise ValueError("two fields are written to one place, or one below another")
        if self.key_kept_seconds and not all(step.is_repeatable for step in self.create.steps):
            raise ValueError(
                "a key that is remembered is sent: a step of create has no header with `{{ key }}`"
            )
        return self
