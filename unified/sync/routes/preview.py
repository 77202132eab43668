"""What a route's run would push, without a run: for the command line, and aside for the HTTP server."""

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from unified.kit.factory import AdapterFactory
from unified.store.database import Database
from unified.store.routes.rows import Route
from unified.store.routes.sides import Side, other
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import KeyProvider
from unified.sync.access.aside import Aside
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.bracket import named
from unified.sync.errors import RouteError
from unified.sync.routes.plan import Plan
from unified.sync.routes.planner import Planner
from unified.sync.routes.push import work
from unified.sync.routes.run import opened

PREVIEW_BYTES = 8 * 2**20
"""What one answer may hold, decompressed: more than a page of records, and little enough to be read at once."""

_previews = Aside("preview", at_once=4)
_CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would push of one record.

    Attributes:
        side: Where the record is that travels.
        record_id: Its id there.
        name: What people know it by.
        operation: ``create``, ``update`` or ``delete``; ``link`` where it is only found; ``review`` and ``refused``
            where nothing would be sent.
        other_id: The record that would be changed, or was found.
        fields: By field: what is there and what would be.
        reason: Why, where it is not obvious.
    """

    side: Side
    record_id: str
    name: str | None
    operation: str
    other_id: str | None = None
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    reason: str | None = None


async def preview_route(
    db: Database, factory: AdapterFactory, route: Route, *, limit: int = 100
) -> list[Preview]:
    """Say what a run would push, record by record. Both systems may be read; nothing is sent and nothing stored.

    Args:
        db: Where the tables are.
        factory: Makes the two connections' adapters.
        route: Which route.
        limit: How many records with something to push at most.

    Raises:
        RouteError: If a connection can't be used, or the database fails.
    """
    found: list[Preview] = []
    reported = set()
    with named(route.key, RouteError):
        async with opened(db, factory, route, "preview") as ends:
            for end in ends.values():
                end.adapter.http.bound(PREVIEW_BYTES)
            planner = Planner(db, route, ends)
            async with aclosing(work(db, route, ends)) as chunks:
                async for side, ids, _ in chunks:
                    for one in (one for plan in await planner.plan(side, ids) for one in _shown(plan)):
                        # A two-way route that has not linked a pair yet meets it from either side.
                        here, there = (one.side, one.record_id), (other(one.side), one.other_id)
                        key = frozenset((here, there if one.operation == "link" else here))
                        if key not in reported:
                            reported.add(key)
                            found.append(one)
                    if len(found) >= limit:
                        break
    return found[:limit]


async def preview_aside(
    url: str, keys: KeyProvider, route: Route, *, actor: str, limit: int, seconds: float
) -> list[Preview]:
    """The same on an event loop and in a thread of its own, with a database of its own.

    Args:
        url: Where the tables are.
        keys: What the connections' secrets are encrypted with.
        route: Which route.
        actor: Who asks, for the audit log.
        limit: How many records with something to push at most.
        seconds: How long both systems may take.

    Raises:
        RouteError, StoreError: As :func:`preview_route` does.
        TimeoutError: If that takes longer.
    """

    async def preview() -> list[Preview]:
        async with Database.open(url, max_connections=_CONNECTIONS) as db:
            factory = AdapterFactory(AuthorizedConnections(db, CredentialStore(db, keys), actor=actor))
            return await preview_route(db, factory, route, limit=limit)

    return await _previews.run(preview, seconds=seconds)


def _shown(plan: Plan) -> list[Preview]:
    if plan.pushes:
        return [
            Preview(
                push.side, push.record_id, plan.name, str(push.operation), push.other_id, fields, plan.reason
            )
            for push, fields in zip(plan.pushes, plan.changes, strict=True)
        ]
    who = (plan.side, plan.record_id, plan.name)
    if plan.entry is not None and plan.entry.state in ("review", "refused"):
        return [Preview(*who, plan.entry.state, reason=plan.reason)]
    if plan.link is not None and plan.link.version == 0 and not plan.link.reason:
        return [Preview(*who, "link", plan.link.end(other(plan.side)).id, reason=f"same {plan.link.rule}")]
    return []
