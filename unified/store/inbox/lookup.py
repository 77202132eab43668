"""Which endpoint a delivery reaches: what the ingress asks for each of them, across workspaces and from memory.

Endpoints are kept by :mod:`unified.store.inbox.endpoints`, their secrets by :mod:`unified.store.secrets.credentials`.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from unified.kit.errors import ConfigurationError
from unified.kit.mapping.column_rules import Rules
from unified.kit.mapping.columns import Columns
from unified.kit.registry import get_adapter, get_verifier
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import ReceivedEvent, is_wanted
from unified.kit.webhooks.owners import Reader, belongs_to
from unified.kit.webhooks.signatures import Verifier
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.inbox.events import Received
from unified.store.inbox.strays import READERS, Stray
from unified.store.secrets.credentials.errors import CredentialNotFoundError
from unified.store.secrets.credentials.store import CredentialStore

# What was looked up is believed so long: an endpoint that is paused takes deliveries for that time yet, one that was
# looked for before it was made refuses them.
ENDPOINT_SECONDS = 5.0
# Secrets are decrypted so often, and the audit log has an entry for each time, not for each delivery. An expired one
# is good for that time yet; a new one is loaded with its endpoint.
SECRET_SECONDS = 60.0
# After an error, the next delivery asks the database again.
_ERROR_SECONDS = 1.0
# Paths remembered, those that lead nowhere too; the ones asked for longest ago are forgotten first.
MOST_REMEMBERED = 10_000


class UnusableEndpointError(StoreError):
    """An endpoint's deliveries can't be checked in this installation."""


@dataclass(frozen=True, slots=True)
class ActiveEndpoint:
    """What the ingress needs of an endpoint.

    Attributes:
        id: Row of ``webhook_configs``.
        workspace_id: The tenant.
        connection_id: Whose events are delivered here.
        connector: The system that delivers them.
        readers: The workspace's connections to that system, and whose accounts they read.
        verifier: Checks and reads deliveries.
        secrets: All that are good at present; none where none is stored.
        event_types: See :class:`unified.store.inbox.endpoints.Endpoint`.
        columns: What those of the connections leave out or hash that do.
    """

    id: UUID
    workspace_id: UUID
    connection_id: UUID
    connector: str
    readers: Sequence[Reader]
    verifier: Verifier
    secrets: Sequence[Secret] = field(repr=False)
    event_types: Sequence[str]
    columns: Mapping[UUID, Columns] = field(default_factory=dict)

    def wants(self, event_type: str) -> bool:
        """Whether events of this type are kept."""
        return is_wanted(event_type, self.event_types)

    def sorted_out(self, events: Sequence[ReceivedEvent]) -> tuple[list[Received], list[Stray]]:
        """Events of a delivery: for the inboxes of the connections that they belong to, or strays."""
        adapter = get_adapter(self.connector)
        rows: list[Received] = []
        strays: list[Stray] = []
        for event in events:
            owner = adapter.owner(event)
            found = belongs_to(owner, self.connection_id, self.readers)
            rows += [
                Received(self.workspace_id, connection_id, self._cut(connection_id, event))
                for connection_id in found
            ]
            if not found:
                strays.append(Stray(self.workspace_id, self.connection_id, owner))
        return rows, strays

    def _cut(self, connection_id: UUID, event: ReceivedEvent) -> ReceivedEvent:
        """An event as a connection stores it. One of which columns can't be left out is stored without its body."""
        columns = self.columns.get(connection_id)
        return event if columns is None else replace(event, body=columns.kept_event(event.body))


@dataclass(frozen=True, slots=True)
class _Target:
    """An endpoint as it is looked up; equal as long as nothing about it was changed."""

    id: UUID
    workspace_id: UUID
    connection_id: UUID
    connector: str
    readers: Sequence[Reader]
    verifier: str
    options: Mapping[str, str]
    event_types: Sequence[str]
    updated_at: datetime
    rules: Mapping[str, Rules]


@dataclass(frozen=True, slots=True)
class _Found:
    """An endpoint that was looked up, and until when its secrets are believed."""

    target: _Target
    endpoint: ActiveEndpoint
    secrets_until: float


