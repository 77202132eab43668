"""Rules beside the mappings that are written in Python: Stripe's and HubSpot's, on the stand-ins' records, in turn.

    uv run --group dev python benchmarks/rules.py

`mappings/*.json` say in rules what `adapters/*/mapping.py` say in Python. The records of both are compared field by
field first. What is timed is the mapping, not the JSON: each record is mapped as soon as it is decoded, as in a sync.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from unified.kit.declarations import ConnectionRef
from unified.kit.decoding import decode_exactly, decode_record
from unified.kit.factory import build_adapter
from unified.kit.mapping.compiled import StreamMapping
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.rules import StreamRules
from unified.kit.secrets import Secret
from unified.kit.streams import Origin
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.server import SandboxServer
from unified.sandbox.stripe import StripeSandbox
from unified.schema.base import UnifiedBase

FOLDER = Path(__file__).parent / "mappings"
REF = ConnectionRef(UUID(int=1), UUID(int=2), "acme/rules")
CREDENTIALS = {"stripe": ("api_key", "sk_test_fake_acme"), "hubspot": ("access_token", "pat-fake-acme")}
EXPRESSIONS = (
    "{{ record.id }}",
    "{{ record.name | default('?') | lower | trim }}",
    "{{ 'person' if record.person else 'company' if record.company else none }}",
    "{{ record.first }} {{ record.last }}",
    "{{ record.total * 100 > 5 and record.tags[0] in ['a', 'b'] }}",
)
SCOPE = {
    "record": {
        "id": 1,
        "name": " Ada ",
        "company": "ACME",
        "first": "Ada",
        "last": "L",
        "total": 7,
        "tags": ["a"],
    }
}

Map = Callable[[Any, Origin], UnifiedBase]


def rules_of(connector: str) -> dict[str, StreamRules]:
    """The rules of each stream that has some."""
    found = msgspec.json.decode((FOLDER / f"{connector}.json").read_bytes())
    return {stream: StreamRules.model_validate(rules) for stream, rules in found.items()}


async def read(connector: str, streams: list[str], url: str) -> dict[str, list[bytes]]:
    """The raw records that the adapter reads of a stand-in."""
    name, secret = CREDENTIALS[connector]
    settings = {"base_url": url, "allow_private_hosts": True, "requests_per_second": 10_000}
    bodies: dict[str, list[bytes]] = {}
    async with build_adapter(connector, settings, {name: Secret(secret)}, REF) as adapter:
        for stream in streams:
            pages = [page async for page in adapter.pull(stream, None)]
            bodies[stream] = [bytes(record.body) for page in pages for record in page.records]
    return bodies


def records(customers: int) -> dict[tuple[str, str], list[bytes]]:
    """Raw records of both stand-ins, by connector and stream."""
    stripe = StripeSandbox(customers=customers, invoices=customers, limits=None)
    hubspot = HubSpotSandbox(customers, customers // 4, customers, limits=None)
    with SandboxServer(stripe=stripe, hubspot=hubspot) as server:
        return {
            (connector, stream): bodies
            for connector in CREDENTIALS
            for stream, bodies in asyncio.run(
                read(connector, list(rules_of(connector)), f"{server.url}/{connector}")
            ).items()
        }


def mappings(connector: str, stream: str) -> tuple[Map, Map, Origin]:
    """The mapping in Python, the one in rules, and an origin for both."""
    adapter = build_adapter(connector, {}, {}, REF)
    declared = adapter.stream(stream)
    now = adapter.clock()
    by_rules = StreamMapping(declared.entity.model, rules_of(connector)[stream])
    return (
        lambda raw, origin: adapter.to_unified(stream, raw, origin),
        by_rules.to_unified,
        adapter.origin(stream, now, now),
    )


def seconds(mapping: Map, decode: Callable[[bytes], Any], bodies: list[bytes], origin: Origin) -> float:
    """CPU seconds for all of some records, without the time that decoding and the clock take."""
    spent = 0
    for body in bodies:
        raw = decode(body)
        started = time.process_time_ns()
        mapping(raw, origin)
        spent += time.process_time_ns() - started
    return spent / 1e9 - len(bodies) * CLOCK


def _clock() -> float:
    """CPU seconds between two looks at the clock."""
    times = [time.process_time_ns() for _ in range(10_001)]
    return statistics.median(after - before for before, after in pairwise(times)) / 1e9


CLOCK = _clock()


def main() -> None:
    """Compare, then time both in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    for (connector, stream), bodies in records(options.customers).items():
        by_hand, by_rules, origin = mappings(connector, stream)
        same = sum(
            by_hand(decode_record(body), origin) == by_rules(decode_exactly(body), origin) for body in bodies
        )
        rounds = [
            (
                seconds(by_hand, decode_record, bodies, origin),
                seconds(by_rules, decode_exactly, bodies, origin),
            )
            for _ in range(options.rounds)
        ]
        hand, rules = (statistics.median(times) / len(bodies) * 1e6 for times in zip(*rounds, strict=True))
        ratio = statistics.median(rules / hand for hand, rules in rounds)
        print(
            f"{connector} {stream}: {len(bodies)} records, {same} equal, "
            f"Python {hand:.1f} µs, rules {rules:.1f} µs, ratio {ratio:.2f}"
        )
    for source in EXPRESSIONS:
        evaluate = compile_template(source, ("record",))
        started = time.process_time()
        for _ in range(50_000):
            evaluate(SCOPE)
        print(f"{source}: {(time.process_time() - started) * 20:.2f} µs")


if __name__ == "__main__":
    main()
