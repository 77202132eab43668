"""The adapter's requests, held against Stripe's OpenAPI file."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from adapters.stripe.adapter import API_VERSION
from tests.exchanges import Exchanges

if TYPE_CHECKING:
    from tests.adapters.stripe.conftest import Stripe

SPEC = Path(__file__).parents[4] / "shared" / "data" / "stripe" / "spec3.2024-06-20.json"


@pytest.fixture
def parameters() -> dict[re.Pattern[str], set[str]]:
    """Which query parameters a path takes, by a pattern for the path."""
    if not SPEC.is_file():
        pytest.skip("Stripe's OpenAPI file (../shared/data) is not here")
    paths = json.loads(SPEC.read_text())["paths"]
    return {
        re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)): {
            parameter["name"] for parameter in operations["get"]["parameters"] if parameter["in"] == "query"
        }
        for path, operations in paths.items()
        if "get" in operations
    }


async def sent_by_all_that_it_reads(stripe: "Stripe", *further: str) -> list[httpx.Request]:
    invoice = stripe.change("create_invoice", lines=130)["id"]
    async with stripe.adapter() as adapter:
        exchanges = Exchanges(adapter.http)
        await adapter.test()
        for stream in ("customers", "invoices", "events", *further):
            cursor = None
            for _ in range(2):
                async for page in adapter.pull(stream, cursor):
                    cursor = page.cursor
                stripe.change("update_customer", next(iter(stripe.oracle("customers"))), name="Changed")
                stripe.change("create_customer", name="New")
                stripe.change("update_invoice", invoice, description="Changed")
                if stream in stripe.data.objects:
                    stripe.change("update_object", stream, min(stripe.ids(stream)), metadata={})
        async for _ in adapter.fetch("invoices", [invoice]):
            pass
    return [answer.request for answer in exchanges.answers]


async def test_every_request_is_one_that_stripe_documents(
    stripe: "Stripe", parameters: "dict[re.Pattern[str], set[str]]"
) -> None:
    requests = await sent_by_all_that_it_reads(stripe, *stripe.data.objects)
    used = set()
    for request in requests:
        assert request.method == "GET"
        path = request.url.path.removeprefix("/stripe")
        pattern = next((pattern for pattern in parameters if pattern.fullmatch(path)), None)
        assert pattern is not None, f"{path} is not documented"
        names = {re.sub(r"\[.*\]$", "", name) for name in request.url.params}
        assert names <= parameters[pattern], f"{path} does not take {names - parameters[pattern]}"
        assert not {"type", "types"} <= names
        assert 1 <= int(request.url.params.get("limit", 1)) <= 100
        assert set(re.findall(r"\[(\w+)\]", " ".join(request.url.params))) <= {"gte", "lt"}
        used |= {(pattern.pattern, name) for name in names}
    # The test would prove little if it did not come by every way of reading.
    assert {name for _, name in used} >= {"limit", "created", "starting_after", "type", "types"}
    assert len({pattern for pattern, _ in used}) >= 4


async def test_every_request_pins_the_api_version(stripe: "Stripe") -> None:
    for request in await sent_by_all_that_it_reads(stripe):
        assert request.headers["stripe-version"] == API_VERSION
        assert request.headers["authorization"].startswith("Bearer ")
