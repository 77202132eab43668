"""A document's job, as the kit asks for one: its requests filled in, and what their answers say."""

from collections.abc import Callable, Mapping
from datetime import datetime

import httpx
import msgspec

from unified.kit.decoding import decode_exactly
from unified.kit.document.answers import scope_of
from unified.kit.document.asking import jobs
from unified.kit.document.asking.paging import OnePage
from unified.kit.document.filling import Filler
from unified.kit.document.lists.results import results_of
from unified.kit.document.streams import DocumentStream
from unified.kit.errors import MappingError, ProtocolError
from unified.kit.http.answers import Answer
from unified.kit.http.client import HttpClient
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.expressions.operators import text as written
from unified.kit.mapping.paths import compile_path
from unified.kit.mapping.refusals import Refused
from unified.kit.reading.jobs import Job, Look, Made
from unified.kit.reading.lists import Asked, ListEndpoint
from unified.kit.reading.paging import within

_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
# An id, a word, the name of a file: it is kept in a cursor.
_LONGEST = 2_000
_MOST_FILES = 100_000


class DocumentJob(Job):
    """The job of a stream, or of one partition of it."""

    def __init__(
        self,
        stream: DocumentStream,
        said: jobs.Job,
        filler: Filler,
        may_ask: Callable[[httpx.URL], bool],
        clock: Callable[[], datetime],
    ) -> None:
        """Take what a document says of it, and what fills that in."""
        self._stream = stream
        self._said = said
        self._filler = filler
        self._may_ask = may_ask
        self.clock = clock
        self.attempts = said.attempts
        self.poll_seconds = said.poll_seconds
        self.timeout_seconds = said.timeout_seconds

    async def begin(self, http: HttpClient, asked: Asked) -> Made:
        """Send the stream's own request; the job's outputs are in its answer."""
        answer = await self._asked(http, self._stream, self._filler, asked)
        return _outputs(
            f"{http.label}: the answer that begins a job of {self._stream.path}", self._said.outputs, answer
        )

    async def look(self, http: HttpClient, made: Made) -> Look:
        """Ask after it."""
        said, filler = self._said.status, self._filler.naming({"job": dict(made)})
        answer = await self._asked(http, said, filler)
        what = f"{http.label}: the status of a job of {self._stream.path}"
        try:
            found = within(answer.decoded(_ANYTHING), said.at)
            word = "" if found is None else written(msgspec.json.decode(found, type=str | int | bool))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ProtocolError(f"{what} says nothing at {'.'.join(said.at)}") from None
        if word in said.running:
            return Look("running", word)
        if word in said.failed:
            return Look("failed", word)
        if word in said.skipped:
            return Look("skipped", word)
        if word not in said.completed:
            raise ProtocolError(
                f"{what} is {word[:100]!r}, which the document does not name; say under `job.status` what it means"
            )
        named = filler.naming({"job": {**made, **_outputs(what, said.outputs, answer)}})
        return Look("completed", word, [*self._results(what, named, answer)])

    def may_ask(self, url: httpx.URL) -> bool:
        """Whether the document names the host."""
        return self._may_ask(url)

    async def end(self, http: HttpClient, made: Made, *, is_done: bool) -> None:
        """Send what the document says of that, if it says something."""
        said = self._said.delete if is_done else self._said.abort
        if said is None:
            return
        filler = self._filler.naming({"job": dict(made)})
        sent = {} if said.body is None else filler.body(said.body).sent()
        await http.exchange(
            said.method, filler.whole_path(said.path), limit=self._limit, effect="repeatable", **sent
        )

    @property
    def _limit(self) -> str:
        return self._stream.limit or "default"

    async def _asked(
        self, http: HttpClient, said: DocumentStream | jobs.OfJob, filler: Filler, asked: Asked = ()
    ) -> Answer:
        request = ListEndpoint(
            filler.path(said.path),
            OnePage(),
            params=filler.parameters(said.parameters),
            method=said.method,
            body=None if said.body is None else filler.body(said.body),
            limit=self._limit,
        )
        return await request.ask(http, asked)

    def _results(self, what: str, filler: Filler, answer: Answer) -> list[ListEndpoint]:
        if self._said.download is not None:
            return [results_of(self._stream, self._said.download, filler)]
        assert self._said.urls is not None  # noqa: S101 - the model says so
        try:
            whole = decode_exactly(answer.body)
            found = compile_path(self._said.urls)(whole, whole)
        except (Refused, MappingError) as error:
            raise ProtocolError(f"{what} does not say where its results are: {error}") from None
        urls = [one for one in (found if isinstance(found, list) else [found]) if one is not None]
        if not all(isinstance(one, str) and one for one in urls) or len(urls) > _MOST_FILES:
            raise ProtocolError(f"{what} has no list of URLs at {self._said.urls}")
        return [results_of(self._stream, None, filler, one) for one in urls]


def _outputs(what: str, said: Mapping[str, str], answer: Answer) -> dict[str, str]:
    scope = scope_of(answer)
    found: dict[str, str] = {}
    for name, text in said.items():
        try:
            value = written(compile_template(text, tuple(scope))(scope))
        except Refused as error:
            raise ProtocolError(f"{what} has no {name} ({error})", status=answer.status) from None
        if not value or len(value) > _LONGEST:
            raise ProtocolError(
                f"{what} has no {name}, or one of more than {_LONGEST:,} characters", status=answer.status
            )
        found[name] = value
    return found
