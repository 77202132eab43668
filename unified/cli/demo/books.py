"""The demo's way between books and customers: a route from Xero to Salesforce, and one identity in four systems.

Noor is a customer at Stripe, QuickBooks and Xero, and the route brings her to Salesforce; Tomás is known to Xero alone.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from unified.cli.demo.steps import PEOPLE, DemoConnection, Finding
from unified.cli.processes.sandbox import Sandbox
from unified.cli.session import ACTOR
from unified.schema.conditions import Condition
from unified.store.database import Database
from unified.store.identities import golden as identities
from unified.store.identities.golden import IdentityRecord
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.store.routes.settings import RouteSettings

ROUTE = "books"
_DOMAIN = PEOPLE[1]
_PHONE = "+49 30 23125 140"


class _Person(NamedTuple):
    first: str
    last: str
    email: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


_NOOR = _Person("Noor", "Haddad", f"noor{_DOMAIN}")
_TOMAS = _Person("Tomás", "Ribeiro", f"tomas{_DOMAIN}")


def add_people(sandbox: Sandbox, demos: Mapping[str, DemoConnection]) -> None:
    """Have the stand-ins know them; each system has its own words for a name and an address."""
    nowhere: dict[str, Any] = {"address": None, "shipping": None, "phone": None}
    demos["stripe"].create(sandbox, name=_NOOR.name, email=_NOOR.email, **nowhere)
    demos["quickbooks"].create(
        sandbox, DisplayName=_NOOR.name, GivenName=_NOOR.first, FamilyName=_NOOR.last, CompanyName=None, Active=True,
        PrimaryEmailAddr={"Address": _NOOR.email}, PrimaryPhone=None, BillAddr=None,
    )  # fmt: skip
    for one in (_NOOR, _TOMAS):
        demos["xero"].create(
            sandbox, Name=one.name, FirstName=one.first, LastName=one.last, EmailAddress=one.email,
            ContactStatus="ACTIVE", Phones=[], Addresses=[],
        )  # fmt: skip


async def add_route(db: Database, demos: Mapping[str, DemoConnection]) -> Route:
    """Add the route; paused, as the other one is."""
    settings = RouteSettings(filter=(Condition("email", "ends_with", _DOMAIN),))
    routes, (source, target) = Routes(db, actor=ACTOR), (demos["xero"], demos["salesforce"])
    route = await routes.add(
        ROUTE, source.connection, target.connection, settings, to_stream=target.system.customers
    )
    return await routes.activate(route, is_active=False)


async def change_person(db: Database, sandbox: Sandbox, demos: Mapping[str, DemoConnection]) -> None:
    """Give Tomás a telephone number at Xero."""
    xero = demos["xero"]
    async with db.workspace(xero.connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT source_id FROM unified_customers WHERE connection_id = %s AND email = %s AND deleted_at IS NULL",
            (xero.connection.id, _TOMAS.email),
        )
        (record_id,) = await rows.fetchone() or ("",)
    xero.change(sandbox, record_id, **xero.system.phone(_PHONE))


async def find_people(db: Database, demos: Mapping[str, DemoConnection]) -> list[Finding]:
    """See that Salesforce has both once, with the number that is new at Xero."""
    connection = demos["salesforce"].connection
    async with db.workspace(connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT name, phone FROM unified_customers WHERE connection_id = %s AND email LIKE %s ORDER BY name",
            (connection.id, f"%{_DOMAIN}"),
        )
        found = [[*row] for row in await rows.fetchall()]
    must = [[_NOOR.name, None], [_TOMAS.name, _PHONE]]
    return [Finding(connection.key, "whom the route brought, with a number that is new at Xero", must, found)]


async def find_identity(
    db: Database, demos: Mapping[str, DemoConnection]
) -> tuple[list[Finding], list[IdentityRecord]]:
    """See that Noor is one identity in four systems."""
    workspace, workspace_id = demos["xero"].connection.workspace, demos["xero"].connection.workspace_id
    async with db.workspace(workspace_id) as conn:
        found = await identities.listing(conn, search=_NOOR.email)
        records = [record for one in found for record in await identities.records(conn, one.identity_id)]
    systems = ["quickbooks", "salesforce", "stripe", "xero"]
    return [
        Finding(workspace, f"identities of {_NOOR.name}", 1, len(found)),
        Finding(workspace, f"records of {_NOOR.name}", systems, sorted(one.source_system for one in records)),
    ], records
