"""The demo's way outward: people whom the two systems know, a route between these, and one identity."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unified.cli.demo.steps import PEOPLE, DemoConnection, Finding
from unified.cli.processes.local import local
from unified.cli.processes.sandbox import Sandbox
from unified.cli.session import ACTOR, Session
from unified.schema.conditions import Condition
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.identities import golden as identities
from unified.store.identities.golden import IdentityRecord
from unified.store.routes.routes import Routes
from unified.store.routes.rows import Route
from unified.store.routes.settings import RouteSettings
from unified.sync.routes.preview import preview_route

ROUTE = "people"
_DOMAIN = PEOPLE[0]
_NEW_PHONE = "+49 30 23125 199"
_NEW_LAST_NAME = "Lindqvist-Berg"


@dataclass(frozen=True, slots=True)
class _Person:
    """Somebody whom the route is about; `at` names the systems that know them before it runs."""

    first: str
    last: str
    phone: str
    at: tuple[str, ...]

    @property
    def email(self) -> str:
        return f"{self.first}{_DOMAIN}".lower()

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


# The numbers are among those that Germany keeps for films.
_MEI, _OLU, _RUTH, *_ = _PEOPLE = (
    _Person("Mei", "Tanaka", "+49 30 23125 101", ("stripe", "hubspot")),
    _Person("Olu", "Lindqvist", "+49 30 23125 102", ("stripe", "hubspot")),
    _Person("Ruth", "Castellanos", "+49 30 23125 103", ("stripe",)),
    _Person("Jonas", "Weber", "+49 30 23125 104", ("stripe",)),
    _Person("Ewa", "Nowak", "+49 30 23125 105", ("hubspot",)),
)


def add_people(sandbox: Sandbox, demos: Sequence[DemoConnection]) -> None:
    """Have the stand-ins know some people: both of them, or one.

    HubSpot has no telephone number of those that both know. One is at Stripe twice, the second time without an address.
    """
    for demo in demos:
        connector = demo.connection.connector
        for person in _PEOPLE:
            if connector in person.at:
                demo.create(sandbox, **_fields(connector, person, is_new=len(person.at) == 1))
        if connector == "stripe":
            demo.create(sandbox, **{**_fields(connector, _RUTH, is_new=True), "email": None})


def _fields(connector: str, person: _Person, *, is_new: bool) -> dict[str, Any]:
    """A record of a person in the system's words; what routes carry and this does not say is empty."""
    if connector == "stripe":
        known = {"name": person.name, "email": person.email, "phone": person.phone}
        return {**known, "address": None, "shipping": None}
    empty = dict.fromkeys(("address", "city", "state", "zip", "country", "company"))
    names = {"firstname": person.first, "lastname": person.last}
    return {
        "email": person.email,
        "phone": person.phone if is_new else None,
        **names,
        **empty,
        "company_ids": [],
    }


async def add_route(db: Database, demos: Sequence[DemoConnection]) -> Route:
    """Add the route.

    It is paused, so that nobody but the demo runs it: stand-ins that `unified dev` starts have forgotten what it wrote.
    """
    stripe, hubspot = (demo.connection for demo in demos)
    settings = RouteSettings(
        direction="two_way", filter=(Condition("email", "ends_with", _DOMAIN),), match_keys=("phone",)
    )
    routes = Routes(db, actor=ACTOR)
    return await routes.activate(await routes.add(ROUTE, stripe, hubspot, settings), is_active=False)


async def preview(db: Database, route: Route) -> dict[str, int]:
    """Count what a route would create and update."""
    found = await preview_route(db, Session(db, Registry(db)).adapters(), route)
    # A pair that no run has linked yet is looked at from both of its sides.
    writes = {(one.operation, one.other_id or one.record_id) for one in found}
    would = Counter(operation for operation, _ in writes)
    return {"created": would["create"], "updated": would["update"]}


def change_people(sandbox: Sandbox, demos: Sequence[DemoConnection]) -> None:
    """Give one a new number at Stripe, and another a new name at HubSpot."""
    for demo, person, fields in zip(
        demos, (_MEI, _OLU), ({"phone": _NEW_PHONE}, {"lastname": _NEW_LAST_NAME}), strict=True
    ):
        (record_id,) = (one.id for one in _held(sandbox, demo) if one.email == person.email)
        demo.change(sandbox, record_id, **fields)


