"""What a document says of webhooks: how deliveries are proven and taken apart, and which events are about what.

The verifiers and their options are the kit's (`unified.kit.webhooks.generic`); an endpoint keeps the options that it
was made with. What follows for the tables is `unified.kit.webhooks.meaning`'s.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from pydantic import Field, model_validator

from unified.kit.document.asking.partitions import StreamName
from unified.kit.document.parts import Keys, Said
from unified.kit.errors import ConfigurationError
from unified.kit.mapping.compiled import StreamMapping
from unified.kit.webhooks.deliveries import ReceivedEvent, is_wanted
from unified.kit.webhooks.generic import Reading, generic_verifier
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.payloads import raw_at
from unified.kit.webhooks.signatures import Verifier

Type = Annotated[str, Field(min_length=1, max_length=200)]


class About(Said):
    """Which events are about records of a stream, and where they have them."""

    stream: StreamName
    types: Annotated[tuple[Type, ...], Field(max_length=100)] = Field(
        default=(), description="Of events, with `*` at the end for a family; none takes all."
    )
    id: Keys = Field(default=(), description="Where an event has the record's id: the record is read again.")
    record: Keys | None = Field(
        default=None,
        description="Where an event has the whole record, or a list of them, as the list has it; none for the event "
        "itself. It is not read again.",
    )
    deleted: bool = Field(
        default=False, description="Whether they say that the record of `id` is gone for good."
    )

    @model_validator(mode="after")
    def _says_where(self) -> "About":
        if bool(self.id) == (self.record is not None):
            raise ValueError("say by `id` or by `record` what an event has of a record")
        if self.deleted and not self.id:
            raise ValueError("a record that is gone is named by `id`")
        return self


class Webhooks(Said):
    """Deliveries of the provider's events."""

    verifier: Literal["hmac", "standard", "standard_ed25519", "token", "basic", "none"] = Field(
        description="What proves a delivery; see docs/webhooks.md."
    )
    options: Annotated[dict[str, Annotated[str, Field(max_length=500)]], Field(max_length=20)] = Field(
        default_factory=dict, description="Of the verifier, and where events have their id, type and time."
    )
    events: Annotated[tuple[About, ...], Field(min_length=1, max_length=50)]

    @model_validator(mode="after")
    def _can_verify(self) -> "Webhooks":
        try:
            generic_verifier(self.verifier, self.options)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return self


def subjects_of(
    said: Webhooks,
    event: ReceivedEvent,
    mappings: Mapping[str, StreamMapping],
    change_of: Callable[[str], Callable[[bytes], bytes | None] | None],
) -> Iterator[Subject]:
    """The records that an event is about. Pure.

    Args:
        said: The document's webhooks.
        event: As it was received.
        mappings: Of each stream.
        change_of: The filter and transformations of a stream.

    Raises:
        msgspec.MsgspecError: If it has no id where the document says so.
    """
    for about in said.events:
        if not is_wanted(event.event_type, about.types):
            continue
        if about.record is None:
            found = raw_at(event.body, about.id)
            source_id = str(msgspec.json.decode(found or b"", type=str | int))
            yield Subject(about.stream, source_id, event.occurred_at if about.deleted else None)
            continue
        for body in _records(raw_at(event.body, about.record)):
            change = change_of(about.stream)
            kept = body if change is None else change(body)
            source_id_of = mappings[about.stream].id_of
            if kept is None:  # left out by the filter, so it counts as deleted
                yield Subject(about.stream, source_id_of(body), event.occurred_at)
            else:
                yield Subject(about.stream, source_id_of(kept), record=kept, as_of=event.occurred_at)


def _records(found: bytes | None) -> list[bytes]:
    if found is None:
        raise msgspec.ValidationError("the event has no record")
    if not found.lstrip().startswith(b"["):
        return [found]
    return [bytes(one) for one in msgspec.json.decode(found, type=list[msgspec.Raw])]


def leading_of(said: Webhooks | None) -> frozenset[str]:
    """Where the events have what they are known, dated and led to records by, as dotted paths."""
    if said is None:
        return frozenset()
    reading = Reading(
        **{name: said.options[name] for name in Reading.__struct_fields__ if name in said.options}
    )
    places = (".".join(keys) for about in said.events for keys in (about.id, about.record) if keys)
    paths = (*places, reading.id_field, reading.type_field, reading.time_field)
    return frozenset(path.removeprefix("$.") for path in paths if path)


def verifiers_of(said: Webhooks | None) -> tuple[Verifier, ...]:
    """What an adapter declares: the verifier, or none."""
    return () if said is None else (generic_verifier(said.verifier, said.options),)
