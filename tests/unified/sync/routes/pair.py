"""A workspace with a Stripe account and a HubSpot portal, and a route between them."""

from dataclasses import dataclass
from typing import Any

from tests.unified.sync.source import HubSpotSource, StripeSource
from unified.kit.factory import AdapterFactory
from unified.store.database import Database
from unified.store.routes import links, outbox
from unified.store.routes.links import Link
from unified.store.routes.outbox import Entry
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.store.routes.settings import RouteSettings
from unified.sync.routes.preview import Preview, preview_route
from unified.sync.routes.push import RouteResult
from unified.sync.routes.run import run_route


def person(name: str, **fields: object) -> dict[str, object]:
    """A Stripe customer of whom little is known."""
    return {
        "name": name,
        "email": f"{name.lower().replace(' ', '.')}@example.com",
        "phone": None,
        "address": None,
        "shipping": None,
        "description": None,
        "metadata": {},
        **fields,
    }


@dataclass
class Pair:
    """Both systems, and what to ask of a route between them."""

    stripe: StripeSource
    hubspot: HubSpotSource

    @property
    def db(self) -> Database:
        return self.stripe.db

    @property
    def factory(self) -> AdapterFactory:
        return self.stripe.factory

    @property
    def routes(self) -> Routes:
        return Routes(self.db)

    async def route(self, name: str = "crm", *, back: bool = False, **settings: Any) -> Route:
        """A route from Stripe to HubSpot, or ``back``."""
        ends = (self.stripe.connection, self.hubspot.connection)
        source, target = ends[::-1] if back else ends
        return await self.routes.add(name, source, target, RouteSettings(**settings))

    def wait(self) -> None:
        """Let a second pass at both: what happens at the same time can't be told apart there."""
        for source in (self.stripe, self.hubspot):
            source.sandbox.clock.advance(seconds=1)

    async def sync(self) -> None:
        """Pull what changed on both sides."""
        self.wait()
        await self.stripe.sync()
        await self.hubspot.sync()

    async def run(self, route: Route, **options: Any) -> RouteResult:
        self.wait()
        return await run_route(
            self.db, self.factory, await self.routes.get(route.workspace_id, route.id), **options
        )

    async def preview(self, route: Route) -> list[Preview]:
        return await preview_route(self.db, self.factory, route)

    async def links(self, route: Route) -> dict[str, Link]:
        async with self.db.workspace(route.workspace_id) as conn:
            rows = await (await conn.execute("SELECT source_id FROM pushed_records")).fetchall()
            return await links.read(conn, route, "source", [row[0] for row in rows])

    async def outbox(self, route: Route) -> dict[str, Entry]:
        found = {}
        async with self.db.workspace(route.workspace_id) as conn:
            for state in ("sending", "due", "refused", "review", "skipped"):
                found |= {one.record_id: one for one in await outbox.in_state(conn, route, state)}
        return found

    # What is there

    def contacts(self) -> dict[str, dict[str, Any]]:
        """Properties of all live contacts, by e-mail address, or id where there is none."""
        found = {}
        for record in self.hubspot.data.all("contacts"):
            properties = record["properties"]
            found[(properties.get("email") or record["id"]).lower()] = properties | {"id": record["id"]}
        return found

    def customers(self) -> dict[str, dict[str, Any]]:
        """Stripe's live customers by e-mail address, or id where there is none."""
        return {one["email"] or one["id"]: one for one in self.stripe.data.all_customers()}

    def writes(self) -> int:
        """Requests that changed something, at both systems, since they were counted last."""
        made = 0
        for source in (self.stripe, self.hubspot):
            for path, count in source.sandbox.stats.requests.items():
                method = path.partition(" ")[0]
                if method == "DELETE" or (method == "POST" and "search" not in path and "read" not in path):
                    made += count
            source.sandbox.stats.reset()
        return made
