"""Carries out what a document says of writing: actions step by step, and look-ups before a record is made.

What each outcome means for the caller is the kit's (`unified.kit.writing.one_by_one`).
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from unified.kit.declarations import Stream
from unified.kit.document.actions import Action, OnFailure, Step, Writing
from unified.kit.document.answers import holds, scope_of
from unified.kit.document.filling import Filler
from unified.kit.document.lists.reading import DocumentSource
from unified.kit.errors import (
    AdapterError,
    ConfigurationError,
    ForbiddenHostError,
    MappingError,
    NotFoundError,
    ProtocolError,
    ProviderError,
    RequestRefusedError,
    UndecidedError,
)
from unified.kit.http.answers import Answer
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.refusals import Refused
from unified.kit.reading.lists import Body
from unified.kit.reading.paging import Path, within
from unified.kit.reading.windows import side_by_side
from unified.kit.streams import Page, RawRecord
from unified.kit.writing.changes import Write, Written, choose
from unified.kit.writing.one_by_one import OneByOne

_KEPT_BY_LOOKING = timedelta(days=3_650)
"""A creation that is looked for before it is sent again never grows too old for that."""

_ANYTHING = msgspec.json.Decoder(msgspec.Raw)


class MissingError(NotFoundError):
    """The record that a step was to change is gone, as the document says of its answer."""


def from_unified(said: Writing) -> Callable[[Any, Collection[str] | None], dict[str, Any]]:
    """What makes the body of a record; see :meth:`unified.kit.adapter.BaseAdapter.from_unified`."""

    def made(record: Any, fields: Collection[str] | None) -> dict[str, Any]:
        parts = {name: {name: getattr(record, name)} for name in said.fields}
        chosen, _ = choose(parts, {}, fields)
        placed = Body({}).sent({said.fields[name]: value for name, value in chosen.items()})
        body: dict[str, Any] = placed["json"]
        return body

    return made


class DocumentWriter:
    """Writes a stream of a document."""

    def __init__(self, adapter: Any, stream: Stream) -> None:
        """Write through a connected :class:`unified.kit.document.engine.DocumentAdapter`."""
        said = adapter.document.said.streams[stream.name]
        assert said.write is not None  # noqa: S101 - else the stream has no writer
        self._said: Writing = said.write
        self._missing_is_gone: bool = said.missing_is_gone
        self._adapter = adapter
        self._stream = stream
        self._source = DocumentSource(adapter, stream)

    def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        kept = timedelta(seconds=self._said.key_kept_seconds)
        one_by_one = OneByOne(
            self._send,
            self._adapter.clock,
            self._adapter.config.concurrency,
            key_kept=_KEPT_BY_LOOKING if self._said.find and not kept else kept,
            is_missing=lambda error: isinstance(error, MissingError) or self._missing_is_gone,
        )
        return one_by_one.write(writes)

    async def find(self, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Records that have a value; see :meth:`unified.kit.adapter.BaseAdapter.find`.

        Raises:
            ConfigurationError: If the document does not say how they are found by that field.
        """
        if field not in self._said.find:
            raise ConfigurationError(
                f"{self._adapter.label}: its document does not say how {self._stream.name} are found by {field}"
            )
        met: set[str | None] = set()
        wanted = list(dict.fromkeys(filter(None, values)))
        at_once = self._adapter.config.concurrency
        for at in range(0, len(wanted), at_once):
            observed_at = self._adapter.clock()
            found = await side_by_side(self._having(field, one) for one in wanted[at : at + at_once])
            new = {one.source_id: one for some in found for one in some if one.source_id not in met}
            met.update(new)
            yield Page(list(new.values()), observed_at, None)

    async def _having(self, field: str, value: str) -> Sequence[RawRecord]:
        asked = self._filler({"value": value}).parameters(self._said.find[field])
        return await self._source.records(asked)

    async def _send(self, write: Write) -> RawRecord | None:
        """Carry out one change; the record that the answer shows."""
        action = {"create": self._said.create, "update": self._said.update}.get(
            write.operation, self._said.delete
        )
        if action is None:
            raise RequestRefusedError(f"the document of {self._adapter.label} does not delete")
        if write.operation == "create" and write.sent_at is not None and not self._said.key_kept_seconds:
            found = await self._made_before(write)
            if found is not None:
                return found
        return await self._carried_out(action, write)

    async def _made_before(self, write: Write) -> RawRecord | None:
        """The record that a creation made whose answer was lost, if it did."""
        for field in self._said.find:
            value = _in_body(write.body, self._said.fields.get(field, ()))
            for record in await self._having(field, value) if isinstance(value, str) and value else ():
                if self._says(record, write.body):
                    return record
        return None

    def _says(self, record: RawRecord, body: Mapping[str, Any]) -> bool:
        origin = self._adapter.origin(self._stream.name, self._adapter.clock(), self._adapter.clock())
        try:
            unified = self._adapter.map_record(self._stream.name, record.body, origin)
        except MappingError:
            return False
        return bool(self._adapter.from_unified(self._stream.name, unified) == body)

    async def _carried_out(self, action: Action, write: Write) -> RawRecord | None:
        steps: dict[str, Any] = {}
        scope = {
            "id": write.source_id,
            "key": write.idempotency_key,
            "body": dict(write.body),
            "steps": steps,
        }
        done: list[str] = []
        try:
            answer = await self._taken(action, write, scope, done)
        except ForbiddenHostError:
            raise
        except ConfigurationError as error:  # what this record has does not fill a step in
            raise _refused(error, done) from error
        except (MissingError, UndecidedError):
            raise
        except (RequestRefusedError, NotFoundError) as error:
            if not done:
                raise
            raise _refused(error, done) from error
        except ProviderError as error:
            if not done:
                raise
            raise UndecidedError(str(error), status=error.status, code=error.code) from error
        try:
            return await self._result(action, answer, self._filler(scope), write)
        except (ProviderError, ConfigurationError) as error:
            raise UndecidedError(
                f"{error}; {', '.join(done) or 'nothing'} took effect before",
                status=getattr(error, "status", None),
            ) from error

    async def _taken(
        self, action: Action, write: Write, scope: Mapping[str, Any], done: list[str]
    ) -> Answer | None:
        """The last step's answer; None where a failure said that all is done. Steps with an effect go into ``done``."""
        answer: Answer | None = None
        skipped_to: str | None = None
        for step in action.steps:
            if skipped_to not in (None, step.id):
                continue
            skipped_to = None
            filler = self._filler(scope)
            if step.when is not None and not filler.value(step.when):
                continue
            answer = await self._answered(step, filler, write)
            failure = self._failure(step, answer)
            if failure is None:
                done += [] if step.method == "GET" else [step.id]
                scope["steps"][step.id] = {"outputs": self._outputs(step, answer)}
            elif failure.type == "goto":
                skipped_to = failure.step
            elif failure.type == "missing":
                raise MissingError(
                    f"{self._adapter.label}: step {step.id} answered {answer.status}", status=answer.status
                )
            else:
                return None
        return answer

    async def _answered(self, step: Step, filler: Filler, write: Write) -> Answer:
        sent: dict[str, Any] = {"params": filler.parameters(step.parameters)}
        if step.body is not None or step.record is not None:
            body = filler.body(step.body) if step.body is not None else Body({})
            own: dict[Path, Any] = {}
            if step.record:
                own[step.record] = dict(write.body)
            elif step.record is not None:
                own = {(name,): _field(value, body) for name, value in write.body.items()}
            sent |= body.sent(own)
        answer: Answer = await self._adapter.http.exchange(
            step.method,
            filler.whole_path(step.path),
            headers=filler.headers(step.headers),
            accept=tuple({code for one in step.on_failure for code in one.http_codes}),
            effect="none" if step.method == "GET" else "repeatable" if step.is_repeatable else "once",
            **sent,
        )
        return answer

    def _failure(self, step: Step, answer: Answer) -> OnFailure | None:
        """What follows where a step failed; None where it did not.

        Raises:
            RequestRefusedError: If it did, and nothing follows.
        """
        if answer.is_success and not step.success_criteria:
            return None
        scope = scope_of(answer)
        if answer.is_success and all(holds(one, scope) for one in step.success_criteria):
            return None
        for one in step.on_failure:
            if one.http_codes and answer.status not in one.http_codes:
                continue
            if one.predicate is None or holds(one.predicate, scope):
                return one
        why = "and its success criteria are not met" if answer.is_success else "which no `on_failure` is for"
        raise RequestRefusedError(
            f"{self._adapter.label}: step {step.id} answered {answer.status}, {why}", status=answer.status
        )

    def _outputs(self, step: Step, answer: Answer) -> dict[str, Any]:
        if not step.outputs:
            return {}
        scope = scope_of(answer)
        try:
            return {name: compile_template(text, tuple(scope))(scope) for name, text in step.outputs.items()}
        except Refused as error:
            raise ProtocolError(
                f"{self._adapter.label}: step {step.id} has no outputs ({error})", status=answer.status
            ) from None

    async def _result(
        self, action: Action, answer: Answer | None, filler: Filler, write: Write
    ) -> RawRecord | None:
        if write.operation == "delete":
            return None
        nothing = RawRecord(None, b"null") if write.operation == "create" else None
        if action.record is not None and answer is not None:
            try:
                found = within(answer.decoded(_ANYTHING), action.record)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise ProtocolError(f"{self._adapter.label}: its answer shows no record ({error})") from None
            return nothing if found is None else self._source.record_of(found)
        source_id = None if action.id is None else filler.text(action.id)
        if not source_id:
            return nothing
        async for page in self._source.fetch([source_id]):
            for record in page.records:
                return record
        return nothing

    def _filler(self, scope: Mapping[str, Any]) -> Filler:
        return Filler(
            self._adapter.config.said(), {}, self._adapter.label, self._adapter.clock(), further=scope
        )


def _refused(error: AdapterError, done: Sequence[str]) -> RequestRefusedError:
    """A refusal, with the steps that took effect before it."""
    before = f"; {', '.join(done)} before it took effect" if done else ""
    status, code = (error.status, error.code) if isinstance(error, ProviderError) else (None, None)
    return RequestRefusedError(f"{error}{before}", status=status, code=code)


def _field(value: Any, body: Body) -> Any:
    return "" if body.is_form and value is None else value


def _in_body(body: Any, keys: Sequence[str]) -> Any:
    """What a body has under some keys."""
    for key in keys:
        body = body.get(key) if isinstance(body, dict) else None
    return body if keys else None
