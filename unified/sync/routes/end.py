"""One end of a route: a connection with its adapter, and how records look through the route's rules from there."""

from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from unified.kit.adapter import BaseAdapter
from unified.kit.decoding import describe_faults
from unified.kit.errors import AdapterError, MappingError
from unified.kit.mapping.compiled import FieldRules
from unified.kit.streams import Page, RawRecord
from unified.kit.writing.changes import Write, Written
from unified.schema.base import connection_namespace, unified_id
from unified.schema.conditions import CUSTOM, field_value
from unified.schema.customer import UnifiedCustomer
from unified.store.connections.rows import Connection
from unified.store.records import lookups
from unified.store.records.tables import StreamKey
from unified.store.routes.settings import RouteSettings
from unified.store.routes.sides import Side
from unified.sync.errors import wait_of
from unified.sync.routes.reconcile import View

_EVER = datetime.min.replace(tzinfo=UTC)


class RefusedValueError(Exception):
    """A record can't be what the route would make of it; the message names the fields, not the values."""


@dataclass(slots=True)
class RouteEnd:
    """One end of a route.

    Attributes:
        side: Which.
        connection: The connection there.
        stream: Its stream whose records travel, or are written.
        adapter: Its adapter, connected.
        names: What each rule's field is called here, by rule.
        rules: What the workspace maps beyond the adapter's mapping.
        is_written: Whether the route writes here.
        wait: Seconds for which the system wants to be left alone, where it said so to this run.
    """

    side: Side
    connection: Connection
    stream: str
    adapter: BaseAdapter[Any]
    names: Mapping[str, str]
    rules: FieldRules | None
    is_written: bool
    wait: float | None = field(default=None, init=False)
    key: StreamKey = field(init=False)

    def __post_init__(self) -> None:
        self.key = StreamKey.of(self.connection, self.adapter.stream(self.stream))

    # Reading

    async def stored(self, conn: Any, ids: Sequence[str]) -> dict[str, UnifiedCustomer]:
        """Records as our table has them, by id."""
        found = await lookups.by_ids(conn, self.key, ids)
        return {one: record for one, record in found.items() if isinstance(record, UnifiedCustomer)}

    async def fetch(self, ids: Collection[str]) -> dict[str, UnifiedCustomer | None]:
        """Records as the system has them now, by id; None for those that are gone.

        Raises:
            AdapterError: If it does not say.
        """
        found: dict[str, UnifiedCustomer | None] = {}
        if ids:
            with self._asked():
                async with aclosing(self.adapter.fetch(self.stream, sorted(ids))) as pages:
                    async for page in pages:
                        found |= {record.source_id: record for record in self._mapped(page)}
                        found |= dict.fromkeys(stone.source_id for stone in page.tombstones)
        return found

    async def find(self, name: str, values: Sequence[str]) -> list[UnifiedCustomer]:
        """Records that the system has now with one of some values in a field.

        Raises:
            AdapterError: If it does not say.
        """
        found: list[UnifiedCustomer] = []
        with self._asked():
            async with aclosing(self.adapter.find(self.stream, name, values)) as pages:
                async for page in pages:
                    found += self._mapped(page)
        return found

    async def write(self, writes: Sequence[Write]) -> AsyncGenerator[Written, None]:
        """Make changes there; see :meth:`unified.kit.adapter.BaseAdapter.write`."""
        with self._asked():
            async with aclosing(self.adapter.write(self.stream, writes)) as written:
                async for one in written:
                    yield one

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Keep for how long the system wants to be left alone."""
        try:
            yield
        except AdapterError as error:
            self.wait = wait_of(error) or self.wait
            raise

    def _mapped(self, page: Page) -> list[UnifiedCustomer]:
        """The records of a page; one that can't be mapped is left to the next pull, which sets it aside."""
        records = []
        for raw in page.records:
            record = self.read(raw, page.observed_at)
            if record is not None:
                records.append(record)
        return records

    def read(self, raw: RawRecord, observed_at: datetime) -> UnifiedCustomer | None:
        """Map one raw record; None if it can't be."""
        origin = self.adapter.origin(self.stream, observed_at, observed_at)
        try:
            record = self.adapter.map_record(self.stream, raw.body, origin, self.rules)
        except MappingError:
            return None
        return record if isinstance(record, UnifiedCustomer) else None

    # Looking through the rules

    def values(self, record: UnifiedCustomer) -> dict[str, Any]:
        """What a record has in the routed fields, by rule."""
        return {rule: field_value(record, name) for rule, name in self.names.items()}

    def view(self, record: UnifiedCustomer) -> View:
        """What is known of a record. Where its system does not say when it changed, what counts is when we saw it."""
        return View(self.values(record), record.updated_at or record.synced_at)

    def differs(self, rule: str, one: Any, another: Any) -> bool:
        """Whether this system keeps two values of a rule's field apart.

        What only looks different once it is stored here, as two address lines in a system that has one, is alike.
        """
        if one == another:
            return False
        if not self.is_written:
            return True
        try:
            bodies = [self.body(self.desired(None, {rule: value}), [rule]) for value in (one, another)]
        except RefusedValueError:
            return True
        return bodies[0] != bodies[1]

    # Writing

    def desired(self, record: UnifiedCustomer | None, values: Mapping[str, Any]) -> UnifiedCustomer:
        """A record as it shall be.

        Args:
            record: As it is; None for one that does not exist.
            values: What to change, by rule.

        Raises:
            RefusedValueError: If a value does not fit the field that a rule brings it to.
        """
        fields: dict[str, Any] = dict(record) if record else self._blank()
        custom = dict(fields.get("custom_fields", {}))
        for rule, value in values.items():
            name = self.names[rule]
            if name.startswith(CUSTOM):
                custom[name.removeprefix(CUSTOM)] = value
            else:
                fields[name] = value
        known = {name: value for name, value in fields.items() if value is not None}
        custom = {key: value for key, value in custom.items() if value is not None}
        try:
            return UnifiedCustomer.model_validate({**known, "custom_fields": custom})
        except ValidationError as error:
            raise RefusedValueError(
                f"{self.connection.key} can't hold it: {describe_faults(error)}"
            ) from None

    def body(self, record: UnifiedCustomer, rules: Collection[str] | None = None) -> dict[str, Any]:
        """What the system's API takes: of some rules' fields, emptied where the record has none; or all it knows.

        Raises:
            ConfigurationError: If it takes no such field.
        """
        fields = None if rules is None else tuple(self.names[rule] for rule in rules)
        return self.adapter.from_unified(self.stream, record, fields)

    def answered(self, raw: RawRecord | None, sent: Mapping[str, Any]) -> dict[str, Any]:
        """What the system now has in the fields that were sent, by rule; what was sent where it does not say."""
        record = raw and self.read(raw, self.adapter.clock())
        if not record:
            return dict(sent)
        return {rule: field_value(record, self.names[rule]) for rule in sent}

    def _blank(self) -> dict[str, Any]:
        namespace = connection_namespace(self.connection.workspace_id, self.connection.id, self.stream)
        return {
            "source_system": self.connection.connector,
            "source_id": "new",
            "unified_id": unified_id(namespace, "new"),
            "observed_at": _EVER,
            "synced_at": _EVER,
        }


def names_at(side: Side, settings: RouteSettings) -> dict[str, str]:
    """What each rule's field is called on a side. A rule is known by its field's name at the source."""
    return {rule.source: rule.source if side == "source" else rule.target for rule in settings.fields}
