"""The mappings that are written in Python, expressed as rules: the records of both are equal, field by field."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from unified.kit.decoding import decode_exactly, decode_record


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """The benchmark's own rules, readers and mappings."""
    path = Path(__file__).parents[4] / "benchmarks" / "rules.py"
    spec = importlib.util.spec_from_file_location("benchmarks_rules", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_rules_make_the_records_that_python_makes(benchmark: ModuleType) -> None:
    compared = benchmark.records(60)
    assert list(compared) == [
        ("stripe", "customers"), ("stripe", "invoices"), ("stripe", "events"),
        ("hubspot", "customers"), ("hubspot", "invoices"),
    ]  # fmt: skip
    for (connector, stream), bodies in compared.items():
        assert bodies, (connector, stream)
        by_hand, by_rules, origin = benchmark.mappings(connector, stream)
        for body in bodies:
            expected, found = by_hand(decode_record(body), origin), by_rules(decode_exactly(body), origin)
            # One field at a time, so that a difference shows. The raw records differ in their numbers alone.
            for name, value in expected:
                if name != "raw_data":
                    assert (name, getattr(found, name)) == (name, value)
    lines = [len(by_hand(decode_record(body), origin).line_items) for body in compared["hubspot", "invoices"]]
    assert sum(lines) > 60
