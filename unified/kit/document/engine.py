"""Runs a connector document: an adapter made of the kit's pieces, and nothing of its own.

Each stream is a list, or one for each partition, that is mapped by rules; a document gets resumable refreshes, limits,
retries, the guard of addresses, checks and assets as every adapter does. What a document may say is `model`'s.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, ClassVar

import httpx
import msgspec

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import UNKNOWN_ACCOUNT, Account, Capability, Stream
from unified.kit.decoding import decode_exactly
from unified.kit.document.answers import refusals_of
from unified.kit.document.auth import ChoiceAuth, KeyAuth, NoAuth, SessionAuth, credentials_of
from unified.kit.document.filling import Filler
from unified.kit.document.lists.changing import Change, change_of
from unified.kit.document.lists.reading import DocumentSource
from unified.kit.document.model import Document, DocumentModel, is_among
from unified.kit.document.session import SessionAuthentication, prefixed
from unified.kit.document.settings import DocumentConfig, config_model
from unified.kit.document.webhooks import leading_of, subjects_of, verifiers_of
from unified.kit.document.writing import DocumentWriter, from_unified
from unified.kit.errors import ForbiddenHostError
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import Limit
from unified.kit.mapping.compiled import StreamMapping
from unified.kit.reading.paging import within
from unified.kit.streams import Changes, Origin
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject, meaning
from unified.schema.base import UnifiedBase

_log = logging.getLogger(__name__)

_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_VERSION_DIGITS = 12
_DATING = ("updated_at", "occurred_at")


class DocumentAdapter(BaseAdapter[DocumentConfig]):
    """What a connector document makes; each is a subclass with the document in it.

    A system that needs a little Python besides is a subclass in a package: ``class Desk(DocumentAdapter,
    document=read(…))``. Its own ``streams`` come after the document's.

    Attributes:
        document: The document.
        mappings: Of each stream of the document, compiled.
    """

    document: ClassVar[Document]
    mappings: ClassVar[Mapping[str, StreamMapping]]

    def __init_subclass__(cls, *, document: Document | None = None, **keywords: Any) -> None:
        """Declare what a document says, where the class does not say it otherwise.

        Args:
            document: The document; None for a class below one that has it.
            keywords: Passed on.
        """
        super().__init_subclass__(**keywords)
        further = cls.__dict__.get("streams", ())
        for name, value in ({} if document is None else _declared(document)).items():
            if name == "streams":
                cls.streams = (*value, *further)
            elif name not in cls.__dict__:
                setattr(cls, name, value)

    @classmethod
    def made_by(cls) -> Callable[[], type["DocumentAdapter"]] | None:
        """The document, where all of the class is made of it: another process may not know what is installed."""
        return partial(adapter_class, cls.document) if cls is adapter_class(cls.document) else None

    @classmethod
    def identifying_fields(cls, stream: str) -> frozenset[str]:
        """What the document's rules read the id, the time of the last change and the tombstone from."""
        said = cls.document.said.streams.get(stream)
        if said is None:
            return super().identifying_fields(stream)
        gone, changes = said.mapping.tombstone, said.changes
        paths = [*said.mapping.id.paths, *(filter(None, (gone.path, gone.at)) if gone else ())]
        paths += [rule.source for rule in said.mapping.rules if rule.target in _DATING and rule.source]
        paths += [".".join(changes.changed_at)] if changes and changes.changed_at else []
        return frozenset(path.removeprefix("$.") for path in paths)

    def limits(self) -> Sequence[Limit]:
        """What the document says; one alone where the connection has a limit of its own."""
        said = self.document.said
        named = () if self.config.requests_per_second is not None else said.limits.items()
        return (
            Limit(said.requests_per_second),
            *(Limit(one.requests_per_minute / 60, name, burst=one.burst) for name, one in named),
        )

    def headers(self) -> Mapping[str, str]:
        """What every request carries, by the document."""
        return self.filler().headers(self.document.said.headers)

    def authentication(self) -> httpx.Auth:
        """As the document says: nothing where the API is open, the kit's own way where that is one.

        Raises:
            ConfigurationError: If the credential can't be sent.
        """
        said = self.document.said.auth
        said = said.key if isinstance(said, ChoiceAuth) and self.tokens is None else said
        if isinstance(said, NoAuth):
            return httpx.Auth()
        if isinstance(said, SessionAuth):
            return SessionAuthentication(
                said, self.config.base_url, self.credentials, self.config.said(), self.label
            )
        if isinstance(said, KeyAuth) and said.place == "header" and said.prefix is not None:
            return prefixed(said, self.credentials, self.label)
        return super().authentication()

    def open_http(self) -> HttpClient:
        """The client, for the document's hosts alone.

        Raises:
            ForbiddenHostError: If the base URL, which settings may fill in, leads to another host.
        """
        http = super().open_http()
        hosts = self.document.said.hosts
        if not self.config.allow_private_hosts and not is_among(self.config.base_url, hosts):
            raise ForbiddenHostError(
                f"{self.label}: base_url leads to {httpx.URL(self.config.base_url).host}, which is not one of the "
                f"document's hosts ({', '.join(hosts)}); correct it"
            )
        return http

    async def test(self) -> Account:
        """Ask whose account it is, and for a page of each stream that is one list."""
        account = await self.account()
        await self.may_read(self.look)
        return account

    async def look(self, stream: Stream) -> None:
        """Ask for a page of a stream, to see whether the credential may read it."""
        await DocumentSource(self, stream).look()

    def may_ask(self, url: httpx.URL) -> bool:
        """Whether a file at a URL that an answer names may be asked for: on one of the document's hosts.

        A stand-in at a private address has them on its own host.
        """
        is_beside = self.config.allow_private_hosts and url.host == httpx.URL(self.config.base_url).host
        return is_beside or is_among(str(url), self.document.said.hosts)

    async def account(self) -> Account:
        """What the document's probe answers; without one nobody is asked."""
        probe = self.document.said.test
        if probe is None:
            return Account(UNKNOWN_ACCOUNT)
        filler = self.filler()
        sent = {} if probe.body is None else filler.body(probe.body).sent()
        answer = await self.http.request(probe.method, filler.path(probe.path), _ANYTHING, **sent)
        return Account(_text(answer, probe.id) or UNKNOWN_ACCOUNT, _text(answer, probe.name))

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Origin) -> UnifiedBase:
        """Map a record by the document's rules, or as its stream in Python says."""
        self.stream(stream)
        rules = self.mappings.get(stream)
        return super().to_unified(stream, raw, origin) if rules is None else rules.to_unified(raw, origin)

    def subjects(self, event: ReceivedEvent) -> Iterable[Subject]:
        """The records that an event is about, by the document."""
        said = self.document.said.webhooks
        if said is None:
            return super().subjects(event)
        return subjects_of(said, event, self.mappings, self._change_of)

    def _change_of(self, stream: str) -> Change | None:
        said = self.document.said.streams[stream]
        return change_of(said.filter, said.transformations, {"settings": self.config.said(), "partition": {}})

    def changes(self, events: Sequence[ReceivedEvent]) -> Changes:
        """What events mean. They are records of a stream where the document says so, and of no log by themselves."""
        if self.document.said.webhooks is None:
            return super().changes(events)
        odd: list[str] = []

        def subjects(event: ReceivedEvent) -> list[Subject]:
            try:
                return list(self.subjects(event))
            except msgspec.MsgspecError:
                odd.append(event.event_type)
                return []

        changes = meaning(events, subjects, log=None)
        if odd:
            _log.warning(
                "%s: %d event(s) lack what the document says of a record (webhooks.events), the first of type %r, and "
                "are about none",
                self.label, len(odd), odd[0][:100],
            )  # fmt: skip
        return changes

    @staticmethod
    def decode(body: bytes | memoryview) -> Any:
        """A raw record with each number as it was sent: rules take amounts by their digits."""
        return decode_exactly(body)

    def filler(self, partition: Mapping[str, str] = MappingProxyType({})) -> Filler:
        """What fills the document's texts with the connection's settings, and a partition's values."""
        return Filler(self.config.said(), partition, self.label, self.clock())


