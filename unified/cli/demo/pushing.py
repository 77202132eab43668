"""The demo's routes, run as Dagster runs: what each run has to do, and what it did; and the identities after them.

Not here: whom the routes are about (``outward``, ``books``).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unified.cli.demo import books, outward
from unified.cli.demo.progress import ask, of_runs, step
from unified.cli.demo.report import Outward
from unified.cli.demo.steps import DemoConnection, Finding
from unified.cli.processes.sandbox import Sandbox
from unified.store.routes.rows import Route

if TYPE_CHECKING:
    from dagster import DagsterInstance


class Pushing:
    """Runs a route, and holds what each run did against what it has to do."""

    def __init__(
        self, url: str, sandbox: Sandbox, instance: "DagsterInstance", between: Sequence[DemoConnection]
    ) -> None:
        """Of a route between two connections, which is not there yet."""
        self.done = Outward(between)
        self._url, self._sandbox, self._instance = url, sandbox, instance

    def preview(self, route: Route, **must: int) -> None:
        """See what the first run would do, and that nothing was written for that."""
        self._route = route
        before = self._writes()
        self._note("preview", ask(self._url, outward.preview, route), before, must)

    def push(self, what: str, **must: int) -> None:
        """Run it; what is not named has to be none."""
        from unified.cli.demo.runs import run_route  # noqa: PLC0415 - imports Dagster

        before = self._writes()
        run = run_route(self._instance, self._route)
        self.done.findings += of_runs([run])
        must = {"created": 0, "updated": 0, "refused": 0, "waiting": 0, **must}
        self._note(what, run.counts.get("customers", {}), before, must)

    def sync(self, *demos: DemoConnection) -> None:
        """Sync these, or both sides."""
        from unified.cli.demo.runs import run_sync  # noqa: PLC0415 - imports Dagster

        for demo in demos or self.done.between:
            self.done.findings += of_runs([run_sync(self._instance, demo.connection)])

    def resolve(self) -> None:
        """Resolve the workspace's identities."""
        from unified.cli.demo.runs import run_identities  # noqa: PLC0415 - imports Dagster

        self.done.findings += of_runs([run_identities(self._instance, self._route.workspace)])

    def _writes(self) -> dict[str, int]:
        return outward.writes(self._sandbox, self.done.between)

    def _note(self, what: str, did: Mapping[str, Any], before: dict[str, int], must: dict[str, int]) -> None:
        sent = {connector: count - before[connector] for connector, count in self._writes().items()}
        self.done.pushes[what] = did = {**did, **sent}
        found = {name: did.get(name) for name in must}
        self.done.findings.append(Finding(self._route.key, what, must, found))


def customers_alike(
    url: str, sandbox: Sandbox, instance: "DagsterInstance", demos: Sequence[DemoConnection]
) -> Outward:
    """Keep some customers alike in two systems, and resolve identities."""
    route = Pushing(url, sandbox, instance, demos)
    with step("demo-acme gets a route between Stripe and HubSpot, both ways; it is previewed and run"):
        route.preview(ask(url, outward.add_route, demos), created=3, updated=2, stripe=0, hubspot=0)
        route.push("first run", created=3, updated=2, stripe=1, hubspot=2)
    with step("A customer changes in Stripe, another one in HubSpot; both changes arrive on the other side"):
        outward.change_people(sandbox, demos)
        route.sync()
        route.push("a change on each side", updated=2, stripe=1, hubspot=1)
    with step("What the route wrote comes back with a sync, and is not sent again"):
        route.sync()
        route.push("only echoes", unchanged=2, stripe=0, hubspot=0)
        route.done.people = outward.find_people(sandbox, demos)
    with step("Customers of both systems become identities"):
        route.resolve()
        found, route.done.one_customer = ask(url, outward.find_identity, demos[0])
    route.done.findings += [*route.done.people, *found]
    return route.done


def contacts_onward(
    url: str, sandbox: Sandbox, instance: "DagsterInstance", demos: Mapping[str, DemoConnection]
) -> Outward:
    """Bring contacts from Xero to Salesforce, and show one identity in four systems."""
    xero, salesforce = demos["xero"], demos["salesforce"]
    route = Pushing(url, sandbox, instance, (xero, salesforce))
    with step("demo-acme gets a route from Xero to Salesforce; it is previewed and run"):
        route.preview(ask(url, books.add_route, demos), created=2, updated=0, xero=0, salesforce=0)
        route.push("first run", created=2, xero=0, salesforce=1)
    with step("A contact changes in Xero, and the change arrives in Salesforce"):
        ask(url, books.change_person, sandbox, demos)
        route.sync(xero)
        route.push("a change in Xero", updated=1, xero=0, salesforce=1)
    with step("Customers of five systems become identities"):
        route.sync(salesforce)
        route.push("nothing new", xero=0, salesforce=0)
        route.resolve()
        route.done.people = ask(url, books.find_people, demos)
        found, route.done.one_customer = ask(url, books.find_identity, demos)
    route.done.findings += [*route.done.people, *found]
    return route.done
