"""Quality on labelled records, and the statistical model beside the rules."""

import builtins
import importlib.util
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unified.sync.identities.tenant import Tenant
from unified.schema import UnifiedAddress
from unified.store.identities.settings import IdentitySettings
from unified.sync.identities import probabilistic
from unified.sync.identities.probabilistic import ProbabilisticError, find_pairs

BENCHMARK = Path(__file__).parents[4] / "benchmarks" / "identity_quality.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("identity_quality", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rules_are_right_on_labelled_records(benchmark: ModuleType) -> None:
    customers = benchmark.febrl()
    for settings, least in ((IdentitySettings(), 0.18), (IdentitySettings(keys=benchmark.KEYS), 0.9)):
        found = benchmark.resolve(customers, settings)
        who = ([benchmark.person(customer) for customer in group] for group in found)
        precision, recall = benchmark.quality(who, len(customers) // 2)
        assert precision >= 0.99
        assert recall >= least


async def test_the_model_finds_what_is_misspelt(tenant: Tenant) -> None:
    chance = random.Random(5)  # noqa: S311
    letters = "abcdefghiklmnoprstuvwz"

    def word() -> str:
        return "".join(chance.choices(letters, k=8))

    for number in range(150):
        first, last, street = word(), word(), word()
        address = UnifiedAddress(line1=f"{number} {street} road", postal_code=f"AB{number:03d}", city=word())
        misspelt = last[:4] + "x" + last[5:]
        name = misspelt if number % 3 == 0 else last
        await tenant.put(
            tenant.customer("stripe", str(number), name=f"{first} {last}", billing_address=address),
            tenant.customer("hubspot", str(number), name=f"{first} {name}", billing_address=address),
        )
    await tenant.resolve()
    assert sum(len(part) == 2 for part in await tenant.partition()) == 100
    assert await find_pairs(tenant.db, tenant.workspace_id) >= 100
    await tenant.resolve()
    parts = await tenant.partition()
    assert all(len({number for _, number in part}) == 1 for part in parts)
    assert sum(len(part) == 2 for part in parts) > 140
    confidences = await tenant.rows("SELECT confidence FROM customer_identities WHERE rule = 'probabilistic'")
    assert len(confidences) > 40
    assert all(probabilistic.THRESHOLD <= confidence < 1 for (confidence,) in confidences)
    # Asked again, it finds the same, and nothing has to be looked at anew.
    await find_pairs(tenant.db, tenant.workspace_id)
    assert (await tenant.resolve()).resolved == 0


async def test_too_few_records_are_said_to_be(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", name="Ann Smith")
    await tenant.resolve()
    with pytest.raises(ProbabilisticError, match="too few records"):
        await find_pairs(tenant.db, tenant.workspace_id)


async def test_without_splink_it_says_what_to_install(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without_splink(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "splink":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_splink)
    with pytest.raises(ProbabilisticError, match=r"pip install 'unified-assets\[probabilistic\]'"):
        await find_pairs(tenant.db, tenant.workspace_id)