@lru_cache(maxsize=256)
def adapter_class(document: Document) -> type[DocumentAdapter]:
    """The adapter that a document makes; the same for the same document."""
    said = document.said
    members = {"__doc__": f"{said.title}, as a connector document says it.", "__module__": __name__}
    return type(f"{said.id.title()}Document", (DocumentAdapter,), members, document=document)


def _declared(document: Document) -> dict[str, Any]:
    """What an adapter declares, by the document."""
    said = document.said
    mappings = {name: StreamMapping(one.table.model, one.mapping) for name, one in said.streams.items()}
    credentials = credentials_of(said.auth)
    return {
        "name": said.id,
        "display_name": said.title,
        "capabilities": frozenset(_capabilities(said)),
        "config_model": config_model(said),
        "credential_kind": credentials.kind,
        "credential_fields": credentials.fields,
        "api_key_place": credentials.place,
        "api_key_header": credentials.name,
        "api_key_parameter": credentials.name,
        "oauth": credentials.oauth,
        "refusals": refusals_of(said.refusals),
        "streams": tuple(_stream(said, name, mappings[name]) for name in said.streams),
        "verifiers": verifiers_of(said.webhooks),
        "leading": leading_of(said.webhooks),
        "verifier_options": {} if said.webhooks is None else said.webhooks.options,
        "document": document,
        "mappings": mappings,
    }


def _capabilities(said: DocumentModel) -> Iterator[Capability]:
    written = [one.write for one in said.streams.values() if one.write is not None]
    yield Capability.READ
    if said.webhooks is not None:
        yield Capability.WEBHOOK
    if written:
        yield Capability.WRITE
    if any(one.delete is not None for one in written):
        yield Capability.DELETE


def _stream(document: DocumentModel, name: str, mapping: StreamMapping) -> Stream:
    said = document.streams[name]
    return Stream(
        name,
        said.table,
        is_usual=said.usual,
        # Not counted up, but another one whenever a rule is.
        mapping_version=int(mapping.digest[:_VERSION_DIGITS], 16),
        reading=document.reading(name),
        customers=said.customers,
        source=DocumentSource,
        writable_fields=frozenset() if said.write is None else frozenset(said.write.fields),
        writer=None if said.write is None else DocumentWriter,
        from_unified=None if said.write is None else from_unified(said.write),
    )


def _text(answer: msgspec.Raw, keys: Sequence[str]) -> str | None:
    """A text or number of an answer; None where it is not there."""
    try:
        found = within(answer, tuple(keys)) if keys else None
        return None if found is None else str(msgspec.json.decode(found, type=str | int))
    except msgspec.MsgspecError:
        return None
