"""Any system that posts JSON to a URL: its events, and the records that they carry.

Nothing is asked of the sender. A delivery is verified and taken apart by the options of its endpoint
(`unified.kit.webhooks.generic`); which of its events carry a customer, an invoice or another record, and where, is said
by the connection's settings; what the fields of a record are, by the workspace's rules (docs/rules.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Self

import httpx
import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    UNKNOWN_ACCOUNT,
    Account,
    AdapterConfig,
    Capability,
    CredentialField,
    CredentialKind,
    Stream,
)
from unified.kit.errors import MappingError
from unified.kit.http.limits import Limit
from unified.kit.mapping.compiled import StreamMapping
from unified.kit.mapping.paths import compile_path
from unified.kit.mapping.refusals import RuleError
from unified.kit.mapping.rules import Id, StreamRules, Tombstone
from unified.kit.registry import register_adapter
from unified.kit.streams import Changes, Origin, RawRecord
from unified.kit.webhooks.deliveries import ReceivedEvent, is_wanted
from unified.kit.webhooks.generic import HmacOptions, HmacVerifier
from unified.kit.webhooks.meaning import Subject, meaning
from unified.kit.webhooks.payloads import raw_at, read_time
from unified.kit.webhooks.signatures import Verifier
from unified.schema.base import UnifiedBase
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES, RECORDS
from unified.schema.event import UnifiedEvent


def _paths(value: Any) -> Any:
    return {"paths": [value]} if isinstance(value, str) else value


class Carried(BaseModel):
    """Which events carry records of a stream, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: tuple[str, ...] = Field(
        default=(), description="Types of events, with * at the end for a family; none takes all."
    )
    records: str = Field(
        default="",
        description="Keys, with dots between them, that lead to the record or the list of records; empty where the "
        "event is the record.",
    )
    id: Annotated[Id, BeforeValidator(_paths)] = Field(
        description="The path of a record's id within it, or several with what stands between."
    )
    tombstone: Tombstone | None = Field(default=None, description="Which records are deleted ones.")

    @model_validator(mode="after")
    def _has_paths(self) -> Self:
        gone = self.tombstone
        for path in (*self.id.paths, *filter(None, (gone.path, gone.at) if gone else ())):
            try:
                compile_path(path)
            except RuleError as error:
                raise ValueError(str(error)) from None
        return self


class WebhookConfig(AdapterConfig):
    """Settings of a generic webhook."""

    # Said where a setting changes what is read anew; here nothing is read.
    reads: ClassVar[frozenset[str]] = frozenset()
    hosts: ClassVar[tuple[str, ...]] = ("localhost",)

    base_url: str = Field(
        default="https://localhost", description="Not used: nothing is asked of the sender."
    )
    customers: Carried | None = Field(default=None, description="Which events carry customers.")
    invoices: Carried | None = Field(default=None, description="Which events carry invoices.")
    records: Carried | None = Field(default=None, description="Which events carry other records.")


class _Kept(msgspec.Struct, omit_defaults=True):
    """An event as it is kept: what the endpoint's options found, and the body."""

    id: str
    type: str
    body: msgspec.Raw
    occurred_at: str | None = None


def _to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    at = raw.get("occurred_at")
    return UnifiedEvent(
        **origin.identify(raw["id"]),
        event_type=raw["type"],
        occurred_at=origin.observed_at if at is None else read_time(at),
        raw_data=raw,
    )


_CARRIED = {stream.name: stream for stream in (
    Stream("customers", CUSTOMERS), Stream("invoices", INVOICES, customers="customers"), Stream("records", RECORDS),
)}  # fmt: skip


