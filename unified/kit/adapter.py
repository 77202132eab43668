"""The contract between a system and the rest: what an adapter declares, reads, writes and maps.

An adapter does two things that are kept apart. *Reading* and *writing* are asynchronous network code over raw
records (:meth:`BaseAdapter.pull`, :meth:`BaseAdapter.write`). *Mapping* is pure and synchronous, dict to
record and back (:meth:`BaseAdapter.to_unified`, :meth:`BaseAdapter.from_unified`). Storing is nobody's
business here.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

import httpx
import msgspec
from pydantic import ValidationError

from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Capability,
    ConnectionRef,
    CredentialField,
    CredentialKind,
    KeyPlace,
    OAuth,
    Source,
    Stream,
)
from unified.kit.errors import ConfigurationError, MappingError
from unified.kit.http.authentication import OAuthAuthentication, TokenSource, fixed_authentication
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import Limit, rate_limits
from unified.kit.http.refusals import Refusals
from unified.kit.secrets import Secret
from unified.kit.streams import Changes, Cursor, Origin, Page
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject, meaning
from unified.kit.webhooks.owners import Owner
from unified.kit.webhooks.signatures import Verifier
from unified.kit.writing.changes import Write, Written
from unified.schema.base import UnifiedBase, connection_namespace
from unified.schema.field_rules import FieldRule, apply_rules

ConfigT = TypeVar("ConfigT", bound=AdapterConfig)


class BaseAdapter(ABC, Generic[ConfigT]):
    """One connection to one system.

    Subclasses declare what they are in class variables, register with ``@register_adapter`` and implement
    :meth:`limits` and :meth:`test`. Their streams say how each is read, mapped and written; whatever a
    stream does not say, a subclass does in the method of that name. Use an instance in ``async with``.

    Type parameter:
        ConfigT: The adapter's settings model.
    """

    name: ClassVar[str]
    display_name: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]
    config_model: ClassVar[type[AdapterConfig]]
    credential_kind: ClassVar[CredentialKind]
    credential_fields: ClassVar[tuple[CredentialField, ...]]
    # Where an API key goes, and the header's or the query parameter's name; in the usual header it is a bearer token.
    api_key_place: ClassVar[KeyPlace] = "header"
    api_key_header: ClassVar[str] = "authorization"
    api_key_parameter: ClassVar[str] = "api_key"
    # Where connections are authorized by OAuth, beside or instead of the kind above; None nowhere.
    oauth: ClassVar[OAuth | None] = None
    streams: ClassVar[tuple[Stream, ...]]
    # Streams that no request lists: only webhooks bring their records.
    delivered_streams: ClassVar[tuple[Stream, ...]] = ()
    # How the provider says no.
    refusals: ClassVar[Refusals] = Refusals()
    # How its deliveries may be signed, the usual way first; none without Capability.WEBHOOK.
    verifiers: ClassVar[tuple[Verifier, ...]] = ()

    def __init__(
        self,
        config: ConfigT,
        credentials: Mapping[str, Secret],
        connection: ConnectionRef,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        tokens: TokenSource | None = None,
    ) -> None:
        """Prepare a connection without touching the network.

        Args:
            config: The connection's settings.
            credentials: Secrets by the names in ``credential_fields``; mapping works without them.
            connection: Whom this adapter works for.
            clock: Returns the time at which pages are observed.
            tokens: Access tokens of a connection that is authorized by OAuth.
        """
        self.config = config
        self.credentials = credentials
        self.connection = connection
        self.clock = clock
        self.tokens = tokens
        self._http: HttpClient | None = None

    @classmethod
    def all_streams(cls) -> tuple[Stream, ...]:
        """The streams that are polled, then those that only webhooks bring."""
        return (*cls.streams, *cls.delivered_streams)

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
        msg = f"{cls.name} has no stream {name!r}; it has {', '.join(s.name for s in streams)}"
        raise ConfigurationError(msg)

    @property
    def http(self) -> HttpClient:
        """The open HTTP client.

        Raises:
            ConfigurationError: Outside ``async with`` (or :meth:`connect` … :meth:`disconnect`).
        """
        if self._http is None:
            msg = f"the {self.name} adapter is not connected; use it in `async with`"
            raise ConfigurationError(msg)
        return self._http

    async def connect(self) -> None:
        """Open the HTTP client. Nothing is sent yet; :meth:`test` asks the provider.

        Raises:
            ConfigurationError: If a credential is missing.
        """
        if self.tokens is None and self.credential_kind is CredentialKind.OAUTH_TOKEN:
            msg = (
                f"connection {self.connection.key} is not authorized; "
                f"run `unified connections authorize {self.connection.key}`"
            )
            raise ConfigurationError(msg)
        missing = [field.label for field in self.credential_fields if field.name not in self.credentials]
        if missing and self.tokens is None:
            msg = (
                f"connection {self.connection.key} has no {' and no '.join(missing)}; "
                "remove it and add it again with `unified connections add`"
            )
            raise ConfigurationError(msg)
        if self._http is None:
            self._http = self.open_http()

    async def disconnect(self) -> None:
        """Close the HTTP client and its connections."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    @property
    def label(self) -> str:
        """Names the connection in errors, e.g. ``stripe connection acme/main``."""
        return f"{self.name} connection {self.connection.key}"

    def authentication(self) -> httpx.Auth:
        """How this connection's requests prove who sends them: for :class:`HttpClient`'s ``auth``.

        Raises:
            ConfigurationError: If no header can carry the credential.
        """
        if self.tokens is not None:
            return OAuthAuthentication(self.tokens, label=self.label)
        fields = [field.name for field in self.credential_fields]
        return fixed_authentication(
            self.credential_kind,
            self.credentials,
            fields,
            header=self.api_key_header,
            place=self.api_key_place,
            parameter=self.api_key_parameter,
            label=self.label,
        )

    def limits(self) -> Sequence[Limit]:
        """What the provider allows this connection, the limit ``default`` among it.

        The setting ``requests_per_second`` takes the place of that one's rate.
        """
        raise ConfigurationError(f"the adapter {self.name} declares no limits")

    def headers(self) -> Mapping[str, str]:
        """What every request carries beside the credential, such as the API's version."""
        return {}

    def open_http(self) -> HttpClient:
        """The HTTP client, with the credential, limits, headers and refusals that are declared.

        Raises:
            ConfigurationError: If the credential or the settings can't work.
        """
        return HttpClient(
            self.config,
            label=self.label,
            headers=self.headers(),
            auth=self.authentication(),
            limits=rate_limits(self.limits(), fixed=self.config.requests_per_second),
            refusals=self.refusals,
        )

    @abstractmethod
    async def test(self) -> Account:
        """Ask the provider whose account this credential opens.

        Raises:
            ProviderError: If it opens none, with the reason.
        """

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

    def changes(self, events: Sequence[ReceivedEvent]) -> Changes:
        """Say what received events mean for the tables. Pure; it fails for no event that was received.

        Events are records of the connector's log, if it has one, and about the records that :meth:`subjects` names.

        Args:
            events: Any number of this connection's, in any order.

        Raises:
            ConfigurationError: If this connector takes no webhooks.
        """
        streams = (*self.streams, *self.delivered_streams)
        log = next((stream.name for stream in streams if stream.entity.is_log), None)
        return meaning(events, self.subjects, log=log)

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

    def origin(self, stream: str, observed_at: datetime, synced_at: datetime) -> Origin:
        """The :class:`Origin` of records that this connection read."""
        namespace = connection_namespace(self.connection.workspace_id, self.connection.id, stream)
        return Origin(self.name, namespace, observed_at, synced_at)

    def map_record(
        self, stream: str, body: bytes | memoryview, origin: Origin, rules: Sequence[FieldRule] = ()
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
        return self.map_decoded(stream, decode_record(body), origin, rules)

    def map_decoded(
        self, stream: str, raw: dict[str, Any], origin: Origin, rules: Sequence[FieldRule] = ()
    ) -> UnifiedBase:
        """:meth:`map_record` for a record that :func:`decode_record` has decoded."""
        try:
            record = self.to_unified(stream, raw, origin)
            return apply_rules(record, raw, rules) if rules else record
        except MappingError:
            raise
        except ValidationError as error:
            raise MappingError(describe_faults(error)) from error
        except KeyError as error:
            msg = f"the record lacks {error}"
            raise MappingError(msg) from error
        except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise _unexpected(error) from error


def decode_record(body: bytes | memoryview) -> Any:
    """Decode a raw record as mappings take it: without U+0000, which no column keeps.

    Raises:
        MappingError: If it is not JSON.
    """
    try:
        raw = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        try:
            raw = _LENIENT.decode(body)
        except (ValueError, RecursionError) as error:
            raise _unexpected(error) from error
    return _without_nul(raw) if b"\\u0000" in bytes(body) else raw


def _number(digits: str) -> float | str:
    """A number of JSON; the text of one that is too large, which only the field that has it fails to read."""
    value = float(digits)
    return value if isfinite(value) else digits


_LENIENT = msgspec.json.Decoder(float_hook=_number)


def _unexpected(error: Exception) -> MappingError:
    return MappingError(f"the record has an unexpected form: {error}")


def describe_faults(error: ValidationError) -> str:
    """What a model refuses, field by field, without the values, which may be personal or secret."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)


def _without_nul(value: Any) -> Any:
    """PostgreSQL's text can't hold U+0000. The raw record keeps it; the unified one does without."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