def find_people(sandbox: Sandbox, demos: Sequence[DemoConnection]) -> list[Finding]:
    """See, at the stand-ins, that what was changed at one is at the other, and that both have everybody once."""
    stripe, hubspot = (_held(sandbox, demo) for demo in demos)
    at_stripe, at_hubspot = (demo.connection.key for demo in demos)
    everybody = ", ".join(sorted(person.first for person in _PEOPLE))
    phones = [one.phone for one in hubspot if one.email == _MEI.email]
    names = [one.name for one in stripe if one.email == _OLU.email]
    return [
        Finding(at_hubspot, f"phone of {_MEI.name}, new in Stripe", _NEW_PHONE, ", ".join(map(str, phones))),
        Finding(
            at_stripe,
            f"name of {_OLU.name}, new in HubSpot",
            f"{_OLU.first} {_NEW_LAST_NAME}",
            ", ".join(names),
        ),
        *(
            Finding(key, "whom the route is about", everybody, ", ".join(sorted(one.first for one in held)))
            for key, held in ((at_stripe, stripe), (at_hubspot, hubspot))
        ),
    ]


def writes(sandbox: Sandbox, demos: Sequence[DemoConnection]) -> dict[str, int]:
    """How many requests that write each connection's stand-in has had, by connector."""
    return {
        connector: sum(
            count
            for label, count in sandbox.requests(connector).items()
            if not label.startswith("GET ") and not label.endswith(("/search", "/batch/read"))
        )
        for connector in (demo.connection.connector for demo in demos)
    }


async def find_identity(db: Database, demo: DemoConnection) -> tuple[list[Finding], list[IdentityRecord]]:
    """See that the one who is at Stripe twice, and at HubSpot by the route, is one identity."""
    async with db.workspace(demo.connection.workspace_id) as conn:
        found = await identities.listing(conn, search=_RUTH.email)
        records = [record for one in found for record in await identities.records(conn, one.identity_id)]
    workspace = demo.connection.workspace
    return [
        Finding(workspace, f"identities of {_RUTH.name}", 1, len(found)),
        Finding(
            workspace,
            "her records",
            ["hubspot", "stripe", "stripe"],
            sorted(record.source_system for record in records),
        ),
        Finding(
            workspace,
            "why they are one",
            {"route": 1.0, "phone_and_name": 0.97},
            {record.rule: round(record.confidence, 2) for record in records if record.rule},
        ),
    ], records


@dataclass(frozen=True, slots=True)
class _Held:
    """What a stand-in says of one of the people."""

    id: str
    email: str
    name: str
    phone: str | None

    @property
    def first(self) -> str:
        return self.name.partition(" ")[0]


def _held(sandbox: Sandbox, demo: DemoConnection) -> list[_Held]:
    """The people as a stand-in itself answers, over the provider's API."""
    url, headers = f"{sandbox.url}/{demo.connection.connector}", {"Authorization": f"Bearer {demo.key}"}
    if demo.connection.connector == "stripe":
        # The newest come first, and nobody but the demo makes any.
        answer = local().get(f"{url}/v1/customers", params={"limit": 100}, headers=headers, timeout=60)
        return [
            _Held(one["id"], one["email"], one["name"], one["phone"])
            for one in answer.raise_for_status().json()["data"]
            if (one["email"] or "").endswith(_DOMAIN)
        ]
    emails = [person.email for person in _PEOPLE]
    wanted = {"propertyName": "email", "operator": "IN", "values": emails}
    order = {
        "filterGroups": [{"filters": [wanted]}],
        "properties": ["email", "firstname", "lastname", "phone"],
        "limit": 100,
    }
    answer = local().post(
        f"{url}/crm/objects/2026-09/contacts/search", json=order, headers=headers, timeout=60
    )
    return [
        _Held(one["id"], known["email"], f"{known['firstname']} {known['lastname']}", known["phone"])
        for one in answer.raise_for_status().json()["results"]
        for known in (one["properties"],)
    ]
