"""`python -m unified.sandbox`: the stand-ins in a process of their own, for benchmarks and for development."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

import uvicorn

from unified.sandbox.chargebee import ChargebeeSandbox
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.jira import JiraSandbox
from unified.sandbox.quickbooks import QuickBooksSandbox
from unified.sandbox.salesforce import SalesforceSandbox
from unified.sandbox.server import sandbox_app
from unified.sandbox.slack import SlackSandbox
from unified.sandbox.stripe import StripeSandbox
from unified.sandbox.tables.api import RequestLimit, TableSandbox
from unified.sandbox.xero import XeroSandbox

if TYPE_CHECKING:
    from unified.sandbox.provider import Provider

# The stand-ins that are declared: what they allow, and by the word of its option the table whose records are counted.
_DECLARED: tuple[tuple[type[TableSandbox], RequestLimit, dict[str, tuple[str, int]]], ...] = (
    # https://apidocs.chargebee.com/docs/api/error-handling: a test site's requests a minute.
    (
        ChargebeeSandbox, RequestLimit(150, 60),
        {"customers": ("customers", 1000), "invoices": ("invoices", 1000)},
    ),
    # https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta/: a day's requests.
    (
        SalesforceSandbox, RequestLimit(100_000, 86_400),
        {"accounts": ("Account", 1000), "contacts": ("Contact", 2000), "invoices": ("Invoice", 1000)},
    ),
    # A company's requests a minute, for each app.
    (
        QuickBooksSandbox, RequestLimit(500, 60),
        {"customers": ("Customer", 1000), "invoices": ("Invoice", 1000)},
    ),
    # https://developer.atlassian.com/cloud/jira/platform/rate-limiting: an endpoint's burst.
    (
        JiraSandbox, RequestLimit(100, 1),
        {"issues": ("issues", 1000), "people": ("people", 500), "organizations": ("organizations", 50)},
    ),
    # https://developer.xero.com/documentation/guides/oauth2/limits: an organisation's requests a minute.
    (
        XeroSandbox, RequestLimit(60, 60),
        {"contacts": ("Contacts", 1000), "invoices": ("Invoices", 1000)},
    ),
    # https://docs.slack.dev/apis/web-api/rate-limits: tier 2 for a method; the other tiers in their proportion.
    (
        SlackSandbox, RequestLimit(20, 60),
        {"users": ("users", 1000), "messages": ("messages", 1000)},
    ),
)  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m unified.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8700)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stripe-customers", type=int, default=2000)
    parser.add_argument("--stripe-invoices", type=int, default=2000)
    parser.add_argument("--hubspot-contacts", type=int, default=2000)
    parser.add_argument("--hubspot-companies", type=int, default=500)
    parser.add_argument("--hubspot-invoices", type=int, default=1000)
    for kind, _, counts in _DECLARED:
        for word, (_, count) in counts.items():
            parser.add_argument(f"--{kind.name}-{word}", type=int, default=count)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--no-limits", action="store_true", help="serve without rate limits")
    options = parser.parse_args(arguments)
    stripe = StripeSandbox(options.stripe_customers, options.stripe_invoices, seed=options.seed)
    hubspot = HubSpotSandbox(
        options.hubspot_contacts, options.hubspot_companies, options.hubspot_invoices, seed=options.seed
    )
    providers: list[Provider[Any]] = [stripe, hubspot]
    providers += [
        kind(
            seed=options.seed,
            limit=limit,
            **{table: getattr(options, f"{kind.name}_{word}") for word, (table, _) in counts.items()},
        )
        for kind, limit, counts in _DECLARED
    ]
    for provider in providers:
        provider.latency_ms = options.latency_ms
        if options.no_limits:
            provider.set_limits(None)
    base = f"http://127.0.0.1:{options.port}"
    served = ", ".join(f"{base}/{provider.name}" for provider in providers)
    sys.stdout.write(f"{served}; control at {base}/_sandbox; Ctrl-C stops\n")
    sys.stdout.flush()
    uvicorn.run(
        sandbox_app(*providers),
        port=options.port,
        log_level="warning",
        access_log=False,
        date_header=False,
        server_header=False,
        lifespan="off",
    )


if __name__ == "__main__":
    main()
