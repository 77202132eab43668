"""`python -m unified.sandbox`: the stand-ins in a process of their own, for benchmarks and for development."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from unified.sandbox.chargebee import ChargebeeSandbox
from unified.sandbox.hubspot import HubSpotSandbox
from unified.sandbox.quickbooks import QuickBooksSandbox
from unified.sandbox.salesforce import SalesforceSandbox
from unified.sandbox.server import sandbox_app
from unified.sandbox.stripe import StripeSandbox
from unified.sandbox.tables.api import RequestLimit
from unified.sandbox.xero import XeroSandbox


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
    parser.add_argument("--chargebee-customers", type=int, default=1000)
    parser.add_argument("--chargebee-invoices", type=int, default=1000)
    parser.add_argument("--salesforce-accounts", type=int, default=1000)
    parser.add_argument("--salesforce-contacts", type=int, default=2000)
    parser.add_argument("--salesforce-invoices", type=int, default=1000)
    parser.add_argument("--quickbooks-customers", type=int, default=1000)
    parser.add_argument("--quickbooks-invoices", type=int, default=1000)
    parser.add_argument("--xero-contacts", type=int, default=1000)
    parser.add_argument("--xero-invoices", type=int, default=1000)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--no-limits", action="store_true", help="serve without rate limits")
    options = parser.parse_args(arguments)
    stripe = StripeSandbox(options.stripe_customers, options.stripe_invoices, seed=options.seed)
    hubspot = HubSpotSandbox(
        options.hubspot_contacts, options.hubspot_companies, options.hubspot_invoices, seed=options.seed
    )
    chargebee = ChargebeeSandbox(
        seed=options.seed,
        # https://apidocs.chargebee.com/docs/api/error-handling: a test site's requests a minute.
        limit=RequestLimit(150, 60),
        customers=options.chargebee_customers,
        invoices=options.chargebee_invoices,
    )
    salesforce = SalesforceSandbox(
        seed=options.seed,
        # https://developer.salesforce.com/docs/atlas.en-us.salesforce_app_limits_cheatsheet.meta/: a day's requests.
        limit=RequestLimit(100_000, 86_400),
        Account=options.salesforce_accounts,
        Contact=options.salesforce_contacts,
        Invoice=options.salesforce_invoices,
    )
    quickbooks = QuickBooksSandbox(
        seed=options.seed,
        # A company's requests a minute, for each app.
        limit=RequestLimit(500, 60),
        Customer=options.quickbooks_customers,
        Invoice=options.quickbooks_invoices,
    )
    xero = XeroSandbox(
        seed=options.seed,
        # https://developer.xero.com/documentation/guides/oauth2/limits: an organisation's requests a minute.
        limit=RequestLimit(60, 60),
        Contacts=options.xero_contacts,
        Invoices=options.xero_invoices,
    )
    providers = (stripe, hubspot, chargebee, salesforce, quickbooks, xero)
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
