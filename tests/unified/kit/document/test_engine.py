"""A document beside the adapter in Python of one system: it does what adapters must, and its records are equal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from tests.adapters.chargebee.test_conformance import ChargebeeBench
from unified.conformance.bench import Copy
from unified.conformance.suite import conformance
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import read
from unified.kit.registry import Installed, set_installed

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).with_name("chargebee.yaml")
DOCUMENT = read(FILE.read_bytes(), FILE.name)
OF_ITS_CONNECTION = {"source_system", "unified_id", "raw_data"}


class DocumentBench(ChargebeeBench):
    """The same site, read by the document."""

    adapter_class = adapter_class(DOCUMENT)
    edits: ClassVar[dict[str, frozenset[str]]] = {"customers": ChargebeeBench.edits["customers"]}

    @classmethod
    def streams(cls, change: str | None = None) -> list[str]:
        """Customers alone: the three streams run through the same code."""
        return [name for name in super().streams(change) if name == "customers"]


@pytest.fixture(autouse=True)
def _is_installed() -> Iterator[None]:
    set_installed({DOCUMENT.id: Installed(adapter_class(DOCUMENT))})
    yield
    set_installed({})


TestDocument = conformance(DocumentBench)


@pytest.mark.parametrize("stream", ["customers", "invoices", "events"])
async def test_records_equal_those_of_the_adapter_in_python_field_by_field(stream: str) -> None:
    with DocumentBench() as bench:
        copies: list[dict[str, dict[str, Any]]] = []
        for adapter in (ChargebeeBench.adapter_class, bench.adapter_class):
            bench.adapter_class = adapter
            opened = bench.open()
            copy = Copy(stream)
            await bench.sync(copy)
            origin = opened.origin(stream, bench.now(), bench.now())
            made = [
                opened.map_record(stream, msgspec.json.encode(raw), origin) for raw in copy.records.values()
            ]
            copies.append({one.source_id: one.model_dump(exclude=OF_ITS_CONNECTION) for one in made})
    assert copies[0].keys() == bench.ids(stream)
    assert copies[0] == copies[1]
