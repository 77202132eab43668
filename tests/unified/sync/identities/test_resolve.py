"""Which records become one customer, which never do, and what stays the same when things change."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.unified.sync.identities.conftest import NewTenant
from tests.unified.sync.identities.tenant import BEGAN, Tenant, parts
from unified.schema import UnifiedAddress, connection_namespace, unified_id
from unified.store import removal
from unified.store.identities import decisions as identity_decisions
from unified.store.identities import golden as identities
from unified.store.identities import scopes as identity_scopes
from unified.store.identities import settings as identity_settings
from unified.store.identities.golden import IdentityError
from unified.store.identities.scopes import Resolved
from unified.store.identities.settings import IdentitySettings
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch, Row
from unified.sync.identities import clusters, rules
from unified.sync.identities.explain import explain
from unified.sync.identities.resolve import IdentitiesBusyError

STREET = UnifiedAddress(line1="5 High Street", postal_code="AB1 2CD", country="GB")


@pytest.mark.parametrize(
    ("rule", "one", "other"),
    [
        ("email", {"email": "Ann.Smith@gmail.com"}, {"email": "annsmith+crm@googlemail.com"}),
        ("email", {"emails": ("a@acme.com", "ann@acme.com")}, {"email": "ann@acme.com"}),
        ("tax_number", {"tax_number": "DE 136 695 976"}, {"tax_number": "de136695976", "name": "Acme"}),
        ("phone", {"phone": "+44 20 7946 0018"}, {"phone": "+442079460018", "name": "Ann Smith"}),
        (
            "phone",
            {"phone": "020 7946 0018", "billing_address": STREET},
            {"phone": "+44 20 7946 0018"},
        ),
        (
            "phone_and_name",
            {"phone": "+44 20 7946 0018", "name": "Smith, Ann"},
            {"phone": "+44 20 7946 0018", "name": "Ann Smith"},
        ),
        (
            "domain_and_name",
            {"email": "billing@acme.com", "name": "ACME Ltd."},
            {"email": "info@acme.com", "name": "Acme", "kind": "company"},
        ),
        (
            "name_and_address",
            {"name": "Ann Smith", "billing_address": STREET},
            {"name": "Smith, Ann", "shipping_address": STREET},
        ),
    ],
)
async def test_each_rule_makes_two_records_one(
    tenant: Tenant, rule: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    await tenant.add("stripe", "1", **one)
    await tenant.add("hubspot", "1", **other)
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1", "h1"])
    assert sorted((await tenant.rules()).values(), key=str) == [None, rule]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"name": "Ann Smith"}, {"name": "Ann Smith"}),
        ({"email": "info@acme.com"}, {"email": "info@acme.com"}),
        (
            {"email": "billing@acme.com", "name": "Ann Smith"},
            {"email": "billing@acme.com", "name": "Ben Jones"},
        ),
        (
            {"email": "ann@gmail.com", "name": "Ann Smith"},
            {"email": "ann.smith@gmail.com", "name": "Ann Smith"},
        ),
        (
            {"phone": "+44 20 7946 0018", "name": "Ann Smith"},
            {"phone": "+44 20 7946 0018", "name": "Ben Smith"},
        ),
        ({"phone": "020 7946 0018"}, {"phone": "020 7946 0018"}),  # of which country?
        ({"tax_number": "0000000"}, {"tax_number": "0000000"}),
        (
            {"tax_number": "DE136695976", "name": "Ann Smith", "kind": "person"},
            {"tax_number": "DE136695976", "name": "Ben Jones", "kind": "person"},
        ),
        (
            {"name": "Ann Smith", "billing_address": STREET},
            {"name": "Ben Smith", "billing_address": STREET},
        ),
    ],
)
async def test_what_is_not_enough(tenant: Tenant, one: dict[str, Any], other: dict[str, Any]) -> None:
    await tenant.add("stripe", "1", **one)
    await tenant.add("hubspot", "1", **other)
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["h1"])


async def test_what_many_carry_is_no_key(tenant: Tenant) -> None:
    most = rules.EMAIL.most
    shared = [tenant.customer("stripe", str(number), email="agency@acme.com") for number in range(most)]
    await tenant.put(*shared)
    await tenant.resolve()
    assert len(await tenant.partition()) == 1
    await tenant.add("stripe", "more", email="agency@acme.com")
    await tenant.resolve()
    assert len(await tenant.partition()) == most + 1
    await tenant.delete("stripe", "3")
    await tenant.resolve()
    assert len(await tenant.partition()) == 1
    await tenant.add("stripe", "3", email="agency@acme.com")
    await tenant.resolve()
    assert len(await tenant.partition()) == most + 1
    await tenant.add("stripe", "3", email="somebody@else.com")
    await tenant.resolve()
    assert len(await tenant.partition()) == 2


async def test_a_stranger_with_the_same_number_ends_what_it_held_together(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", phone="+442079460018")
    await tenant.add("hubspot", "1", phone="+442079460018", name="Ann Smith")
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1", "h1"])
    await tenant.add("hubspot", "2", phone="+442079460018", name="Ben Jones")
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["h1"], ["h2"])


async def test_a_chain_that_is_too_long_is_refused_and_reported(tenant: Tenant) -> None:
    def link(number: int) -> Any:
        return tenant.customer(
            "stripe", f"{number:03d}", emails=(f"a{number}@acme.com", f"a{number + 1}@acme.com")
        )

    most = clusters.MOST_RECORDS
    await tenant.put(*map(link, range(most)))
    await tenant.resolve()
    assert len(await tenant.partition()) == 1
    await tenant.put(link(most))
    progress = await tenant.resolve()
    assert progress.refused == most + 1
    assert len(await tenant.partition()) == most + 1
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        (group,) = await identities.refused_groups(conn)
    assert group.records == most + 1
    # In two halves it is fine again, and a link that a person makes holds in either case.
    await tenant.delete("stripe", "050")
    await tenant.resolve()
    assert len(await tenant.partition()) == 2


async def test_a_person_links_within_a_refused_group(tenant: Tenant) -> None:
    chain = [
        tenant.customer("stripe", f"{number:03d}", emails=(f"a{number}@acme.com", f"a{number + 1}@acme.com"))
        for number in range(clusters.MOST_RECORDS + 1)
    ]
    await tenant.put(*chain)
    await tenant.resolve()
    await tenant.merge(("stripe", "001"), ("stripe", "007"))
    await tenant.resolve()
    assert frozenset([("stripe", "001"), ("stripe", "007")]) in await tenant.partition()


async def test_a_tombstone_leaves_and_may_come_back(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", email="ann@acme.com")
    await tenant.add("hubspot", "1", email="ann@acme.com", name="Ann")
    await tenant.resolve()
    identity = await tenant.identity(("stripe", "1"))
    await tenant.delete("hubspot", "1")
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"])
    assert (await tenant.golden(("stripe", "1"))).name is None
    assert await tenant.identity(("stripe", "1")) == identity
    await tenant.add("hubspot", "1", email="ann@acme.com", name="Ann")
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1", "h1"])
    for source in ("stripe", "hubspot"):
        await tenant.delete(source, "1")
    await tenant.resolve()
    assert await tenant.partition() == set()
    assert await tenant.keys() == []


async def test_a_removed_connection_takes_its_records_out(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", email="ann@acme.com", phone="+442079460018")
    await tenant.add("hubspot", "1", email="ann@acme.com", name="Ann Smith")
    await tenant.resolve()
    identity = await tenant.identity(("stripe", "1"))
    await removal.remove_connection(tenant.db, tenant.workspace_id, tenant.connections["hubspot"].id)
    assert await tenant.rows("SELECT FROM golden_customers WHERE name IS NOT NULL") == []
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"])
    assert await tenant.identity(("stripe", "1")) == identity
    assert len(await tenant.keys()) == 2


async def test_a_removed_workspace_leaves_nothing(tenant: Tenant, new_tenant: NewTenant) -> None:
    for each in (tenant, other := await new_tenant()):
        await each.add("stripe", "1", email="ann@acme.com")
        await each.add("stripe", "2", email="ben@acme.com")
        await each.resolve()
        await each.merge(("stripe", "1"), ("stripe", "2"))
    await removal.delete_workspace(tenant.db, tenant.workspace_id)
    tables = "customer_identities golden_customers identity_records identity_keys identity_decisions"
    for table in tables.split():
        assert await tenant.rows(f"SELECT FROM {table}") == [], table
        assert await other.rows(f"SELECT FROM {table}") != [], table


async def test_an_identity_keeps_its_id(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", email="ann@acme.com")
    await tenant.resolve()
    first = await tenant.identity(("stripe", "1"))
    await tenant.add("stripe", "2", email="ben@acme.com")
    await tenant.add("stripe", "3", email="ben@acme.com")
    await tenant.resolve()
    second = await tenant.identity(("stripe", "2"))
    # They turn out to be one: the older id stays, the other leads to it.
    await tenant.add("hubspot", "1", emails=("ann@acme.com", "ben@acme.com"))
    assert (await tenant.resolve()).merged == 1
    assert await tenant.identity(("stripe", "2")) == first
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        assert await identities.find(conn, second) == first
        assert await identities.former_ids(conn, first) == [second]
    # It falls apart: the larger part keeps the id.
    await tenant.delete("hubspot", "1")
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["s2", "s3"])
    assert await tenant.identity(("stripe", "2")) == first
    assert await tenant.identity(("stripe", "1")) not in (first, second)


async def test_a_merge_by_a_person_outlives_runs_and_records(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", email="ann@acme.com")
    await tenant.add("stripe", "2", email="ann@acme.com")
    await tenant.add("hubspot", "1", email="ben@acme.com")
    await tenant.resolve()
    await tenant.merge(("stripe", "1"), ("hubspot", "1"))
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1", "s2", "h1"])
    assert "manual" in (await tenant.rules()).values()
    await tenant.delete("stripe", "1")
    await tenant.resolve(full=True)
    assert await tenant.partition() == parts(["s2", "h1"])


async def test_a_split_by_a_person_is_undone_by_no_rule(tenant: Tenant) -> None:
    for source in ("stripe", "hubspot"):
        await tenant.add(source, "1", email="ann@acme.com")
    await tenant.resolve()
    await tenant.split(("hubspot", "1"))
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["h1"])
    # Not by way of a third record either, and it joins one of the two.
    await tenant.add("stripe", "2", email="ann@acme.com", tax_number="DE136695976")
    await tenant.add("hubspot", "1", email="ann@acme.com", tax_number="DE136695976")
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["s2", "h1"])
    await tenant.resolve(full=True)
    assert await tenant.partition() == parts(["s1"], ["s2", "h1"])
    # Until a person thinks again.
    await tenant.merge(("stripe", "1"), ("hubspot", "1"))
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1", "s2", "h1"])


async def test_decisions_that_make_no_sense_are_refused(tenant: Tenant, new_tenant: NewTenant) -> None:
    await tenant.add("stripe", "1", email="ann@acme.com")
    await tenant.resolve()
    other = await new_tenant()
    await other.add("stripe", "9", email="ann@acme.com")
    await other.resolve()
    with pytest.raises(IdentityError, match="one identity already"):
        await tenant.merge(("stripe", "1"), ("stripe", "1"))
    with pytest.raises(IdentityError, match="not all of its 1"):
        await tenant.split(("stripe", "1"))
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        for strange in (UUID(int=1), other.id(("stripe", "9"))):
            with pytest.raises(IdentityError, match="no identity or record"):
                await identities.find(conn, strange)
            with pytest.raises(IdentityError, match="has no record"):
                await identity_decisions.split(
                    conn, tenant.workspace_id, tenant.id(("stripe", "1")), [strange], actor="test"
                )


async def test_golden_values_say_where_they_are_from(tenant: Tenant) -> None:
    stripe = tenant.customer(
        "stripe", "1", email="ann@acme.com", name="Ann S.", currency="EUR", phone="+442079460018"
    )
    hubspot = tenant.customer("hubspot", "1", email="ann@acme.com", name="Ann Smith", company="Acme")
    await tenant.put(stripe, hubspot)
    await tenant.resolve()
    golden = await tenant.golden(("stripe", "1"))
    assert (golden.name, golden.currency, golden.company) == ("Ann Smith", "EUR", "Acme")
    assert {field: (why["source"], why["why"]) for field, why in golden.provenance.items()} == {
        "email": ("hubspot", "agreement"),
        "name": ("hubspot", "recency"),
        "currency": ("stripe", "only"),
        "company": ("hubspot", "only"),
        "phone": ("stripe", "only"),
    }
    assert golden.provenance["name"]["record"] == str(tenant.id(("hubspot", "1")))
    # The workspace prefers Stripe.
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        settings = IdentitySettings(source_priority=("stripe",))
        await identity_settings.save_settings(conn, tenant.workspace_id, settings)
    await tenant.resolve()
    golden = await tenant.golden(("stripe", "1"))
    assert golden.name == "Ann S."
    assert golden.provenance["name"]["why"] == "source_priority"


async def test_of_records_of_one_time_the_fuller_wins(tenant: Tenant) -> None:
    at = BEGAN + timedelta(days=1)
    await tenant.put(
        tenant.customer(
            "stripe", "1", email="ann@acme.com", name="A", updated_at=at, phone="1", currency="EUR"
        ),
        tenant.customer("hubspot", "1", email="ann@acme.com", name="B", updated_at=at),
    )
    await tenant.resolve()
    golden = await tenant.golden(("stripe", "1"))
    assert (golden.name, golden.provenance["name"]["why"]) == ("A", "completeness")


async def test_settings_take_effect_on_all(tenant: Tenant) -> None:
    await tenant.add(
        "stripe", "1", phone="020 7946 0018", custom_fields={"birthday": "1.2.1990"}, name="Ann Smith"
    )
    await tenant.add("hubspot", "1", phone="+44 20 7946 0018")
    await tenant.add("hubspot", "2", name="Smith, Ann", custom_fields={"birthday": "121990"})
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["h1"], ["h2"])
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        settings = IdentitySettings(default_region="GB", keys=(("name", "custom_fields.birthday"),))
        await identity_settings.save_settings(conn, tenant.workspace_id, settings)
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1", "h1", "h2"])
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        await identity_settings.save_settings(conn, tenant.workspace_id, IdentitySettings(rules=("email",)))
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["h1"], ["h2"])


async def test_a_run_without_changes_writes_nothing(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", email="ann@acme.com")
    await tenant.add("hubspot", "1", email="ann@acme.com")
    await tenant.resolve()
    before = await tenant.rows(
        "SELECT ctid, xmin::text FROM golden_customers UNION ALL SELECT ctid, xmin::text FROM customer_identities"
    )
    for full in (False, True):
        progress = await tenant.resolve(full=full)
        assert (progress.keyed, progress.removed, progress.resolved) == (0, 0, 0)
    assert before == await tenant.rows(
        "SELECT ctid, xmin::text FROM golden_customers UNION ALL SELECT ctid, xmin::text FROM customer_identities"
    )


async def test_a_commit_that_comes_late_is_not_missed(tenant: Tenant) -> None:
    await tenant.add("hubspot", "1", email="ann@acme.com")
    await tenant.resolve()
    async with tenant.db.workspace(tenant.workspace_id) as late:
        await late.execute("SELECT pg_current_xact_id()")  # begun before the next run, committed after it
        await late.execute(
            """
            INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id,
                unified_id, schema_version, content_hash, observed_at, synced_at, is_active, email, raw_data)
            VALUES (%s, %s, 'stripe', 'customers', '1', %s, '1.1.0', 1, now(), now(), true, 'ann@acme.com', '{}')
            """,
            (tenant.workspace_id, tenant.connections["stripe"].id, tenant.id(("stripe", "1"))),
        )
        await late.execute(
            "INSERT INTO customer_changes (workspace_id, connection_id, stream, source_ids)"
            " VALUES (%s, %s, 'customers', '{1}')",
            (tenant.workspace_id, tenant.connections["stripe"].id),
        )
        await tenant.add("hubspot", "2", email="ben@acme.com")
        assert (await tenant.resolve()).keyed == 1
        async with tenant.db.scheduler() as conn:
            assert tenant.workspace_id not in {
                due.workspace_id for due in await identities.due(conn, ["customers"])
            }
    async with tenant.db.scheduler() as conn:
        assert tenant.workspace_id in {due.workspace_id for due in await identities.due(conn, ["customers"])}
    assert (await tenant.resolve()).keyed == 1
    assert await tenant.partition() == parts(["s1", "h1"], ["h2"])


async def link_by_route(tenant: Tenant) -> None:
    """Two customers, each at one system, that a route has linked."""
    await tenant.add("stripe", "1", name="Ann")
    await tenant.add("hubspot", "1", name="Ben")
    await tenant.resolve()
    ids = [tenant.connections[name].id for name in ("stripe", "hubspot")]
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        rows = await conn.execute(
            """
            INSERT INTO routes (workspace_id, name, source_connection_id, target_connection_id, direction, fields,
                conflict_policy)
            VALUES (%s, 'r', %s, %s, 'one_way', '[{}]', 'source_wins') RETURNING id
            """,
            (tenant.workspace_id, *ids),
        )
        ((route,),) = await rows.fetchall()
        await conn.execute(
            """
            INSERT INTO pushed_records (workspace_id, route_id, source_connection_id, source_id, target_connection_id,
                target_id, state, rule, content_hash)
            VALUES (%s, %s, %s, '1', %s, '1', 'linked', 'created', 1)
            """,
            (tenant.workspace_id, route, *ids),
        )
    await tenant.resolve()


async def test_links_of_routes_make_records_one(tenant: Tenant) -> None:
    await link_by_route(tenant)
    assert await tenant.partition() == parts(["s1", "h1"])
    assert "route" in (await tenant.rules()).values()
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        await conn.execute("UPDATE pushed_records SET state = 'unlinked', reason = 'gone'")
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["h1"])
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        await conn.execute("UPDATE pushed_records SET state = 'linked', reason = NULL")
    await tenant.resolve()
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        await conn.execute("DELETE FROM routes")
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["h1"])


async def test_a_link_of_a_route_is_of_its_streams(tenant: Tenant) -> None:
    """A record of another stream that has the id of one that is linked is not linked with it, on either side."""
    for connector, name in (("stripe", "Cleo"), ("hubspot", "Dora")):
        key = replace(tenant.key(connector), stream="leads")
        lead_id = unified_id(connection_namespace(key.workspace_id, key.connection_id, key.stream), "1")
        lead = tenant.customer(connector, "1", name=name).model_copy(update={"unified_id": lead_id})
        rows = [Row.of(lead, b"{}", hash(name))]
        await batches.commit(tenant.db, key, Batch(observed_at=lead.observed_at, rows=rows))
    await link_by_route(tenant)
    found = await tenant.rows("SELECT count(*) FROM customer_identities GROUP BY identity_id ORDER BY 1")
    assert found == [(1,), (1,), (2,)]


async def test_a_removed_connection_with_a_route(tenant: Tenant) -> None:
    await test_links_of_routes_make_records_one(tenant)
    await tenant.add("stripe", "2", name="Cleo")
    await tenant.resolve()
    ids = [tenant.connections[name].id for name in ("stripe", "hubspot")]
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        await conn.execute(
            """
            WITH route AS (
                INSERT INTO routes (workspace_id, name, source_connection_id, target_connection_id, direction, fields,
                    conflict_policy)
                VALUES (%(w)s, 'r', %(s)s, %(t)s, 'one_way', '[{}]', 'source_wins') RETURNING id
            )
            INSERT INTO pushed_records (workspace_id, route_id, source_connection_id, source_id, target_connection_id,
                target_id, state, rule, content_hash)
            SELECT %(w)s, id, %(s)s, '1', %(t)s, '1', 'linked', 'created', 1 FROM route
            """,
            {"w": tenant.workspace_id, "s": ids[0], "t": ids[1]},
        )
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1", "h1"], ["s2"])
    await removal.remove_connection(tenant.db, tenant.workspace_id, ids[1])
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1"], ["s2"])


async def test_one_run_at_a_time(tenant: Tenant) -> None:
    async with tenant.db.exclusive(f"identities/{tenant.workspace_id}"):
        with pytest.raises(IdentitiesBusyError):
            await tenant.resolve()


async def test_what_is_queued_while_a_scope_is_resolved_stays_queued(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", email="ann@acme.com")
    await tenant.resolve()
    record = tenant.id(("stripe", "1"))
    queue = "INSERT INTO identity_queue (workspace_id, unified_id) VALUES (%s, %s)"
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        await conn.execute(queue, (tenant.workspace_id, record))
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        scope = await identity_scopes.take(conn, [record], most={rules.EMAIL.number: 25})
        async with tenant.db.workspace(tenant.workspace_id) as another:
            await another.execute(queue, (tenant.workspace_id, record))
        await identity_scopes.store(conn, tenant.workspace_id, scope, Resolved())
    assert len(await tenant.rows("SELECT FROM identity_queue")) == 1


async def test_nobody_decides_on_what_is_about_to_change(tenant: Tenant) -> None:
    for number in ("1", "2"):
        await tenant.add("stripe", number, email=f"a{number}@acme.com")
    await tenant.resolve()
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        ids = [tenant.id(("stripe", number)) for number in ("1", "2")]
        await identity_decisions.merge(conn, tenant.workspace_id, ids, actor="test")
    with pytest.raises(IdentityError, match="about to be resolved anew"):
        await tenant.merge(("stripe", "1"), ("stripe", "2"))
    await tenant.resolve()
    assert await tenant.partition() == parts(["s1", "s2"])


async def test_why_two_records_are_one_or_not(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", email="ann@acme.com", name="Ann Smith")
    await tenant.add("hubspot", "1", email="ann@acme.com", phone="+442079460018", name="Ann Smith")
    await tenant.add("hubspot", "2", email="ben@acme.com", phone="+442079460018", name="Ben Jones")
    await tenant.resolve()
    one, other, third = (
        tenant.id(record) for record in (("stripe", "1"), ("hubspot", "1"), ("hubspot", "2"))
    )
    found = await explain(tenant.db, tenant.workspace_id, one, other)
    assert found.is_one
    assert [(key.rule, key.value, key.holds) for key in found.keys] == [
        ("email", "ann@acme.com", True),
        ("domain_and_name", "acme.com|ann smith", True),
    ]
    assert [(rule, {low, high}) for low, rule, high in found.path] == [("email", {one, other})]
    found = await explain(tenant.db, tenant.workspace_id, other, third)
    assert not found.is_one
    assert [(key.rule, key.names, key.holds) for key in found.keys] == [("phone", 2, False)]
