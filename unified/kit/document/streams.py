"""What a document says of one stream: where its list is, how it goes on, how a record is read, changed and mapped."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from unified.kit.document.actions import Writing
from unified.kit.document.asking.bodies import Request, Taker, check_takers
from unified.kit.document.asking.changes import Changes
from unified.kit.document.asking.decoders import Decoder, Records
from unified.kit.document.asking.jobs import Job
from unified.kit.document.asking.paging import (
    ComputedPaging,
    NoPaging,
    NumberedPaging,
    Paging,
    needs_json,
    takers_of,
)
from unified.kit.document.asking.partitions import (
    Parent,
    Partition,
    StreamName,
    Values,
    fields_of,
    parents_of,
)
from unified.kit.document.parts import (
    RECORD_SCOPE,
    SCOPE,
    Keys,
    Name,
    OfRecord,
    Parameters,
    Path,
    Said,
    check_expressions,
)
from unified.kit.errors import ConfigurationError
from unified.kit.mapping.compiled import StreamMapping
from unified.kit.mapping.expressions.times import CLOCK
from unified.kit.mapping.paths import compile_path
from unified.kit.mapping.refusals import RuleError
from unified.kit.mapping.rules import StreamRules
from unified.schema.entities import ENTITIES, Entity

Where = Annotated[Keys, Field(min_length=1)]


class AddField(Said):
    """Another key in a record."""

    do: Literal["add"]
    path: Where
    value: OfRecord


class RemoveField(Said):
    """A key less."""

    do: Literal["remove"]
    path: Where


class RenameField(Said):
    """The same value under another key beside it."""

    do: Literal["rename"]
    path: Where
    to: Annotated[str, Field(min_length=1, max_length=200)]


Transformation = Annotated[AddField | RemoveField | RenameField, Field(discriminator="do")]


class Many(Said):
    """How a list is asked for some ids."""

    parameter: Taker
    format: Literal["json", "comma", "repeat"] = Field(
        default="comma",
        description="A JSON list, values with commas between, or the parameter once for each.",
    )
    size: Annotated[int, Field(ge=1, le=1_000)] = 50
    parameters: Parameters = Field(default_factory=dict)


class Single(Said):
    """How a single record is asked for."""

    path: Path
    parameters: Parameters = Field(default_factory=dict)
    record: Keys = Field(default=(), description="Keys to what the list has as an item.")
    limit: Name | None = Field(
        default=None, description="One of the document's `limits`; without it the list's."
    )


class DocumentStream(Request):
    """One kind of record: a list, and the rules that map it."""

    entity: Literal["customers", "invoices", "events", "records"]
    usual: bool = Field(default=True, description="Whether a connection that chooses no streams reads it.")
    parameters: Parameters = Field(default_factory=dict, description="Of the query.")
    records: Records = ()
    decoder: Decoder | None = None
    may_be_one: bool = Field(
        default=False, description="Whether an object in place of the list is its only record."
    )
    may_lack_records: bool = Field(default=False, description="Whether a list without records is left out.")
    may_be_empty: bool = Field(default=False, description="Whether an empty page may have more behind it.")
    record: Keys = Field(default=(), description="Keys to the record within an item.")
    paging: Paging = NoPaging()
    job: Job | None = Field(
        default=None, description="Where the stream's request begins a job, whose results are the list."
    )
    refresh: Parameters = Field(default_factory=dict, description="Asked for by full refreshes alone.")
    changes: Changes | None = Field(default=None, description="Without it, every pull reads all of the list.")
    limit: Name | None = Field(
        default=None, description="Which of the document's `limits` its requests count against."
    )
    one: Path | Single | None = Field(
        default=None, description="A single record, with `{id}` where its id goes."
    )
    missing_is_gone: bool = Field(
        default=False, description="Whether a 404 to `one` says that the record was deleted."
    )
    many: Many | None = None
    partition: Partition | Annotated[tuple[Partition, ...], Field(min_length=2, max_length=3)] | None = Field(
        default=None,
        description="Where the stream is many lists, one for each parent or value. Of several, one for each "
        "combination.",
    )
    filter: OfRecord | None = Field(
        default=None, description="What is true of the records that count; the others are left out."
    )
    transformations: Annotated[tuple[Transformation, ...], Field(max_length=100)] = Field(
        default=(), description="Changes of the raw record, in order, before it is kept."
    )
    write: Writing | None = Field(
        default=None,
        description="How its records are created, changed and deleted; customers alone are written.",
    )
    customers: StreamName | None = Field(
        default=None, description="For invoices, the stream that they name customers of."
    )
    mapping: StreamRules

    @property
    def table(self) -> Entity:
        """The entity that its records land in."""
        return next(entity for entity in ENTITIES if entity.name == self.entity)

    def _takers(self) -> Iterator[str | tuple[str, ...]]:
        """What of the stream's request takes values that are not written in the document."""
        yield from () if self.job is not None else takers_of(self.paging)
        if self.changes is not None:
            yield self.changes.parameter
            yield self.changes.end_parameter or self.changes.parameter
        if self.many is not None:
            yield self.many.parameter

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """What it is divided by; nothing where it is one list."""
        said = self.partition
        return () if said is None else said if isinstance(said, tuple) else (said,)

    @property
    def parents(self) -> tuple[tuple[Parent, ...], ...]:
        """Those of these that are parents, each with its alternatives."""
        found = (parents_of(one) for one in self.partitions)
        return tuple(filter(None, found))

    @property
    def single(self) -> Single | None:
        """How a single record is asked for, written out."""
        return Single(path=self.one) if isinstance(self.one, str) else self.one

    @model_validator(mode="after")
    def _can_work(self) -> "DocumentStream":
        """See that rules and expressions compile, and that no change is lost between pages."""
        try:
            StreamMapping(self.table.model, self.mapping)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        check_expressions((self.path, *self.parameters.values(), *self.body_expressions()), SCOPE, CLOCK)
        check_takers(self.body, self._takers())
        further = [self.changes.parameters] if self.changes else []
        further += [self.many.parameters] if self.many else []
        alone = [value for said in (self.refresh, *further) for value in said.values()]
        divided = self.partitions
        alone += [one.values for one in divided if isinstance(one, Values) and isinstance(one.values, str)]
        one = [self.single.path, *self.single.parameters.values()] if self.single else []
        check_expressions((*one, *alone), SCOPE[:1], CLOCK)
        added = [one.value for one in self.transformations if isinstance(one, AddField)]
        check_expressions(filter(None, (self.filter, *added)), RECORD_SCOPE)
        if (
            self.many is not None
            and self.many.format == "repeat"
            and not isinstance(self.many.parameter, str)
        ):
            raise ValueError("`many` can't repeat a place in the body; use the format json or comma")
        if self.write is not None and self.entity != "customers":
            raise ValueError("customers alone are written")
        if self.write is not None and self.partitions:
            raise ValueError(
                "a stream of partitions is not written: nothing says to which a new record belongs"
            )
        if one and not any("{id}" in text for text in one):
            raise ValueError("`one` has no {id}, which stands for the record's id")
        if self.changes and self.job is None and isinstance(self.paging, NumberedPaging | ComputedPaging):
            if self.partition is not None:
                raise ValueError(
                    "a partition's pages are numbered or computed, and a change would move records over their edges; "
                    "leave out `changes`, so that every pull reads all of it"
                )
            if self.changes.changed_at is None and not self.table.is_log:
                raise ValueError(
                    "its pages are numbered or computed, and a change moves records over their edges; "
                    "`changes.changed_at` says where a record has its time"
                )
        return self

    @model_validator(mode="after")
    def _can_await(self) -> "DocumentStream":
        """See that what a job made is found, and in which pages."""
        if self.job is None:
            return self
        if self.many is not None:
            raise ValueError("a job makes all of a list; leave out `many`, and say `one`")
        if self.job.download is not None:
            check_takers(self.job.download.body, takers_of(self.paging))
        elif not isinstance(self.paging, NoPaging):
            raise ValueError("the `urls` of a job are files, each read as it is; leave out `paging`")
        return self

    @model_validator(mode="after")
    def _can_divide(self) -> "DocumentStream":
        """See that its partitions are told apart."""
        divided = self.partitions
        names = [name for one in divided for name in fields_of(one)]
        if len(set(names)) < len(names):
            raise ValueError("two of its partitions have the same partition_field")
        if self.changes and self.changes.per_partition and not divided:
            raise ValueError("`per_partition` is for streams with a partition")
        return self

    @model_validator(mode="after")
    def _can_take_records(self) -> "DocumentStream":
        """See that its records are found in an answer, and the next page too."""
        if isinstance(self.records, str):
            try:
                compile_path(self.records)
            except RuleError as error:
                raise ValueError(str(error)) from None
        if self.decoder is not None and self.decoder.zip and needs_json(self.paging):
            raise ValueError(
                f"a zip archive does not say how a list goes on, and paging {self.paging.kind} asks it"
            )
        if self.decoder is not None and self.decoder.kind in ("jsonl", "csv"):
            if needs_json(self.paging):
                raise ValueError(
                    f"{self.decoder.kind} does not say how a list goes on, and paging {self.paging.kind} asks it"
                )
            if self.records or self.may_be_one:
                raise ValueError(
                    f"of {self.decoder.kind} each line is a record; leave out `records` and `may_be_one`"
                )
        return self