@register_adapter
class WebhookAdapter(BaseAdapter[WebhookConfig]):
    """Events of any sender, and the records in them."""

    name: ClassVar[str] = "webhook"
    display_name: ClassVar[str] = "Generic webhook"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.WEBHOOK})
    identifying: ClassVar[frozenset[str]] = frozenset(("id", "type"))
    config_model: ClassVar[type[AdapterConfig]] = WebhookConfig
    credential_kind: ClassVar[CredentialKind] = CredentialKind.API_KEY
    credential_fields: ClassVar[tuple[CredentialField, ...]] = ()
    streams: ClassVar[tuple[Stream, ...]] = ()
    delivered_streams: ClassVar[tuple[Stream, ...]] = (
        *_CARRIED.values(),
        Stream("events", EVENTS, to_unified=_to_event),
    )
    settings_from_deliveries: ClassVar[bool] = True
    verifiers: ClassVar[tuple[Verifier, ...]] = (HmacVerifier("hmac", HmacOptions()),)

    @cached_property
    def _mappings(self) -> Mapping[str, StreamMapping]:
        """How ids and tombstones of each stream that events carry are read."""
        return {
            name: StreamMapping(
                stream.entity.model, StreamRules(id=carried.id, tombstone=carried.tombstone, rules=())
            )
            for name, stream in _CARRIED.items()
            if (carried := getattr(self.config, name))
        }

    @classmethod
    def leading_fields(cls, settings: Mapping[str, Any]) -> frozenset[str]:
        """What leads to the records in an event, and tells these apart, by the settings.

        An event is cut by the rules of all streams, wherever in it a field stands, so each end of a path counts.
        """
        try:
            said = WebhookConfig.model_validate(settings)
        except ValidationError:
            return cls.leading  # who checks the settings says what is wrong with them
        found: set[str] = set()
        for carried in filter(None, (getattr(said, name) for name in _CARRIED)):
            gone = carried.tombstone
            for path in (*carried.id.paths, *filter(None, (gone.path, gone.at) if gone else ())):
                keys = [*filter(None, carried.records.split(".")), *path.removeprefix("$.").split(".")]
                found.update(".".join(keys[at:]) for at in range(len(keys)))
        return cls.leading | found

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Origin) -> UnifiedBase:
        """An event, or a record with its id alone: the workspace's rules fill its fields."""
        if stream not in _CARRIED:
            return super().to_unified(stream, raw, origin)
        if stream not in self._mappings:
            raise MappingError(f"the connection's settings say no longer which events carry {stream}")
        return self._mappings[stream].to_unified(raw, origin)

    def mapping_version(self, stream: str) -> object:
        """What the settings say of a stream: a record is mapped anew where they change."""
        carried = self._mappings.get(stream)
        return carried.digest if carried else super().mapping_version(stream)

    def subjects(self, event: ReceivedEvent) -> Iterator[Subject]:
        """The records that an event carries, in the state of its time."""
        for stream, mapping in self._mappings.items():
            carried: Carried = getattr(self.config, stream)
            if is_wanted(event.event_type, carried.types):
                for record in _records(event.body, carried.records):
                    yield Subject(stream, mapping.id_of(record), record=record, as_of=event.occurred_at)

    def changes(self, events: Sequence[ReceivedEvent]) -> Changes:
        """The events, each with what its endpoint read of it, and the records that they carry."""
        found = meaning(events, self.subjects, log=None)
        kept = [RawRecord(one.dedupe_key, _kept(one)) for one in events]
        return Changes({**found.records, "events": kept}, found.fetch, states=found.states)

    def authentication(self) -> httpx.Auth:
        """None: nothing is sent."""
        return httpx.Auth()

    def limits(self) -> Sequence[Limit]:
        """One that is never reached."""
        return (Limit(1),)

    async def test(self) -> Account:
        """There is nobody to ask."""
        return Account(UNKNOWN_ACCOUNT)


def _records(body: bytes, path: str) -> list[bytes]:
    """The records below some keys, as they were sent. Where none is, the event itself, which has no id there."""
    found = raw_at(body, path.split(".") if path else ())
    if found is None:
        return [body]
    if not found.lstrip().startswith(b"["):
        return [found]
    return [bytes(one) for one in msgspec.json.decode(found, type=list[msgspec.Raw])]


def _kept(event: ReceivedEvent) -> bytes:
    at = event.occurred_at.isoformat() if event.occurred_at else None
    return msgspec.json.encode(_Kept(event.dedupe_key, event.event_type, msgspec.Raw(event.body), at))
