"""The demo's way between books and customers: a route from Xero to Salesforce, and one identity in four systems.

Noor is a customer at Stripe, QuickBooks and Xero, and the route brings her to Salesforce; Tomás is known to Xero alone.
"""

from collections.abc import Mapping
from typing import Any

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
_NOOR, _TOMAS = ("Noor", "Haddad"), ("Tomás", "Ribeiro")
_PHONE = "+49 30 23125 140"


def _email(person: tuple[str, str]) -> str:
    return f"{person[0].lower().replace('á', 'a')}{_DOMAIN}"


def add_people(sandbox: Sandbox, demos: Mapping[str, DemoConnection]) -> None:
    """Have the stand-ins know them; each system has its own words for a name and an address."""
    first, last = _NOOR
    name, mail = " ".join(_NOOR), _email(_NOOR)
    nowhere: dict[str, Any] = {"address": None, "shipping": None, "phone": None}
    demos["stripe"].create(sandbox, name=name, email=mail, **nowhere)
    demos["quickbooks"].create(
        sandbox, DisplayName=name, GivenName=first, FamilyName=last, CompanyName=None, Active=True,
        PrimaryEmailAddr={"Address": mail}, PrimaryPhone=None, BillAddr=None,
    )  # fmt: skip
    for person in (_NOOR, _TOMAS):
        demos["xero"].create(
            sandbox, Name=" ".join(person), FirstName=person[0], LastName=person[1], EmailAddress=_email(person),
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
    (record_id,) = await _ids(db, xero, _email(_TOMAS))
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
    must = [[" ".join(_NOOR), None], [" ".join(_TOMAS), _PHONE]]
    return [Finding(connection.key, "whom the route brought, with a number that is new at Xero", must, found)]


async def find_identity(
    db: Database, demos: Mapping[str, DemoConnection]
) -> tuple[list[Finding], list[IdentityRecord]]:
    """See that Noor is one identity in four systems."""
    workspace, workspace_id = demos["xero"].connection.workspace, demos["xero"].connection.workspace_id
    async with db.workspace(workspace_id) as conn:
        found = await identities.listing(conn, search=_email(_NOOR))
        records = [record for one in found for record in await identities.records(conn, one.identity_id)]
    name = " ".join(_NOOR)
    systems = ["quickbooks", "salesforce", "stripe", "xero"]
    return [
        Finding(workspace, f"identities of {name}", 1, len(found)),
        Finding(workspace, f"records of {name}", systems, sorted(one.source_system for one in records)),
    ], records


async def _ids(db: Database, demo: DemoConnection, email: str) -> list[str]:
    async with db.workspace(demo.connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT source_id FROM unified_customers WHERE connection_id = %s AND email = %s AND deleted_at IS NULL",
            (demo.connection.id, email),
        )
        return [row[0] for row in await rows.fetchall()]
