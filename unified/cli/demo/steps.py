"""The demo's steps on the database: its connections, and the questions that show whether all is right.

Each question is asked as the application's role, inside one workspace, and answered by a :class:`Finding`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from unified.cli.demo.systems import SYSTEMS, System, shown
from unified.cli.processes.sandbox import Sandbox
from unified.cli.session import ACTOR
from unified.kit.declarations import CredentialKind
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.schema.money import exponent
from unified.store import removal
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records.counts import quality
from unified.store.records.tables import StreamKey
from unified.store.secrets.authorizations import Authorizations, TokenPair
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.providers import load_provider
from unified.store.workspaces import workspaces

DEMO_PREFIX = "demo-"
"""Begins the name of each workspace that belongs to the demo; it removes and makes these as it likes."""
PEOPLE = ("@aurora.example", "@boreal.example")
"""Ends the addresses of the people whom the demo's two routes are about."""

_NEW_PHONE = "+1 555 010 0199"


@dataclass(frozen=True, slots=True)
class DemoConnection:
    """A connection of the demo, and the key of the sandbox account that it leads to."""

    connection: Connection
    key: str

    @property
    def system(self) -> System:
        """What the demo knows of its system."""
        return SYSTEMS[self.connection.connector]

    def create(self, sandbox: Sandbox, **fields: Any) -> None:
        """Make a customer at the stand-in; the fields override the generated ones."""
        sandbox.change(self.connection.connector, self.key, *self.system.create, **fields)

    def change(self, sandbox: Sandbox, record_id: str, **fields: Any) -> None:
        """Change a customer at the stand-in."""
        sandbox.change(self.connection.connector, self.key, *self.system.update, record_id, **fields)


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer.

    Attributes:
        about: Which connection, or what was asked.
        measure: What was counted.
        expected: What it has to be.
        found: What it is.
    """

    about: str
    measure: str
    expected: object
    found: object

    @property
    def holds(self) -> bool:
        """Whether it is as it has to be."""
        return self.expected == self.found

    def __str__(self) -> str:
        """What differs, for people."""
        match self.expected, self.found:
            case (dict() as must, dict() as found):
                names = sorted(name for name in must.keys() | found if must.get(name) != found.get(name))
                what = "; ".join(f"{name} must be {must.get(name)}, is {found.get(name)}" for name in names)
            case (set() as must, set() as found):
                what = f"without {', '.join(sorted(must - found))}"
            case must, found:
                what = f"must be {must}, is {found}"
        return f"{self.about}: {self.measure}: {what}"


async def make_connections(db: Database, base_url: str, *, everything: bool = False) -> list[DemoConnection]:
    """Remove what an earlier demo left, and make its workspaces and connections anew, with encrypted keys.

    Args:
        db: Where.
        base_url: The stand-ins.
        everything: Whether demo-acme is connected with all five systems, and not with the first two alone.
    """
    registry, credentials = Registry(db), CredentialStore(db, load_provider())
    for workspace in await workspaces.listed(db):
        if workspace.slug.startswith(DEMO_PREFIX):
            await removal.delete_workspace(db, workspace.id)
    made = []
    for slug in (f"{DEMO_PREFIX}acme", f"{DEMO_PREFIX}globex"):
        owner = (await workspaces.create(db, slug)).id
        for connector, system in shown(everything=everything).items():
            if (key := system.keys.get(slug)) is None:
                continue
            place = {"base_url": f"{base_url}/{connector}", "allow_private_hosts": True}
            connection = await registry.add_connection(
                owner, connector, connector, {**place, **system.settings(key)}, streams=system.streams
            )
            await _authorize(db, credentials, connection, Secret(key))
            made.append(DemoConnection(connection, key))
    return made


async def _authorize(db: Database, credentials: CredentialStore, connection: Connection, key: Secret) -> None:
    """Store a key as the system's adapter looks for it: as a key, or as the access token of a grant."""
    adapter = get_adapter(connection.connector)
    if adapter.credential_kind is CredentialKind.OAUTH_TOKEN:
        authorizations = Authorizations(db, credentials, actor=ACTOR)
        await authorizations.authorize(
            connection.ref, "authorization_code", TokenPair(key), client={}, account_id=None
        )
        return
    secrets = {adapter.credential_fields[0].name: key}
    await credentials.put(
        connection.workspace_id, connection.id, adapter.credential_kind, secrets, actor=ACTOR
    )


