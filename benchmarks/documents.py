"""A connector document beside the adapter in Python of the same system: records read and mapped per second of CPU.

    uv run python -m unified.sandbox --port 8799 --no-limits --chargebee-customers 5000 --chargebee-invoices 5000
    uv run --group dev python benchmarks/documents.py http://127.0.0.1:8799/chargebee [--rounds 5]

Both read the same lists of the stand-in, which runs in a process of its own, in turn.
"""

import argparse
import asyncio
import statistics
import time
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from adapters.chargebee.adapter import ChargebeeAdapter
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import ConnectionRef
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import read
from unified.kit.secrets import Secret

if TYPE_CHECKING:
    from unified.kit.streams import RawRecord

DOCUMENT = Path(__file__).parents[1] / "tests" / "unified" / "kit" / "document" / "chargebee.yaml"


async def timed(
    kind: type[BaseAdapter[Any]], url: str, stream: str, credential: str
) -> tuple[int, float, float]:
    """How many records there are, and the seconds of CPU that reading and mapping them took."""
    settings = {"base_url": url, "allow_private_hosts": True, "requests_per_second": 1e6}
    adapter = kind(
        kind.config_model.model_validate(settings),
        {"api_key": Secret(credential)},
        ConnectionRef(UUID(int=1), UUID(int=2), "acme/main"),
    )
    records: list[RawRecord] = []
    began = time.process_time()
    async with adapter, aclosing(adapter.pull(stream, None)) as pages:
        async for page in pages:
            records += page.records
    reading = time.process_time() - began
    origin = adapter.origin(stream, datetime.now(UTC), datetime.now(UTC))
    began = time.process_time()
    for record in records:
        adapter.map_record(stream, record.body, origin)
    return len(records), reading, time.process_time() - began


def main() -> None:
    """Print medians, stream by stream."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--credential", default="test_fake_acme")
    options = arguments.parse_args()
    kinds = {
        "Python": ChargebeeAdapter,
        "document": adapter_class(read(DOCUMENT.read_bytes(), DOCUMENT.name)),
    }
    for stream in ("customers", "invoices"):
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(options.rounds):
            for name, kind in kinds.items():
                count, reading, mapping = asyncio.run(timed(kind, options.url, stream, options.credential))
                rates[name].append((count / reading, count / mapping))
        for place, what in enumerate(("read", "mapped")):
            coded, said = (statistics.median(one[place] for one in rates[name]) for name in kinds)
            print(
                f"{stream} {what}: Python {coded:,.0f}/s, document {said:,.0f}/s, "
                f"{said / coded:.2f} of Python's"
            )


if __name__ == "__main__":
    main()
