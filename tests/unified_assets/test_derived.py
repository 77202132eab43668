"""The derived example: right to the cent, a row's month by the source's own clock, run when its input is good."""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import dagster as dg

from adapters.stripe.money import MINOR_UNITS
from tests.unified_assets.conftest import STRIPE_KEY, Installation, metadata
from unified.schema.money import exponent

REVENUE = dg.AssetKey(["stripe", "monthly_revenue"])


def test_monthly_revenue_is_empty_of_nothing_and_then_right_to_the_cent(installation: Installation) -> None:
    expected: dict[tuple[str, str], tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for invoice in installation.sandbox.stripe.account(STRIPE_KEY).all_invoices():
        if invoice["status"] == "paid":
            currency = invoice["currency"].upper()
            amount = Decimal(invoice["total"]).scaleb(-MINOR_UNITS.get(currency, exponent(currency)))
            month = f"{datetime.fromtimestamp(invoice['status_transitions']['paid_at'], UTC):%Y-%m}"
            count, total = expected[month, currency]
            expected[month, currency] = count + 1, total + amount
    assert len({currency for _, currency in expected}) > 3

    installation.add("acme/stripe", "stripe")
    assert installation.materialize("acme/stripe", "stripe/monthly_revenue").success
    assert installation.execute("SELECT * FROM derived_stripe__monthly_revenue") == []
    installation.load("acme/stripe")
    result = installation.materialize("acme/stripe", "stripe/monthly_revenue")
    assert result.success
    rows = installation.execute(
        "SELECT month, currency, invoices, revenue FROM derived_stripe__monthly_revenue"
    )
    assert {(month, currency): (count, total) for month, currency, count, total in rows} == dict(expected)

    shown = metadata(result, "stripe/monthly_revenue")
    assert shown["dagster/row_count"] == len(expected)
    assert "EUR a month" in shown["revenue"]
    assert "](data:image/png;base64,iVBORw0KGgo" in shown["revenue"]


def requested(installation: Installation, cursor: Any = None) -> Any:
    """What the automation asks for since a former answer."""
    return dg.evaluate_automation_conditions(
        installation.defs,
        installation.instance,
        asset_selection=dg.AssetSelection.assets(REVENUE),
        cursor=cursor,
    )


def change(installation: Installation, secret: str) -> None:
    """Have an account say something new of one of its invoices."""
    account = installation.sandbox.stripe.account(secret)
    account.update_invoice(next(account.all_invoices())["id"], metadata={"note": uuid4().hex})


def test_it_does_not_follow_a_sync_that_changed_nothing(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    assert installation.sync("acme/stripe").success
    first = requested(installation)
    assert installation.sync("acme/stripe").success
    assert installation.sync("acme/stripe", full=True).success
    second = requested(installation, first.cursor)
    assert second.total_requested == 0
    # However a record is changed: this one by nobody that Dagster knows of.
    installation.execute("UPDATE unified_invoices SET total = total WHERE status = 'paid'")
    assert installation.sync("acme/stripe").success
    assert requested(installation, second.cursor).get_requested_partitions(REVENUE) == {"acme/stripe"}


def test_it_follows_invoices_whose_checks_passed(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.add("globex/stripe", "stripe", secret="sk_test_fake_globex")
    assert installation.sync("acme/stripe").success
    assert installation.sync("globex/stripe").success
    first = requested(installation)
    for secret in (STRIPE_KEY, "sk_test_fake_globex"):
        change(installation, secret)
    assert installation.sync("globex/stripe").success
    assert installation.sync("acme/stripe").success
    good = requested(installation, first.cursor)
    assert good.get_requested_partitions(REVENUE) == {"acme/stripe", "globex/stripe"}

    installation.execute(
        "UPDATE unified_invoices SET total = total + 0.01 WHERE total > 0"
        " AND workspace_id = (SELECT id FROM workspaces WHERE slug = 'acme')"
    )
    assert not installation.sync("acme/stripe", full=True).success
    bad = requested(installation, first.cursor)
    assert bad.get_requested_partitions(REVENUE) == {"globex/stripe"}
