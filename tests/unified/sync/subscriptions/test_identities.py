"""A subscriber of identities hears of those that are no more."""

from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from tests.unified.sync.subscriptions.receiver import Order, Receiver, Subscribe
from unified.store import removal
from unified.store.connections.registry import Registry
from unified.store.identities import decisions
from unified.sync import privacy
from unified.sync.identities.resolve import resolve, settle

Told = dict[UUID, dict[str, Any]]


async def told(order: Order, receiver: Receiver) -> Told:
    """What is delivered now, by identity; each once."""
    receiver.taken.clear()
    await order.deliver()
    found = {UUID(one["data"]["identity_id"]): one for one in receiver.taken}
    assert len(found) == len(receiver.taken)
    return found


async def refresh(order: Order) -> None:
    await order.source.sync_all()
    await resolve(order.source.db, order.workspace)


async def merge(order: Order, *records: UUID) -> None:
    async with order.source.db.workspace(order.workspace) as conn:
        concerned = await decisions.merge(conn, order.workspace, records, actor="test")
    await settle(order.source.db, order.workspace, concerned)


async def identities(order: Order, *, alone: bool = False) -> dict[UUID, tuple[UUID, str]]:
    """The first record of each, by its unified id and its source id; or those that have no second one."""
    async with order.source.db.workspace(order.workspace) as conn:
        rows = await conn.execute(
            """
            SELECT identity_id, (array_agg(unified_id ORDER BY unified_id))[1],
                (array_agg(source_id ORDER BY unified_id))[1]
            FROM customer_identities GROUP BY identity_id HAVING count(*) = 1 OR NOT %s ORDER BY identity_id
            """,
            (alone,),
        )
        return {identity: (unified, source_id) for identity, unified, source_id in await rows.fetchall()}


@pytest.mark.parametrize("filters", [{}, {"least_records": ["2"]}])
async def test_one_that_is_merged_or_deleted_is_said_to_be_gone(
    subscribe: Subscribe, receiver: Receiver, filters: dict[str, list[str]]
) -> None:
    order = await subscribe("identities", filters=filters)
    await refresh(order)
    await order.deliver()
    found = await identities(order, alone=True)
    one, other, gone, *_ = found
    await merge(order, found[one][0], found[other][0])
    left = (await identities(order)).keys() & {one, other}
    former = {one, other} - left
    order.source.change("delete_customer", found[gone][1])
    await refresh(order)

    said = await told(order, receiver)
    assert {identity: event["type"] for identity, event in said.items()} == {
        **dict.fromkeys(left, "identity.changed"),
        **dict.fromkeys([*former, gone], "identity.deleted"),
    }
    for identity in (*former, gone):
        data = said[identity]["data"]
        assert data.keys() == {"identity_id", "deleted_at", "merged_into"}
        assert data["merged_into"] == (str(*left) if identity in former else None)
        assert said[identity]["timestamp"] == data["deleted_at"]
    assert await told(order, receiver) == {}


async def test_it_comes_in_the_order_of_changes_a_few_at_a_time(
    subscribe: Subscribe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unified.sync.subscriptions.deliver.BATCH", 2)
    monkeypatch.setattr("unified.sync.subscriptions.deliver.PARALLEL", 1)
    order = await subscribe("identities")
    await refresh(order)
    found = await identities(order, alone=True)
    renamed = list(order.source.expected())[5]
    first, second, third, *_ = (one for one, (_, source_id) in found.items() if source_id != renamed)
    for identity in (third, first, second):
        await privacy.delete(order.source.db, order.workspace, ids=[found[identity][0]], actor="test")
        await order.rename(f"After {identity}", 5)  # a change between them
        await resolve(order.source.db, order.workspace)
    await order.deliver()
    events = [(one["type"], UUID(one["data"]["identity_id"])) for one in receiver.taken]
    assert [identity for kind, identity in events if kind == "identity.deleted"] == [third, first, second]
    assert events[-1][0] == "identity.changed"
    assert {identity for kind, identity in events if kind == "identity.changed"} == set(
        await identities(order)
    )


async def test_one_that_was_refused_comes_as_what_it_is_by_then(
    subscribe: Subscribe, receiver: Receiver
) -> None:
    order = await subscribe("identities")
    await refresh(order)
    await order.deliver()
    (identity, (person, source_id)), *_ = (await identities(order, alone=True)).items()
    receiver.answers = lambda _: web.Response(status=422)
    order.source.rename(source_id, "Before")
    await refresh(order)
    await order.deliver()
    await privacy.delete(order.source.db, order.workspace, ids=[person], actor="test")
    await order.deliver()  # refused as well
    receiver.answers = lambda _: web.Response(status=204)
    await order.hurry()
    said = await told(order, receiver)
    assert {one: event["type"] for one, event in said.items()} == {identity: "identity.deleted"}
    assert await order.undelivered() == []


async def test_one_that_is_there_again_or_made_anew_is_not(subscribe: Subscribe, receiver: Receiver) -> None:
    order = await subscribe("identities")
    await refresh(order)
    await order.deliver()
    (back, _), (stays, (unified, _)), *_ = (await identities(order)).items()
    workspace, db = order.workspace, order.source.db
    async with db.workspace(workspace) as conn:  # as after its record was deleted, and restored at the source
        await conn.execute(
            "INSERT INTO gone_identities (workspace_id, identity_id) VALUES (%s, %s)", (workspace, back)
        )
        await conn.execute("UPDATE golden_customers SET updated_at = now() WHERE identity_id = %s", (back,))
    registry = Registry(db)
    other = await registry.add_connection(workspace, "stripe", "other")
    async with db.workspace(
        workspace
    ) as conn:  # a record of another connection, in an identity that has more
        await conn.execute(
            """
            INSERT INTO identity_records
                (workspace_id, unified_id, connection_id, source_system, source_id, stream, content_hash, keys)
            SELECT workspace_id, gen_random_uuid(), %s, 'stripe', 'cus_other', 'customers', 0, '{}'
            FROM identity_records WHERE unified_id = %s RETURNING unified_id
            """,
            (other.id, unified),
        )
        await conn.execute(
            """
            INSERT INTO customer_identities
                (workspace_id, unified_id, identity_id, connection_id, source_system, source_id, confidence)
            SELECT workspace_id, unified_id, %s, connection_id, 'stripe', 'cus_other', 1
            FROM identity_records WHERE connection_id = %s
            """,
            (stays, other.id),
        )
    await removal.remove_connection(db, workspace, other.id)
    assert {one: event["type"] for one, event in (await told(order, receiver)).items()} == {
        back: "identity.changed"
    }
    await resolve(db, workspace)
    assert {one: event["type"] for one, event in (await told(order, receiver)).items()} == {
        stays: "identity.changed"
    }
