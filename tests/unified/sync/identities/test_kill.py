"""SIGKILL between and within the steps of a run: the next one comes to the same."""

import asyncio

import pytest

from tests.unified.sync.forked import Victim
from tests.unified.sync.identities.tenant import Tenant
from tests.unified.sync.identities.victim import main


async def kill_at(tenant: Tenant, step: int) -> str:
    """Start a run, and kill it before it commits a step; what it said before."""
    task = {"url": tenant.db.url, "workspace": str(tenant.workspace_id), "stop": step}
    process = Victim(main, task)
    said = await asyncio.to_thread(process.stdout.readline)
    process.kill()
    return said


TAX_NUMBERS = ("DE123400006", "DE123400014", "DE123400022", "DE123400039")


@pytest.mark.parametrize("steps", [(2, 4), (5, 9)])
async def test_a_killed_run_is_gone_on_with(tenant: Tenant, steps: tuple[int, ...]) -> None:
    # First while keys are stored, by a first run and by one that reads all again; then at the first scope, by a first
    # run and by one that reads changes.
    for round_ in range(len(steps)):
        for number in range(12):
            for source in ("stripe", "hubspot"):
                shared = number + round_ * 3 * (source == "stripe")
                await tenant.add(
                    source, str(number), email=f"a{shared}@acme.com", tax_number=TAX_NUMBERS[shared // 4]
                )
        if round_:
            await tenant.delete("hubspot", "5")
        assert await kill_at(tenant, steps[round_]) == "stopped\n"
    await tenant.resolve()
    await tenant.partition()
    state, keys = await tenant.state(), await tenant.keys()
    await tenant.forget_all()
    await tenant.resolve()
    assert await tenant.state() == state
    assert await tenant.keys() == keys
