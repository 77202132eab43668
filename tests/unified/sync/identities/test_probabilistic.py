"""Quality on labelled records, and the statistical model beside the rules."""

import builtins
import importlib.util
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unified.sync.identities.tenant import Tenant
from unified.schema import UnifiedAddress
from unified.store.identities.settings import IdentitySettings
from unified.sync.identities import probabilistic
from unified.sync.identities.probabilistic import COLUMNS, ProbabilisticError, find_pairs

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

    customers = []
    for number in range(150):
        first, last, street = word(), word(), word()
        address = UnifiedAddress(line1=f"{number} {street} road", postal_code=f"AB{number:03d}", city=word())
        misspelt = last[:4] + "x" + last[5:]
        name = misspelt if number % 3 == 0 else last
        customers += [
            tenant.customer("stripe", str(number), name=f"{first} {last}", billing_address=address),
            tenant.customer("hubspot", str(number), name=f"{first} {name}", billing_address=address),
        ]
    await tenant.put(*customers)
    await tenant.resolve()
    assert sum(len(part) == 2 for part in await tenant.partition()) == 100
    found = await find_pairs(tenant.db, tenant.workspace_id)
    assert len(found.pairs) >= 100
    assert found.skipped == []
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


def people(**more: Callable[[int], str | None]) -> dict[str, list[str | None]]:
    """150 persons, each twice, every third with another spelling; columns besides as given, by the record's number."""
    chance = random.Random(5)  # noqa: S311
    columns: dict[str, list[str | None]] = {name: [] for name in (*COLUMNS, *more)}
    for number in range(300):
        if number % 2 == 0:
            first, last, street, city = ("".join(chance.choices("abcdefghiklmnoprst", k=8)) for _ in range(4))
        elif number % 3 == 0:
            last = last[:4] + "x" + last[5:]
        row = dict.fromkeys(columns) | {
            "unique_id": str(number),
            "name": f"{first} {last}",
            "street": f"{number // 2} {street} road",
            "postal_code": f"AB{number // 2:03d}",
            "city": city,
        }
        for name, value in (row | {name: make(number) for name, make in more.items()}).items():
            columns[name].append(value)
    return columns


@pytest.mark.parametrize(
    ("more", "skipped"),
    [
        ({}, []),
        (
            {
                "email": lambda _: "none@example.com",
                "phone": lambda number: "+491" if number == 7 else None,
                "tax_number": lambda number: f"DE{number:09d}",
                "custom_0": str,
            },
            [
                "email (too many records have the same)",
                "phone (no two records have the same)",
                "tax_number (no two records have the same)",
                "custom_0 (no two records have the same)",
            ],
        ),
    ],
)
def test_what_cannot_train_is_skipped_and_named(
    more: dict[str, Callable[[int], str | None]], skipped: list[str]
) -> None:
    found = probabilistic.predict(people(**more))
    assert len(found.pairs) > 140
    assert all(int(one) // 2 == int(other) // 2 for one, other, _ in found.pairs)
    assert found.skipped == skipped


def test_a_model_that_nothing_can_train_says_what_was_of_no_use() -> None:
    columns = people()
    columns["name"] = [f"x{number}" for number in range(300)]
    columns["street"] = columns["city"] = columns["postal_code"] = [None] * 300
    with pytest.raises(ProbabilisticError, match=r"of no use were name \(no two records have the same\)"):
        probabilistic.predict(columns)


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
