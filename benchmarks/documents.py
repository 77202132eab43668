"""A connector document beside the adapter in Python of the same system: records read and mapped per second of CPU.

    uv run python -m unified.sandbox --port 8799 --no-limits --chargebee-customers 5000 --chargebee-invoices 5000
    uv run --group dev python benchmarks/documents.py http://127.0.0.1:8799/chargebee [--rounds 5]

Both read the same lists of the stand-in, which runs in a process of its own, in turn.

    uv run --group dev python benchmarks/documents.py http://127.0.0.1:8799/stripe --airbyte [--rounds 5]

The same manifest of a list of Stripe's, run by Airbyte's engine, which uv puts into an environment of its own, and by
ours as `unified connectors import airbyte` converts it.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import time
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from adapters.chargebee.adapter import ChargebeeAdapter
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import ConnectionRef
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import read
from unified.kit.importing.airbyte.conversion import convert
from unified.kit.importing.airbyte.manifest import read_manifest
from unified.kit.importing.writing import as_yaml
from unified.kit.secrets import Secret

if TYPE_CHECKING:
    from unified.kit.streams import RawRecord

SCHEMA = {
    "type": "object",
    "properties": {
        name: {"type": ["null", "string"]}
        for name in ("id", "name", "email", "phone", "description", "currency")
    },
}
AIRBYTE = (
    "uv", "run", "--no-project", "--with", "airbyte-cdk==7.39.1", "python", str(Path(__file__).with_name("airbyte.py")),
)  # fmt: skip

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


def manifest(url: str) -> dict[str, Any]:
    """A low-code connector with a list of Stripe's, written for this."""
    return {
        "version": "7.39.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["customers"]},
        "streams": [
            {
                "type": "DeclarativeStream",
                "name": "customers",
                "primary_key": "id",
                "retriever": {
                    "type": "SimpleRetriever",
                    "requester": {
                        "type": "HttpRequester",
                        "url_base": url,
                        "path": "/v1/customers",
                        "authenticator": {
                            "type": "BearerAuthenticator",
                            "api_token": "{{ config['api_key'] }}",
                        },
                        "request_parameters": {"limit": "100"},
                    },
                    "record_selector": {
                        "type": "RecordSelector",
                        "extractor": {"type": "DpathExtractor", "field_path": ["data"]},
                    },
                    "paginator": {
                        "type": "DefaultPaginator",
                        "page_token_option": {
                            "type": "RequestOption",
                            "inject_into": "request_parameter",
                            "field_name": "starting_after",
                        },
                        "pagination_strategy": {
                            "type": "CursorPagination",
                            "cursor_value": "{{ last_record['id'] }}",
                            "stop_condition": "{{ not response['has_more'] }}",
                        },
                    },
                },
                "schema_loader": {"type": "InlineSchemaLoader", "schema": SCHEMA},
            }
        ],
        "spec": {
            "type": "Spec",
            "connection_specification": {
                "type": "object",
                "properties": {"api_key": {"type": "string", "airbyte_secret": True}},
            },
        },
    }


def beside_airbyte(url: str, credential: str, rounds: int) -> None:
    """Print the medians of both engines."""
    made = convert(
        read_manifest(msgspec.json.encode(manifest("https://api.stripe.com")), "manifest"),
        "imported",
        "Imported",
    )
    if made.document is None:
        raise SystemExit(f"not converted: {made.streams}")
    kind = adapter_class(read(as_yaml(made.document, ()).encode(), "imported"))
    rates: dict[str, list[float]] = {"airbyte": [], "read": [], "mapped": []}
    asyncio.run(
        timed(kind, url, "customers", credential)
    )  # what is imported late is not counted of theirs either
    for _ in range(rounds):
        done = subprocess.run(
            [*AIRBYTE, json.dumps(manifest(url)), json.dumps({"api_key": credential}), "customers"],
            capture_output=True,
            text=True,
            check=True,
        )
        theirs = json.loads(done.stdout.splitlines()[-1])
        count, reading, mapping = asyncio.run(timed(kind, url, "customers", credential))
        if theirs["records"] != count:
            raise SystemExit(f"airbyte-cdk read {theirs['records']} records, and the document {count}")
        for name, seconds in (
            ("airbyte", theirs["seconds"]),
            ("read", reading),
            ("mapped", reading + mapping),
        ):
            rates[name].append(count / seconds)
    cdk, ours, whole = (statistics.median(rates[name]) for name in rates)
    print(
        f"{count:,} customers: airbyte-cdk {cdk:,.0f}/s; a document reads {ours:,.0f}/s, {ours / cdk:.1f} times as "
        f"many, and reads and maps {whole:,.0f}/s, {whole / cdk:.1f} times"
    )


def main() -> None:
    """Print medians, stream by stream."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--credential", default="test_fake_acme")
    arguments.add_argument("--airbyte", action="store_true", help="Beside Airbyte's engine.")
    options = arguments.parse_args()
    if options.airbyte:
        beside_airbyte(options.url, "sk_test_fake_acme", options.rounds)
        return
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
