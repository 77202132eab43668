"""Whatever is edited in whatever order: a run after each change comes to the same as one from scratch at the end."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

import unified.sync.identities.resolve as resolving
from tests.unified.sync.identities.tenant import Record, Tenant
from unified.schema import UnifiedAddress, UnifiedCustomer
from unified.store.identities import decisions as identity_decisions
from unified.store.identities import scopes as identity_scopes
from unified.store.identities.settings import IdentitySettings
from unified.sync.identities import rules

SOURCES = ("stripe", "hubspot")
EMAILS = (
    None,
    "ann@acme.com",
    "ben@acme.com",
    "a.n.n@gmail.com",
    "ann@gmail.com",
    "info@acme.com",
    "x@y.org",
)
NAMES = (None, "Ann Smith", "Smith, Ann", "Ben Jones", "Acme Ltd", "Acme")
PHONES = (None, "+442079460018", "+442079460019", "020 7946 0018")
TAX = (None, None, "DE136695976", "DE129273398")
STREETS = (None, UnifiedAddress(line1="5 High Street", postal_code="AB1 2CD", country="GB"))


@pytest.fixture(autouse=True)
def small_scopes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few records take several scopes."""
    monkeypatch.setattr(resolving, "SCOPE_RECORDS", 3)


def draw(tenant: Tenant, chance: random.Random, record: Record) -> UnifiedCustomer:
    return tenant.customer(
        *record,
        email=chance.choice(EMAILS),
        name=chance.choice(NAMES),
        phone=chance.choice(PHONES),
        tax_number=chance.choice(TAX),
        billing_address=chance.choice(STREETS),
    )


@pytest.mark.parametrize("seed", range(3))
async def test_edits_one_after_another_come_to_the_same_as_from_scratch(
    tenant: Tenant, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(resolving._MOST, rules.EMAIL.number, 3)  # hubs come up among few records
    chance = random.Random(seed)  # noqa: S311
    live: dict[Record, UnifiedCustomer] = {}
    for _ in range(6):
        for _ in range(chance.randrange(1, 8)):
            record = (chance.choice(SOURCES), str(chance.randrange(9)))
            if record in live and chance.random() < 0.3:
                del live[record]
                await tenant.delete(*record)
            else:
                live[record] = draw(tenant, chance, record)
                await tenant.put(live[record])
        await tenant.resolve()
        if len(live) > 3:
            await decide(tenant, chance)
            await tenant.resolve()
    await tenant.partition()
    after_edits, keys = await tenant.state(), await tenant.keys()
    await tenant.forget_all()
    await tenant.resolve()
    assert await tenant.state() == after_edits
    assert await tenant.keys() == keys


async def decide(tenant: Tenant, chance: random.Random) -> None:
    """A person merges or splits something."""
    parts = sorted(await tenant.partition(), key=sorted)
    large = [part for part in parts if len(part) > 1]
    if large and chance.random() < 0.5:
        members = sorted(chance.choice(large))
        await tenant.split(*members[: chance.randrange(1, len(members))])
    elif len(parts) > 1:
        await tenant.merge(*(min(part) for part in chance.sample(parts, 2)))


@pytest.mark.parametrize("seed", range(2))
async def test_the_order_of_arrival_does_not_matter(tenant: Tenant, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    customers = [draw(tenant, chance, (source, str(number))) for source in SOURCES for number in range(8)]
    await tenant.put(*customers)
    await tenant.resolve()
    await decide(tenant, chance)
    await tenant.resolve()
    at_once = await tenant.state()
    await tenant.forget_all(customers=True)
    chance.shuffle(customers)
    while customers:
        few, customers = customers[:5], customers[5:]
        await tenant.put(*few)
        await tenant.resolve()
    assert await tenant.state() == at_once


@pytest.mark.parametrize("seed", range(2))
async def test_the_partition_is_what_the_rules_say(tenant: Tenant, seed: int) -> None:
    """Against the plainest possible resolver: join whatever shares a key that holds."""
    chance = random.Random(seed)  # noqa: S311
    customers = [draw(tenant, chance, (source, str(number))) for source in SOURCES for number in range(15)]
    await tenant.put(*customers)
    await tenant.resolve()
    carriers: dict[rules.Key, set[Record]] = defaultdict(set)
    names: dict[Record, int | None] = {}
    async for customer in stored(tenant):
        record = customer.source_system, customer.source_id
        names[record] = rules.name_hash(customer)
        for key in rules.keys_of(customer, IdentitySettings()):
            carriers[key].add(record)
    parts = {frozenset([record]) for record in names}
    for key, sharing in carriers.items():
        if len(sharing) > key.rule.most:
            continue
        if key.rule.same_name and len({names[record] for record in sharing} - {None}) > 1:
            continue
        joined = {part for part in parts if part & sharing}
        parts = parts - joined | {frozenset().union(*joined)}
    assert await tenant.partition() == parts


async def stored(tenant: Tenant) -> AsyncIterator[Any]:
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        ids = [UUID(str(row[0])) for row in await tenant.rows("SELECT unified_id FROM unified_customers")]
        async for customer in identity_scopes.customers(conn, ids):
            yield customer


@pytest.mark.parametrize("seed", range(2))
async def test_what_a_person_kept_apart_stays_apart(tenant: Tenant, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    records = [(source, str(number)) for source in SOURCES for number in range(6)]
    await tenant.put(*(tenant.customer(*record, email="ann@acme.com") for record in records))
    await tenant.resolve()
    out = chance.sample(records, chance.randrange(1, len(records)))
    await tenant.split(*out)
    for _ in range(4):
        await tenant.put(
            *(draw(tenant, chance, record) for record in chance.sample(records, 4)),
            *(tenant.customer("stripe", f"new{number}", email="ann@acme.com") for number in range(3)),
        )
        await tenant.resolve(full=chance.random() < 0.3)
        for part in await tenant.partition():
            assert not (part & set(out) and part & (set(records) - set(out)))
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        decided = await identity_decisions.decisions(conn, [tenant.id(out[0])])
    assert len(decided) == len(records) - len(out)


async def test_offices_and_gaps_merge_nobody(tenant: Tenant) -> None:
    chance = random.Random(1)  # noqa: S311
    offices = ("info@acme.com", "billing@acme.com", "accounts@acme.com", "no-reply@acme.com", None)
    await tenant.put(
        *(
            tenant.customer(
                source,
                str(number),
                email=chance.choice(offices),
                phone=None,
                name=f"Person N{number}{source}",
            )
            for source in SOURCES
            for number in range(12)
        ),
        *(
            tenant.customer(source, f"bare{number}", email=chance.choice(offices))
            for source in SOURCES
            for number in range(6)
        ),
    )
    await tenant.resolve()
    assert all(len(part) == 1 for part in await tenant.partition())
