"""How a document says no: which answers are refusals, what they mean, and how long to wait.

A handler's words are Airbyte's (``HttpResponseFilter``): an action, and the answers that it is for.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, model_validator

from unified.kit.decoding import decode_exactly
from unified.kit.document.parts import ANSWER_SCOPE, Name, Said, check_expressions
from unified.kit.errors import (
    AuthenticationError,
    MappingError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRefusedError,
    UnavailableError,
)
from unified.kit.http import refusals as kit
from unified.kit.http.answers import Answer
from unified.kit.mapping.expressions.compiling import Evaluate, compile_template
from unified.kit.mapping.refusals import Refused

# Longer error pages are not searched for a text.
_SEARCHED = 65_536
# Of an answer's headers, those that an expression may see; none of a provider's holds a credential of ours.
_MOST_HEADERS = 100

Places = Annotated[
    tuple[Annotated[str, Field(max_length=200)], ...],
    Field(max_length=10, description="Where it stands: `error.code`, `errors.0.code`, `errors.*.message`."),
]
Condition = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2_000,
        description="One `{{ }}` over `response` (the decoded body), `status` and `headers` (by lower-case name).",
    ),
]


class IgnoredError(RequestRefusedError):
    """A refusal that the document says to pass over."""


_MEANINGS = {
    "RETRY": kit.Meaning(UnavailableError, retry=True),
    "RATE_LIMITED": kit.Meaning(RateLimitedError, retry=True),
    "FAIL": kit.Meaning(RequestRefusedError),
    "IGNORE": kit.Meaning(IgnoredError),
    "AUTHENTICATION": kit.Meaning(AuthenticationError),
    "PERMISSION": kit.Meaning(PermissionDeniedError),
}


# What a code of a provider's may mean.
_CODES: Mapping[str, kit.Meaning] = {
    "AUTHENTICATION": kit.Meaning(AuthenticationError),
    "PERMISSION": kit.Meaning(PermissionDeniedError),
    "NOT_FOUND": kit.Meaning(NotFoundError),
    "RATE_LIMITED": kit.Meaning(RateLimitedError, retry=True),
    "UNAVAILABLE": kit.Meaning(UnavailableError, retry=True),
    "REFUSED": kit.Meaning(RequestRefusedError),
}


class Handler(Said):
    """What an answer means, where all that is said of it here is true."""

    action: Literal["RETRY", "RATE_LIMITED", "FAIL", "IGNORE", "AUTHENTICATION", "PERMISSION"] = Field(
        description="IGNORE passes over one partition of a stream, and counts it. The list of a whole stream is never "
        "passed over: a lost right is not an empty list. AUTHENTICATION is a credential that opens nothing, PERMISSION "
        "one that may not do this."
    )
    http_codes: Annotated[tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(max_length=50)] = ()
    error_message_contains: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    predicate: Condition | None = None
    wait_seconds: Annotated[int, Field(ge=0, le=3_600)] | None = Field(
        default=None, description="Before the same request is sent again, where no header says when."
    )
    holds_all: bool = Field(
        default=False, description="Whether a limit holds back all requests, and not those like it alone."
    )

    @model_validator(mode="after")
    def _is_for_something(self) -> "Handler":
        if not (self.http_codes or self.error_message_contains or self.predicate):
            raise ValueError("say for which answers: http_codes, error_message_contains or predicate")
        check_expressions(filter(None, (self.predicate,)), ANSWER_SCOPE)
        return self

    @property
    def meaning(self) -> kit.Meaning:
        """What it becomes."""
        known = _MEANINGS[self.action]
        return kit.Meaning(known.kind, known.retry, self.wait_seconds, holds_all=self.holds_all)


class Refusals(Said):
    """Where refusals say what is wrong, what they mean, and which answers of success are refusals all the same."""

    codes_at: Places = ()
    codes: Annotated[
        dict[
            Annotated[str, Field(max_length=200)],
            Literal["AUTHENTICATION", "PERMISSION", "NOT_FOUND", "RATE_LIMITED", "UNAVAILABLE", "REFUSED"],
        ],
        Field(max_length=300),
    ] = Field(default_factory=dict, description="What a code means; it goes before the status.")
    reasons_at: Places = ("message", "error.message", "error", "errors.*.message")
    notes_at: Annotated[dict[Name, Annotated[str, Field(max_length=200)]], Field(max_length=10)] = Field(
        default_factory=dict, description="What else to show, by its word: where it stands."
    )
    handlers: Annotated[tuple[Handler, ...], Field(max_length=50)] = Field(
        default=(), description="The first that fits counts; without any, the code does, or the status."
    )
    success: Condition | None = Field(
        default=None, description="What is true of an answer of success, where a status of 200 is not enough."
    )
    wait_headers: Annotated[tuple[str, ...], Field(max_length=10)] = Field(
        default=("retry-after",),
        description="Headers that say how long to wait: seconds, a time in seconds since 1970, or a date.",
    )

    @model_validator(mode="after")
    def _is_right(self) -> "Refusals":
        check_expressions(filter(None, (self.success,)), ANSWER_SCOPE)
        return self


@dataclass(frozen=True)
class DocumentRefusals(kit.Refusals):
    """A document's refusals, as the client asks them.

    Attributes:
        handlers: What answers mean, and when; the first that fits counts.
        success: What is true of an answer of success; None where its status says so.
        reads_body: Whether an expression sees more of an answer than its status and headers.
    """

    handlers: tuple[tuple[Handler, Evaluate | None], ...] = ()
    success: Evaluate | None = None
    reads_body: bool = False

    def is_fault(self, answer: Answer) -> bool:
        """Whether an answer of success is a refusal all the same. An answer is decoded only where something asks."""
        asks = [one for one in self.handlers if one[0].predicate or one[0].error_message_contains]
        if self.success is None and not asks:
            return False
        scope = _scope(answer, reads_body=self.reads_body)
        if self.reads_body and scope["response"] is _UNREADABLE:
            return False  # its decoder says what is wrong with it
        is_success = self.success is None or _is_true(self.success, scope)
        return not is_success or any(_fits(*one, answer, scope) for one in asks)

    def read(self, answer: Answer) -> kit.Refusal:
        """What a refusal is, by the first handler that fits."""
        refusal = super().read(answer)
        scope = _scope(answer)
        for handler, predicate in self.handlers:
            if _fits(handler, predicate, answer, scope):
                wait = handler.meaning.wait if refusal.wait is None else refusal.wait
                return kit.Refusal(refusal.reason, handler.meaning, refusal.code, wait)
        return refusal


def refusals_of(said: Refusals) -> DocumentRefusals:
    """What the client is given."""
    return DocumentRefusals(
        codes_at=said.codes_at,
        codes={code: _CODES[word] for code, word in said.codes.items()},
        reference_at=said.notes_at,
        reasons_at=said.reasons_at,
        wait_headers=tuple(name.lower() for name in said.wait_headers),
        handlers=tuple((one, _condition(one.predicate)) for one in said.handlers),
        success=_condition(said.success),
        reads_body=any(map(_sees_body, (said.success, *(one.predicate for one in said.handlers)))),
    )


_UNREADABLE: Any = object()


def _condition(text: str | None) -> Evaluate | None:
    return None if text is None else compile_template(text, ANSWER_SCOPE)


def _sees_body(condition: str | None) -> bool:
    return condition is not None and "response" in condition


def _scope(answer: Answer, *, reads_body: bool = True) -> dict[str, Any]:
    body = _UNREADABLE
    if reads_body:
        with contextlib.suppress(MappingError, msgspec.MsgspecError):
            body = decode_exactly(answer.body)
    headers = {name.lower(): value for name, value in list(answer.headers.items())[:_MOST_HEADERS]}
    return {"response": body, "status": answer.status, "headers": headers}


def scope_of(answer: Answer) -> dict[str, Any]:
    """What an expression over an answer sees; `response` is null where the body is not JSON."""
    scope = _scope(answer)
    return scope if scope["response"] is not _UNREADABLE else {**scope, "response": None}


def holds(condition: str, scope: dict[str, Any]) -> bool:
    """Whether a condition over an answer is true; one that the answer can't fill is not."""
    return _is_true(compile_template(condition, ANSWER_SCOPE), scope)


def _fits(handler: Handler, predicate: Evaluate | None, answer: Answer, scope: dict[str, Any]) -> bool:
    if handler.http_codes and answer.status not in handler.http_codes:
        return False
    words = handler.error_message_contains
    if words is not None and words.encode() not in answer.body[:_SEARCHED]:
        return False
    if predicate is None:
        return True
    is_blind = _sees_body(handler.predicate) and scope["response"] is _UNREADABLE
    return not is_blind and _is_true(predicate, scope)


def _is_true(condition: Evaluate, scope: dict[str, Any]) -> bool:
    try:
        return bool(condition(scope))
    except Refused:
        return False
