"""The contract between a system and the rest: what an adapter declares, reads, writes and maps.

An adapter does two things that are kept apart. *Reading* and *writing* are asynchronous network code over raw
records (:meth:`BaseAdapter.pull`, :meth:`BaseAdapter.write`). *Mapping* is pure and synchronous, dict to
record and back (:meth:`BaseAdapter.to_unified`, :meth:`BaseAdapter.from_unified`). Storing is nobody's
business here.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from unified.kit.connected import ConfigT, Connected
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Capability,
    OAuth,
    Source,
    Stream,
)
from unified.kit.decoding import FAULTS, decode_exactly, decode_record, refused
from unified.kit.errors import ConfigurationError, MappingError, PermissionDeniedError, did_you_mean
from unified.kit.reading.people import Person, Reported, Reporting
from unified.kit.reading.windows import side_by_side
from unified.kit.streams import Changes, Cursor, Origin, Page
from unified.kit.tools.provider import ProviderTools
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject, meaning
from unified.kit.webhooks.owners import Owner
from unified.kit.webhooks.signatures import Verifier
from unified.kit.writing.changes import Write, Written
from unified.schema.base import UnifiedBase, connection_namespace
from unified.schema.unusable import without_long_keys

if TYPE_CHECKING:
    from unified.kit.mapping.compiled import FieldRules


class BaseAdapter(Connected[ConfigT], ABC):
    """One connection to one system.

    Subclasses declare what they are in class variables, register with ``@register_adapter`` and implement
    :meth:`limits` and :meth:`test`. Their streams say how each is read, mapped and written; whatever a
    stream does not say, a subclass does in the method of that name. Use an instance in ``async with``.

    Type parameter:
        ConfigT: The adapter's settings model.
    """

    display_name: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]
    config_model: ClassVar[type[AdapterConfig]]
    # Where connections are authorized by OAuth, beside or instead of the kind above; None nowhere.
    oauth: ClassVar[OAuth | None] = None
    streams: ClassVar[tuple[Stream, ...]]
    # Streams that no request lists: only webhooks bring their records.
    delivered_streams: ClassVar[tuple[Stream, ...]] = ()
    # What its provider has to be told of the people whose data are kept; None where it asks for nothing.
    reporting: ClassVar[Reporting | None] = None
    # Its own MCP tools, for agents that hold a connection to them; None where it has none that are known.
    provider_tools: ClassVar[type[ProviderTools] | None] = None
    # Fields of its raw records, in any stream, that say which record it is and when it changed: they are not left out.
    identifying: ClassVar[frozenset[str]] = frozenset(("id",))
    # Fields of its events by which they are known, dated and led to records. They are not left out either, of any
    # stream: what is left out of a stream's records is left out wherever it stands in an event.
    leading: ClassVar[frozenset[str]] = frozenset()
    # How an event names a field beside its value: the key that holds the name, with those that hold values.
    named_values: ClassVar[Mapping[str, Collection[str]]] = MappingProxyType({})
    # How its deliveries may be signed, the usual way first; none without Capability.WEBHOOK.
    verifiers: ClassVar[tuple[Verifier, ...]] = ()
    # Whether its settings say which events carry its records: people choose that from what a connection has received.
    settings_from_deliveries: ClassVar[bool] = False
    # What the usual one is told, where it is one of those that take options; an endpoint keeps them.
    verifier_options: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def all_streams(cls) -> tuple[Stream, ...]:
        """The streams that are polled, then those that only webhooks bring."""
        return (*cls.streams, *cls.delivered_streams)

    @classmethod
    def chosen(cls, names: Collection[str] = ()) -> tuple[Stream, ...]:
        """The polled streams that a connection reads: those of these names, or without any the usual ones."""
        return tuple(one for one in cls.streams if (one.name in names if names else one.is_usual))

    @classmethod
    def stream(cls, name: str) -> Stream:
        """The stream of that name, polled or delivered.

        Raises:
            ConfigurationError: If this connector has none.
        """
        streams = cls.all_streams()
        for stream in streams:
            if stream.name == name:
                return stream
        known = [stream.name for stream in streams]
        msg = f"{cls.name} has no stream {name!r}; it has {', '.join(known)}{did_you_mean(name, known)}"
        raise ConfigurationError(msg)

    @classmethod
    def made_by(cls) -> Callable[[], "type[BaseAdapter[Any]]"] | None:
        """What makes this class in another process, which can be pickled; None where its name is enough there."""
        return None

    @classmethod
    def identifying_fields(cls, stream: str) -> frozenset[str]:  # noqa: ARG003 - the same in all of them, mostly
        """The fields of a stream's raw records by which they are known and dated, as dotted paths."""
        return cls.identifying

    @classmethod
    def leading_fields(cls, settings: Mapping[str, Any]) -> frozenset[str]:  # noqa: ARG003 - most declare all of them
        """The fields in :attr:`leading`, and those that a connection's settings name as well, as dotted paths."""
        return cls.leading

    @classmethod
    def takes_credential(cls) -> bool:
        """Whether a connection proves who it is; where nothing is asked of a system, there is nobody to prove it to."""
        return bool(cls.credential_fields) or cls.oauth is not None

    @abstractmethod
    async def test(self) -> Account:
        """Ask the provider whose account this credential opens, and whether it may read the connection's streams.

        Raises:
            ProviderError: If it opens none, with the reason.
            PermissionDeniedError: If it may not read some of the streams; :meth:`may_read` names all of them.
        """

    async def may_read(self, request: Callable[[Stream], Coroutine[Any, Any, object]]) -> None:
        """Try whether the credential may read each of the connection's streams.

        Args:
            request: Asks for a little of a stream.

        Raises:
            PermissionDeniedError: If it may not read some, which it names.
            ProviderError: If a request fails for another reason.
        """
        streams = self.chosen(self.connection.streams)
        refused: dict[str, PermissionDeniedError] = {}

        async def ask(stream: Stream) -> None:
            try:
                await request(stream)
            except PermissionDeniedError as error:
                refused[stream.name] = error

        await side_by_side(ask(stream) for stream in streams)
        names = [stream.name for stream in streams if stream.name in refused]
        if names:
            first = refused[names[0]]
            msg = (
                f"{first}; this credential may not read {', '.join(names)}: give it that right, or choose the "
                "connection's streams without"
            )
            raise PermissionDeniedError(msg, status=first.status, code=first.code)

    async def account(self) -> Account:
        """Whose account this credential opens, by as few requests as it takes; :meth:`test` tries more than that.

        Raises:
            ProviderError: If it opens none, with the reason.
        """
        return await self.test()

    def pull(self, stream: str, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        """Read a stream from where it stands.

        Args:
            stream: Name of one of ``streams``.
            cursor: The last committed cursor. None asks for a full refresh; a cursor inside an unfinished full
                refresh goes on with it; otherwise the changes since.

        Yields:
            Pages, each with the cursor that holds once it is stored. Stopping early loses nothing.

        Raises:
            ConfigurationError: If no request lists that stream.
            StaleCursorError: If the changes since ``cursor`` are no longer to be had.
            ProviderError: If the provider does not answer as documented.
        """
        return self._source(stream).pull(cursor)

    def fetch(self, stream: str, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Read single records by their ids: customers that an invoice names, or what an event is about.

        Args:
            stream: Name of one of ``streams``.
            source_ids: Ids, any number; :meth:`changes` may also ask for all records that belong to another one.

        Yields:
            Pages without a cursor. Each id comes once: as a record, or as a tombstone where the source has it no
            longer. Records that were merged into one of these come as tombstones beside it.

        Raises:
            ConfigurationError: If no request lists that stream.
            ProviderError: If the provider does not answer as documented.
        """
        return self._source(stream).fetch(source_ids)

    def _source(self, name: str) -> Source:
        stream = self.stream(name)
        if stream.source is None:
            raise ConfigurationError(
                f"no request lists {self.display_name}'s {name}, they come by webhook: add one with "
                "`unified webhooks add`"
            )
        return stream.source(self, stream)

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Origin) -> UnifiedBase:
        """Map one raw record. Pure: no I/O, no clock, no chance.

        Args:
            stream: Name of one of ``streams``.
            raw: The decoded body of a :class:`RawRecord`.
            origin: Where and when it was read.

        Raises:
            ConfigurationError: If this connector has no such stream, or no mapping for it.
            MappingError: If it can't become a unified record. Any ValueError, KeyError, TypeError or pydantic
                error counts as one as well.
        """
        mapping = self.stream(stream).to_unified
        if mapping is None:
            raise ConfigurationError(f"{self.name} has no mapping for {stream}")
        return mapping(raw, origin)

    def mapping_version(self, stream: str) -> object:
        """What, beside the model and the workspace's rules, decides how a stream's records are mapped at present.

        Where it changes, stored records are mapped anew. Its ``repr`` counts.
        """
        return self.stream(stream).mapping_version

    def subjects(self, event: ReceivedEvent) -> Iterable[Subject]:
        """The records that one received event is about, for :meth:`changes`. Pure.

        Raises:
            ConfigurationError: If this connector takes no webhooks.
            msgspec.MsgspecError: If the event is about no record, as one of an unknown form is.
        """
        raise ConfigurationError(
            f"{self.name} takes no webhooks, so it does not say what a received {event.event_type} means"
        )

    @classmethod
    def owner(cls, event: ReceivedEvent) -> Owner:  # noqa: ARG003 - most systems have an endpoint for each account
        """The account and the mode that a received event names. Pure; it fails for no event that was received."""
        return Owner()

    @classmethod
    def needs_sync(cls, event: ReceivedEvent) -> bool:  # noqa: ARG003 - most systems send none such
        """Whether a received event says that others were lost, or that the access may have ended. Pure.

        The connection is then synced at once: that brings what is missing, or says that there is no access any more.
        """
        return False

    def changes(self, events: Sequence[ReceivedEvent]) -> Changes:
        """Say what received events mean for the tables. Pure; it fails for no event that was received.

        Events are records of the connector's log, if it has one, and about the records that :meth:`subjects` names.

        Args:
            events: Any number of this connection's, in any order.

        Raises:
            ConfigurationError: If this connector takes no webhooks.
        """
        log = next((stream.name for stream in self.all_streams() if stream.entity.is_log), None)
        meant = meaning(events, self.subjects, log=log)
        return replace(meant, needs_sync=any(map(self.needs_sync, events)))

    def from_unified(
        self, stream: str, record: UnifiedBase, fields: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Map a unified record to the body that this system's API takes on create and update. Pure.

        What the body holds reads back the same: ``to_unified`` of it, mapped once more, is the same body.

        Args:
            stream: Name of the stream that is written; several may land in one entity.
            record: As it shall be at the target.
            fields: Fields of the model to write; the body empties those that the record does not have. Single
                custom fields are named ``custom_fields.<key>``; ``custom_fields`` as a whole empties none.
                None writes whatever the record knows, and empties nothing.

        Raises:
            ConfigurationError: If this adapter does not write records of that kind, or not that field.
        """
        declared = self.stream(stream)
        if declared.from_unified is not None and isinstance(record, declared.entity.model):
            return declared.from_unified(record, fields)
        wanted = f" ({', '.join(fields)})" if fields else ""
        msg = f"{self.name} does not write {type(record).__name__}{wanted} to {stream}"
        raise ConfigurationError(msg)

    def write(self, stream: str, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes at this system: batched, side by side, no faster than it allows.

        Args:
            stream: Name of one that has ``writable_fields``.
            writes: Any number; not two for one record.

        Yields:
            The outcome of each write, once, as soon as it is known and in any order. What one record is refused
            for never keeps another one from being written. Stopping early leaves open what is under way.

        Raises:
            ConfigurationError: If this adapter does not write that stream.
            ProviderError: If nothing more can be written for now: credential, rights, a limit, no answer. It
                comes last: writes that were not reported were not applied; of those whose fate is open,
                ``unknown`` was reported.
        """
        declared = self.stream(stream)
        if declared.writer is None:
            msg = f"{self.name} does not write {stream}, so {len(writes)} changes can't be made there"
            raise ConfigurationError(msg)
        return declared.writer(self, declared).write(writes)

    def find(self, stream: str, field: str, values: Sequence[str]) -> AsyncGenerator[Page, None]:
        """Find records at this system by what they hold, as it is now: before a route creates another one.

        Args:
            stream: Name of one that has ``writable_fields``.
            field: ``email``, ``phone`` or ``custom_fields.<key>``; the README says what can be found.
            values: Of that field, any number. Values that differ in case only may find the same.

        Yields:
            Pages without a cursor: raw records for ``to_unified``, which show whose value they have. A value may
            find several, or none.

        Raises:
            ConfigurationError: If records can't be found by that field.
            ProviderError: If the provider does not answer as documented.
        """
        declared = self.stream(stream)
        if declared.writer is None:
            msg = (
                f"{self.name} finds no {stream} by {field}, so {len(values)} values can't be looked up there"
            )
            raise ConfigurationError(msg)
        return declared.writer(self, declared).find(field, values)

    async def notify(self, place: str, text: str) -> str:
        """Say something to people at this system: an alert, for example.

        Args:
            place: Where, as the system names it; the README says how.
            text: Plain text for people; what is too long for one message is cut off.

        Returns:
            The message's source id.

        Raises:
            ConfigurationError: If this connector has no place for messages.
            ProviderError: If it was not sent; an ``UndecidedError`` where it may have been.
        """
        raise ConfigurationError(
            f"{self.name} has no place for messages, so {len(text)} characters can't be said at {place!r:.80}"
        )

    async def register_webhook(self, url: str, only: str, *, verifier: str) -> str:
        """Have this system deliver to a URL, by its API; done twice it changes nothing.

        Args:
            url: Of an endpoint of the connection; a secret.
            only: What is delivered, as the system says it; the README says how. Empty for all.
            verifier: How the endpoint proves deliveries.

        Returns:
            The webhook's id at the system.

        Raises:
            ConfigurationError: If this connector has its webhooks entered by a person, or these are proven otherwise.
            ProviderError: If it was not registered.
        """
        del url, only, verifier
        raise ConfigurationError(
            f"{self.name} has no webhooks that are registered by its API: enter the URL there, as docs/webhooks.md says"
        )

    async def report(self, people: Sequence[Person]) -> Reported:
        """Say whose data are kept, and be told what that asks for; done twice it changes nothing.

        Args:
            people: As many as :attr:`reporting` allows at once.

        Raises:
            ConfigurationError: If this connector declares no :attr:`reporting`.
            ProviderError: If the provider took none of it.
        """
        raise ConfigurationError(
            f"{self.name} does not ask whose data are kept, so {len(people)} people can't be said"
        )

    @staticmethod
    def decode(body: bytes | memoryview) -> Any:
        """A raw record as :meth:`to_unified` takes it.

        Raises:
            MappingError: If it is not JSON.
        """
        return decode_record(body)

    def origin(self, stream: str, observed_at: datetime, synced_at: datetime) -> Origin:
        """The :class:`Origin` of records that this connection read."""
        namespace = connection_namespace(self.connection.workspace_id, self.connection.id, stream)
        return Origin(self.name, namespace, observed_at, synced_at)

    def map_record(
        self, stream: str, body: bytes | memoryview, origin: Origin, rules: "FieldRules | None" = None
    ) -> UnifiedBase:
        """Decode one raw record, map it, and apply the workspace's own field rules.

        Args:
            stream: Name of one of ``streams``.
            body: JSON text of the record.
            origin: Where and when it was read.
            rules: What the workspace maps beyond the adapter's mapping.

        Raises:
            MappingError: If it can't become a unified record; the reason may quote the value at fault, no more.
        """
        raw = self.decode(body)
        try:
            record = self.to_unified(stream, raw, origin)
            return without_long_keys(record if rules is None else rules.apply(record, decode_exactly(body)))
        except MappingError:
            raise
        except FAULTS as error:
            raise refused(error) from error