async def compare(db: Database, sandbox: Sandbox, demo: DemoConnection) -> list[Finding]:
    """Hold what is stored against the source's own counts, and its sums of money currency by currency."""
    connection, connector, system = demo.connection, demo.connection.connector, demo.system
    oracle = sandbox.oracle(connector, demo.key)
    async with db.workspace(connection.workspace_id) as conn:
        counts = {
            stream.name: await quality.live_records(conn, StreamKey.of(connection, stream))
            for stream in get_adapter(connector).chosen(connection.streams)
        }
        lines = await conn.execute(
            "SELECT count(*) FROM unified_invoice_lines WHERE connection_id = %s AND deleted_at IS NULL",
            (connection.id,),
        )
        counts["invoice_lines"] = (await lines.fetchone() or (0,))[0]
        rows = await conn.execute(
            """
            SELECT currency, coalesce(sum(total), 0) AS total, coalesce(sum(tax), 0) AS tax,
                coalesce(sum(subtotal), 0) AS subtotal, coalesce(sum(amount_due), 0) AS amount_due,
                coalesce(sum(amount_paid), 0) AS amount_paid,
                coalesce(sum(amount_remaining), 0) AS amount_remaining
            FROM unified_invoices WHERE connection_id = %s AND deleted_at IS NULL GROUP BY currency
            """,
            (connection.id,),
        )
        columns = [column.name for column in rows.description or ()]
        stored = [dict(zip(columns, row, strict=True)) for row in await rows.fetchall()]
    expected = {
        f"{code.upper()} {ours}": _amount(connector, code.upper(), amounts[theirs])
        for code, amounts in oracle["totals"].items()
        for ours, theirs in system.sums.items()
    }
    found = {f"{row['currency']} {ours}": row[ours] for row in stored for ours in system.sums}
    return [
        *(
            Finding(
                connection.key,
                what,
                sum(oracle["counts"][kind] for kind in kinds),
                sum(counts[stream] for stream in streams),
            )
            for what, (streams, kinds) in system.counts.items()
        ),
        Finding(connection.key, "money", expected, found),
    ]


async def invoiced(db: Database, workspace_id: UUID) -> list[tuple[str, str, int, Decimal]]:
    """System, currency, number and total of all invoices of a workspace: one query over one table."""
    async with db.workspace(workspace_id) as conn:
        rows = await conn.execute(
            """
            SELECT source_system, currency, count(*), sum(total) FROM unified_invoices
            WHERE deleted_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2
            """
        )
        return list(await rows.fetchall())


async def change_source(db: Database, sandbox: Sandbox, demo: DemoConnection) -> tuple[str, str]:
    """Change one customer and delete another at the source, the oldest two: the newest are those of the routes.

    Returns:
        The source ids of the two.
    """
    connection, system = demo.connection, demo.system
    async with db.workspace(connection.workspace_id) as conn:
        rows = await conn.execute(
            """
            SELECT source_id FROM unified_customers
            WHERE connection_id = %s AND stream = %s AND deleted_at IS NULL
                AND NOT coalesce(email LIKE ANY (%s), false)
            ORDER BY created_at, source_id LIMIT 2
            """,
            (connection.id, system.customers, [f"%{domain}" for domain in PEOPLE]),
        )
        changed, deleted = (row[0] for row in await rows.fetchall())
    demo.change(sandbox, changed, **system.phone(_NEW_PHONE))
    sandbox.change(connection.connector, demo.key, *system.delete, deleted)
    return changed, deleted


async def find_changes(db: Database, demo: DemoConnection, changed: str, deleted: str) -> list[Finding]:
    """See that the two customers of :func:`change_source` are here as they are there."""
    connection = demo.connection
    async with db.workspace(connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT source_id, phone, deleted_at IS NOT NULL FROM unified_customers WHERE connection_id = %s",
            (connection.id,),
        )
        stored = {source_id: (phone, is_deleted) for source_id, phone, is_deleted in await rows.fetchall()}
    return [
        Finding(connection.key, f"phone of {changed}", _NEW_PHONE, stored[changed][0]),
        Finding(connection.key, f"{deleted} is a tombstone", expected=True, found=stored[deleted][1]),
    ]


async def try_isolation(
    db: Database, ours: Sequence[Connection], theirs: Sequence[Connection]
) -> list[Finding]:
    """Reach for another workspace's rows from inside one, by queries that name no workspace at all."""
    inside, others = ours[0].workspace_id, [connection.id for connection in theirs]
    about = f"inside {ours[0].workspace}"
    async with db.workspace(inside) as conn:

        async def count(query: str, *values: Any) -> int:
            return int((await (await conn.execute(query.encode(), values)).fetchone() or (0,))[0])

        everything = await count("SELECT count(*) FROM unified_customers")
        own = await count(
            "SELECT count(*) FROM unified_customers WHERE connection_id = ANY(%s)",
            [connection.id for connection in ours],
        )
        read = await count("SELECT count(*) FROM unified_customers WHERE connection_id = ANY(%s)", others)
        secrets = await count(
            "SELECT count(*) FROM connector_credentials WHERE connector_config_id = ANY(%s)", others
        )
        written = await conn.execute(
            "UPDATE unified_customers SET name = '' WHERE connection_id = ANY(%s)", (others,)
        )
    return [
        Finding(about, "customers seen without any filter", own, everything),
        Finding(about, f"customers of {theirs[0].workspace} seen", 0, read),
        Finding(about, f"customers of {theirs[0].workspace} changed by an UPDATE", 0, written.rowcount),
        Finding(about, f"encrypted keys of {theirs[0].workspace} seen", 0, secrets),
        Finding("inside no workspace", "customers seen", 0, await _seen_by_nobody(db, uuid4())),
    ]


async def _seen_by_nobody(db: Database, workspace_id: UUID) -> int:
    async with db.workspace(workspace_id) as conn:
        return int(
            (await (await conn.execute("SELECT count(*) FROM unified_customers")).fetchone() or (0,))[0]
        )


def _amount(connector: str, currency: str, amount: int | str) -> Decimal:
    """A sum as the source states it, in whole currency units."""
    stream = get_adapter(connector).stream("invoices")
    minor_units = stream.control_total.minor_units if stream.control_total else None
    if minor_units is None:
        return Decimal(amount)
    return Decimal(amount).scaleb(-minor_units.get(currency, exponent(currency)))
