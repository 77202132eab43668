"""What a document says of a list that the API makes first: a job is begun, asked after until it is done, and read.

The words are Airbyte's where they exist (``AsyncRetriever``). Who begins and awaits it is `unified.kit.reading.jobs`.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from unified.kit.document.answers import Condition
from unified.kit.document.asking.bodies import Body, Request
from unified.kit.document.parts import (
    ANSWER_SCOPE,
    SCOPE,
    Keys,
    Name,
    Parameters,
    Path,
    Said,
    Text,
    check_expressions,
    has_expressions,
)
from unified.kit.mapping.expressions.times import CLOCK
from unified.kit.mapping.paths import compile_path
from unified.kit.mapping.refusals import RuleError

JOB_SCOPE = (*SCOPE, "job")
"""What expressions of the requests after the first may name."""

Outputs = Annotated[
    dict[Name, Condition],
    Field(max_length=20, description="By name, for the requests that follow: `job.NAME`."),
]
Words = Annotated[tuple[Text, ...], Field(max_length=20)]


class OfJob(Request):
    """A request about a job; its expressions see `job` besides."""

    parameters: Parameters = Field(default_factory=dict, description="Of the query.")

    def texts(self) -> Iterator[str]:
        """Its texts with expressions."""
        yield from (self.path, *self.parameters.values(), *self.body_expressions())


class Status(OfJob):
    """How a job is asked after. A word that is not named here is an error."""

    at: Annotated[Keys, Field(min_length=1)] = Field(description="Where the answer says how far the job is.")
    running: Words = ()
    completed: Annotated[Words, Field(min_length=1)]
    skipped: Words = Field(default=(), description="It is done, and there is nothing to read.")
    failed: Words = ()
    outputs: Outputs = Field(default_factory=dict)


class Ending(Said):
    """How a job is taken off the provider's hands; where that fails, it is logged."""

    method: Literal["DELETE", "POST", "PUT", "PATCH"] = "DELETE"
    path: Path
    body: Body | None = None

    @model_validator(mode="after")
    def _may_have_a_body(self) -> "Ending":
        if self.body is not None and self.method == "DELETE":
            raise ValueError("DELETE has no body")
        return self

    def texts(self) -> Iterator[str]:
        """Its texts with expressions."""
        yield from (self.path, *filter(has_expressions, self.body.texts() if self.body else ()))


class Job(Said):
    """What follows the stream's own request, which begins a job: it is asked after, and its results are the list.

    `records`, `decoder` and `paging` are then of the results. Either `download` asks for them, or the last `status`
    names their `urls`. `changes` goes into the request that begins the job.
    """

    outputs: Annotated[Outputs, Field(min_length=1)] = Field(
        description="Of the answer that begins the job, by name, for the requests that follow: `job.NAME`."
    )
    status: Status
    download: OfJob | None = None
    urls: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None,
        description="Where the last status names files to read, a path: `result.url`, `files.*.url`. On another host "
        "than the base URL's, which must be among `hosts`, they are asked for without the credential.",
    )
    delete: Ending | None = Field(default=None, description="Once all was read.")
    abort: Ending | None = Field(default=None, description="Where it was not done in time.")
    attempts: Annotated[int, Field(ge=1, le=5)] = Field(
        default=2, description="How often a job is begun where one fails."
    )
    poll_seconds: Annotated[float, Field(ge=0.1, le=600)] = Field(
        default=5, description="Between two questions how far it is."
    )
    timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=3_600, description="How long a job may take; the next pull begins another one."
    )

    @model_validator(mode="after")
    def _can_be_read(self) -> "Job":
        if (self.download is None) == (self.urls is None):
            raise ValueError("say where the results are: either `download` or `urls`")
        check_expressions((*self.outputs.values(), *self.status.outputs.values()), ANSWER_SCOPE)
        followed = (self.status, self.download, self.delete, self.abort)
        texts = (text for one in followed if one is not None for text in one.texts())
        check_expressions(texts, JOB_SCOPE, CLOCK)
        words = [*self.status.running, *self.status.completed, *self.status.skipped, *self.status.failed]
        if len(set(words)) < len(words):
            raise ValueError("a word of its status means two things")
        if self.urls is not None:
            try:
                compile_path(self.urls)
            except RuleError as error:
                raise ValueError(str(error)) from None
        return self
