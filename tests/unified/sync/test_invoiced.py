"""What was invoiced holds through all that moves invoices, as it is really done."""

from collections.abc import Awaitable, Callable
from random import Random

import pytest

from tests.unified.store.records.counts.test_invoiced import kept, put_together, rows_kept, whole
from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import Source
from tests.unified.sync.test_columns import choose
from unified.store.connections import accounts
from unified.store.removal import remove_connection
from unified.sync import privacy
from unified.sync.remapping.remap import remap


async def change(source: Source) -> None:
    made = [source.change("create_invoice")["id"] for _ in range(6)]
    for name in made[1:]:
        source.change("finalize_invoice", name)
    opened = [one["id"] for one in source.data.all_invoices() if one["status"] == "open"]
    for name, what in zip(opened, ("pay", "void", "write_off"), strict=False):
        source.change(f"{what}_invoice", name)
    await source.sync("invoices")


async def omit_totals(source: Source) -> None:
    await choose(source, {"invoices": {"total": "omit"}})
    await source.sync("invoices")


async def store_totals(source: Source) -> None:
    await choose(source, {})
    await source.sync("invoices")


async def map_anew(source: Source) -> None:
    await remap(source.db, await source.state())


async def delete_a_person(source: Source) -> None:
    email = next(one["email"] for one in source.data.all_customers() if one.get("email"))
    await privacy.delete(source.db, source.connection.workspace_id, email=email, actor="test")


async def read_anew(source: Source) -> None:
    await source.sync("invoices", full=True)


async def become_another_account(source: Source) -> None:
    connection = await source.state()
    async with source.db.workspace(connection.workspace_id) as conn:
        doubts = (await accounts.known(conn, connection.id)).settled + 1
    other = f"acct_other_{doubts}"
    await accounts.settle(source.db, connection, other, livemode=False, doubts=doubts, actor="test")


STEPS: list[Callable[[Source], Awaitable[None]]] = [
    change,
    omit_totals,
    store_totals,
    map_anew,
    delete_a_person,
    read_anew,
    become_another_account,
]


@pytest.mark.parametrize("seed", range(3))
async def test_sums_are_those_of_the_invoices_after_each_step_in_any_order(
    source_of: MakeSource, seed: int
) -> None:
    source = await source_of("stripe", customers=20, invoices=40)
    await source.sync_all()
    key = source.key("invoices")
    assert await kept(source.db, key)
    chance = Random(seed)  # noqa: S311 - what a test does
    for step in chance.sample(STEPS, len(STEPS)) + chance.sample(STEPS, len(STEPS)):
        await step(source)
        expected = await whole(source.db, key)
        assert await kept(source.db, key) == expected, step.__name__
        if chance.random() < 0.3:
            await put_together(source.db, key)
            assert await kept(source.db, key) == expected, step.__name__
    await remove_connection(source.db, key.workspace_id, key.connection_id)
    assert await rows_kept(source.db, key) == 0
