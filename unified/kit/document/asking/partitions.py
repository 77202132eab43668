"""What a document says of a stream that is many lists: by which parents and values it is divided."""

from typing import Annotated

from pydantic import Field, model_validator

from unified.kit.declarations import STREAM_NAME
from unified.kit.document.parts import (
    AS_NAME,
    RECORD_SCOPE,
    Expression,
    Keys,
    Name,
    OfRecord,
    Said,
    Text,
    check_expressions,
)

StreamName = Annotated[str, Field(pattern=f"^{STREAM_NAME}$"), AS_NAME]


class Parent(Said):
    """Another stream, each of whose records is a partition: a list of its own."""

    stream: StreamName
    parent_key: Annotated[Keys, Field(min_length=1)] = Field(
        description="Where a record of it has what the partition is asked by."
    )
    partition_field: Name = Field(description="The name under which expressions find that: `partition.…`.")
    filter: OfRecord | None = Field(
        default=None, description="What is true of the records that are partitions; the others have no list."
    )

    @model_validator(mode="after")
    def _can_filter(self) -> "Parent":
        check_expressions(filter(None, (self.filter,)), RECORD_SCOPE)
        return self


class Values(Said):
    """Values each of which is a partition: a list of its own."""

    values: Annotated[tuple[Text, ...], Field(min_length=1, max_length=1_000)] | Expression = Field(
        description="The values, or an expression over `settings` that gives a list of them."
    )
    partition_field: Name = Field(
        description="The name under which expressions find the value: `partition.…`."
    )


class Parents(Said):
    """Several streams, each record of any of which is a partition: those of the first, then those of the next.

    Where they name it by different fields, those of the others are empty text.
    """

    any_of: Annotated[tuple[Parent, ...], Field(min_length=2, max_length=10)]


Partition = Parent | Parents | Values


def parents_of(said: Partition) -> tuple[Parent, ...]:
    """The streams whose records are partitions; none where values are."""
    return () if isinstance(said, Values) else said.any_of if isinstance(said, Parents) else (said,)


def fields_of(said: Partition) -> tuple[str, ...]:
    """The names under which expressions find a partition, each once."""
    names = (
        [said.partition_field]
        if isinstance(said, Values)
        else [one.partition_field for one in parents_of(said)]
    )
    return tuple(dict.fromkeys(names))
