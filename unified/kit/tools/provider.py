"""Ready-made calls of one provider's tools, and its answers as unified records, by the adapter's own mapping.

Each adapter that has such tools says which they are, and how its fields and filters are called there.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import msgspec

from unified.kit.decoding import FAULTS, decode_record, refused
from unified.kit.errors import AdapterError, MappingError
from unified.kit.streams import Origin
from unified.kit.tools.offered import OfferedTools, ToolCall, UnfitToolError, attribute
from unified.schema.base import UnifiedBase, connection_namespace
from unified.schema.conditions import Condition
from unified.schema.customer import UnifiedCustomer

_NOBODY = UUID(int=0)
_LONGEST_REFUSAL = 300
# What holds the records of an answer, and of HubSpot's and Stripe's alike.
_LISTS = ("results", "data")


class ToolAnswerError(AdapterError):
    """A tool refused, or its answer is not one of records."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool answered.

    Attributes:
        records: Unified records.
        rejects: What could not be mapped: its id, where it has one, and why.
        next: Where the page after this one begins; None on the last one.
    """

    records: tuple[UnifiedBase, ...]
    rejects: tuple[tuple[str | None, str], ...] = ()
    next: str | None = None


class ProviderTools(ABC):
    """Makes calls of a provider's tools, and reads what they answer. It sends nothing.

    Attributes:
        system: The connector's name.
        mappings: By name of a stream, the adapter's mapping of its raw records.
    """

    system: ClassVar[str]
    mappings: ClassVar[Mapping[str, Callable[[dict[str, Any], Origin], UnifiedBase]]]

    def __init__(
        self, listed: Iterable[Any], *, workspace_id: UUID = _NOBODY, connection_id: UUID = _NOBODY
    ) -> None:
        """Make calls of a server's tools.

        Args:
            listed: The tools of its answer to ``tools/list``.
            workspace_id: The workspace that has a connection to the same account, where there is one.
            connection_id: That connection; records then have the same ``unified_id`` as its syncs give them.
        """
        self.offered = OfferedTools(listed)
        self._place = (workspace_id, connection_id)

    @abstractmethod
    def page(self, stream: str, *, limit: int = 50, after: str | None = None) -> ToolCall:
        """A page of a stream; ``after`` is the former answer's ``next``. Raises UnfitToolError."""

    @abstractmethod
    def search(
        self, stream: str, conditions: Sequence[Condition], *, limit: int = 50, after: str | None = None
    ) -> ToolCall:
        """Records that meet all conditions, which are on unified fields.

        Raises:
            UnfitToolError: If the provider can't search by one of them.
        """

    @abstractmethod
    def create(self, customers: Sequence[UnifiedCustomer]) -> Sequence[ToolCall]:
        """Calls that create customers, as few as there may be."""

    @abstractmethod
    def update(
        self, customers: Sequence[UnifiedCustomer], fields: Collection[str] | None = None
    ) -> Sequence[ToolCall]:
        """Calls that update customers, by their ``source_id``: only these fields, or all that are set.

        A provider may answer with what was written alone: :meth:`read` has the whole record.
        """

    @abstractmethod
    def read(self, stream: str, ids: Sequence[str]) -> Sequence[ToolCall]:
        """Calls that read records by their ids."""

    def answer(self, stream: str, result: Any, *, at: datetime) -> Answer:
        """What the result of a call holds.

        Args:
            stream: Of the call.
            result: The SDK's result of ``tools/call``, or the JSON object.
            at: When it was asked for.

        Raises:
            ToolAnswerError: If the tool refused, or its answer holds no records.
        """
        document = _document(result)
        raws = _records(document)
        workspace_id, connection_id = self._place
        namespace = connection_namespace(workspace_id, connection_id, stream)
        origin = Origin(self.system, namespace, at, at)
        to_unified = self.mapping(stream)
        records, rejects = [], []
        for raw in raws:
            # One odd record costs no other.
            try:
                records.append(to_unified(decode_record(raw), origin))
            except (MappingError, *FAULTS) as error:
                rejects.append((_id(raw), str(refused(error))))
        return Answer(tuple(records), tuple(rejects), self.following(document, raws))

    def mapping(self, stream: str) -> Callable[[dict[str, Any], Origin], UnifiedBase]:
        """The mapping of a stream; raises UnfitToolError where these tools have no such stream."""
        if stream not in self.mappings:
            raise UnfitToolError(
                f"{self.system}'s tools have no {stream}; they have {', '.join(self.mappings)}"
            )
        return self.mappings[stream]

    @abstractmethod
    def following(self, document: dict[str, msgspec.Raw], raws: Sequence[msgspec.Raw]) -> str | None:
        """Where the page after this one begins, as :meth:`page` takes it."""


def last_id(raws: Sequence[msgspec.Raw]) -> str | None:
    """The id of the last record of a page."""
    return _id(raws[-1]) if raws else None


def _document(result: Any) -> dict[str, msgspec.Raw]:
    """The JSON object of a result: structured, or the text that is one. A list counts as its ``results``."""
    texts = [text for one in attribute(result, "content") or () if (text := attribute(one, "text"))]
    if attribute(result, "isError", "is_error"):
        said = " ".join(" ".join(texts).split())[:_LONGEST_REFUSAL]
        raise ToolAnswerError(f"the provider's tool refused: {said or 'without a reason'}")
    # The text first: it has the provider's own digits, where structured content went through floats.
    structured = attribute(result, "structuredContent", "structured_content")
    for text in [*texts, *([msgspec.json.encode(structured)] if structured is not None else [])]:
        for kind in (dict[str, msgspec.Raw], list[msgspec.Raw]):
            try:
                found = msgspec.json.decode(text, type=kind)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                continue
            return found if isinstance(found, dict) else {_LISTS[0]: msgspec.Raw(msgspec.json.encode(found))}
    raise ToolAnswerError("the provider's tool answered in words, not with records")


def _records(document: dict[str, msgspec.Raw]) -> list[msgspec.Raw]:
    for name in _LISTS:
        if name in document:
            try:
                return msgspec.json.decode(document[name], type=list[msgspec.Raw])
            except msgspec.DecodeError:
                break
    if "id" in document:
        return [msgspec.Raw(msgspec.json.encode(document))]
    raise ToolAnswerError("the provider's tool answered with something else than records")


class _Identified(msgspec.Struct):
    id: str | int | None = None


def _id(raw: msgspec.Raw) -> str | None:
    try:
        found = msgspec.json.decode(raw, type=_Identified).id
    except msgspec.DecodeError:
        return None
    return None if found is None else str(found)
