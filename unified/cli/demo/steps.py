"""The demo's steps on the database: its connections, and the questions that show whether all is right.

Each question is asked as the application's role, inside one workspace, and answered by a :class:`Finding`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from unified.cli.processes.sandbox import Sandbox
from unified.cli.session import ACTOR
from unified.kit.registry import get_adapter
from unified.kit.secrets import Secret
from unified.schema.money import exponent
from unified.store import removal
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.records.counts import quality
from unified.store.records.tables import StreamKey
from unified.store.secrets.credentials import CredentialStore
from unified.store.secrets.providers import load_provider
from unified.store.workspaces import workspaces

DEMO_PREFIX = "demo-"
"""Begins the name of each workspace that belongs to the demo; it removes and makes these as it likes."""

# The sandbox's keys: workspace, connector, key. They open nothing else.
_ACCOUNTS = (
    ("demo-acme", "stripe", "sk_test_fake_acme"),
    ("demo-acme", "hubspot", "pat-fake-acme"),
    ("demo-globex", "stripe", "sk_test_fake_globex"),
    ("demo-globex", "hubspot", "pat-fake-globex"),
)
# What the sandbox's oracle calls a stream's records, and the columns of its sums.
_COUNTS = {
    "stripe": {name: name for name in ("customers", "invoices", "invoice_lines", "events")},
    "hubspot": {"customers": "contacts", "invoices": "invoices", "invoice_lines": "line_items"},
}
_SUMS = {
    "stripe": {"total": "total", "amount_due": "amount_due", "amount_paid": "amount_paid", "tax": "tax"},
    "hubspot": {
        "total": "hs_amount_billed",
        "amount_paid": "hs_amount_paid",
        "amount_remaining": "hs_balance_due",
    },
}
_NEW_PHONE = "+1 555 010 0199"
CHANGES = {
    "stripe": ("update_customer", "delete_customer"),
    "hubspot": ("update_contact", "archive_contact"),
}


@dataclass(frozen=True, slots=True)
class DemoConnection:
    """A connection of the demo, and the key of the sandbox account that it leads to."""

    connection: Connection
    key: str


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


async def make_connections(db: Database, base_url: str) -> list[DemoConnection]:
    """Remove what an earlier demo left, and make its workspaces and connections anew, with encrypted keys."""
    registry, credentials = Registry(db), CredentialStore(db, load_provider())
    for workspace in await workspaces.listed(db):
        if workspace.slug.startswith(DEMO_PREFIX):
            await removal.delete_workspace(db, workspace.id)
    owners = {slug: await workspaces.create(db, slug) for slug in dict.fromkeys(a[0] for a in _ACCOUNTS)}
    made = []
    for slug, connector, key in _ACCOUNTS:
        adapter, owner = get_adapter(connector), owners[slug].id
        settings = {"base_url": f"{base_url}/{connector}", "allow_private_hosts": True}
        if connector == "hubspot":
            settings["search_lag"] = 0  # the sandbox's search does not lag
        connection = await registry.add_connection(owner, connector, connector, settings)
        secrets = {adapter.credential_fields[0].name: Secret(key)}
        await credentials.put(owner, connection.id, adapter.credential_kind, secrets, actor=ACTOR)
        made.append(DemoConnection(connection, key))
    return made


async def compare(db: Database, sandbox: Sandbox, demo: DemoConnection) -> list[Finding]:
    """Hold what is stored against the source's own counts, and its sums of money currency by currency."""
    connection, connector = demo.connection, demo.connection.connector
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
                coalesce(sum(amount_due), 0) AS amount_due, coalesce(sum(amount_paid), 0) AS amount_paid,
                coalesce(sum(amount_remaining), 0) AS amount_remaining
            FROM unified_invoices WHERE connection_id = %s AND deleted_at IS NULL GROUP BY currency
            """,
            (connection.id,),
        )
        columns = [column.name for column in rows.description or ()]
        stored = [dict(zip(columns, row, strict=True)) for row in await rows.fetchall()]
    sums = _SUMS[connector]
    expected = {
        f"{code.upper()} {ours}": _amount(connector, code.upper(), amounts[theirs])
        for code, amounts in oracle["totals"].items()
        for ours, theirs in sums.items()
    }
    found = {f"{row['currency']} {ours}": row[ours] for row in stored for ours in sums}
    return [
        *(
            Finding(connection.key, ours, oracle["counts"][theirs], counts[ours])
            for ours, theirs in _COUNTS[connector].items()
        ),
        Finding(connection.key, "money", expected, found),
    ]


async def change_source(db: Database, sandbox: Sandbox, demo: DemoConnection) -> tuple[str, str]:
    """Change one customer and delete another at the source, the oldest two: the newest are those of the route.

    Returns:
        The source ids of the two.
    """
    connection, (update, delete) = demo.connection, CHANGES[demo.connection.connector]
    async with db.workspace(connection.workspace_id) as conn:
        rows = await conn.execute(
            """
            SELECT source_id FROM unified_customers
            WHERE connection_id = %s AND deleted_at IS NULL ORDER BY created_at, source_id LIMIT 2
            """,
            (connection.id,),
        )
        changed, deleted = (row[0] for row in await rows.fetchall())
    sandbox.change(connection.connector, demo.key, update, changed, phone=_NEW_PHONE)
    sandbox.change(connection.connector, demo.key, delete, deleted)
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