@dataclass(slots=True)
class _LookUp:
    """A look-up, perhaps under way, and until when it is believed."""

    task: "asyncio.Task[_Found | None]"
    until: float

    def found(self) -> _Found | None:
        """What it has found so far."""
        is_usable = self.task.done() and not self.task.cancelled() and self.task.exception() is None
        return self.task.result() if is_usable else None


class EndpointLookup:
    """Finds endpoints by path, for the ingress."""

    def __init__(
        self,
        db: Database,
        credentials: CredentialStore,
        *,
        actor: str = "ingress",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look in ``db``; reveal secrets of ``credentials`` in the name of ``actor``; ``clock`` counts seconds."""
        self._db = db
        self._credentials = credentials
        self._actor = actor
        self._clock = clock
        self._remembered: OrderedDict[tuple[str, str], _LookUp] = OrderedDict()

    async def find(self, connector: str, path: str) -> ActiveEndpoint | None:
        """The active endpoint at a path; None where there is none.

        However many ask at once, the database is asked once.

        Args:
            connector: The connector's name, as in the URL.
            path: The end of the URL.

        Raises:
            StoreError: If that can't be said now, or its secrets can't be released.
        """
        key, now = (connector, path), self._clock()
        look_up = self._remembered.get(key)
        if look_up is None or look_up.until <= now:
            former = look_up.found() if look_up else None
            look_up = _LookUp(
                asyncio.create_task(self._load(connector, path, former)), now + ENDPOINT_SECONDS
            )
            self._remembered[key] = look_up
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(key)
        try:
            found = await asyncio.shield(
                look_up.task
            )  # a sender that hangs up must not end it for the others
        except StoreError:
            look_up.until = min(look_up.until, self._clock() + _ERROR_SECONDS)
            raise
        return found.endpoint if found else None

    async def _load(self, connector: str, path: str, former: _Found | None) -> _Found | None:
        target = await self._look_up(connector, path)
        if target is None:
            return None
        now = self._clock()
        if former and former.target == target and now < former.secrets_until:
            return former
        try:
            verifier = get_verifier(target.verifier, target.options)
        except ConfigurationError as error:
            raise UnusableEndpointError(f"webhook {target.id} can't be used: {error}") from None
        try:
            revealed = await self._credentials.reveal(
                target.workspace_id,
                target.connection_id,
                endpoint_id=target.id,
                actor=self._actor,
                purpose="webhook",
            )
        except CredentialNotFoundError:
            revealed = {}  # and so no delivery is signed
        adapter = get_adapter(target.connector)
        columns = {
            UUID(one): await self._credentials.columns(target.workspace_id, adapter, rules)
            for one, rules in target.rules.items()
        }
        ids = target.id, target.workspace_id, target.connection_id
        of = target.connector, target.readers
        endpoint = ActiveEndpoint(*ids, *of, verifier, tuple(revealed.values()), target.event_types, columns)
        return _Found(target, endpoint, now + SECRET_SECONDS)

    async def _look_up(self, connector: str, path: str) -> _Target | None:
        async with self._db.ingress() as conn:
            result = await conn.execute(
                f"""
                SELECT w.id, w.workspace_id, w.connector_config_id, c.connector, (
                    SELECT jsonb_agg(jsonb_build_array(o.connection_id, o.account, o.livemode) ORDER BY o.connection_id)
                    FROM ({READERS} WHERE r.workspace_id = c.workspace_id AND r.connector = c.connector) AS o
                ), w.verifier, w.options, w.event_types, w.updated_at, (
                    SELECT coalesce(jsonb_object_agg(o.id, o.columns), '{{}}') FROM connector_configs AS o
                    WHERE o.workspace_id = c.workspace_id AND o.connector = c.connector AND o.columns <> '{{}}'
                )
                FROM webhook_configs AS w
                JOIN connector_configs AS c ON (c.workspace_id, c.id) = (w.workspace_id, w.connector_config_id)
                WHERE w.endpoint_path = %(path)s AND w.is_active AND c.connector = %(connector)s
                """.encode(),  # noqa: S608 - from above
                {"path": path, "connector": connector},
            )
            row = await result.fetchone()
        if row is None:
            return None
        readers = tuple(Reader(UUID(one), *rest) for one, *rest in row[4])
        return _Target(row[0], row[1], row[2], row[3], readers, *row[5:])
