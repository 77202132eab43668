"""An asset derived from others, as a user would write one: frames come in, a frame goes out."""

from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from unified_assets.observing.columns import lineage
from unified_assets.observing.reports import bar_chart
from unified_assets.partitions import connections_of, on_new_data

INVOICES = dg.AssetKey(["stripe", "invoices"])

# Every run of every source loads this module, and importing pandas takes as long as importing half of Dagster. An
# asset of your own, in a code location of its own, need not care: `import pandas as pd`.
if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = Any


@dg.asset(
    key=["stripe", "monthly_revenue"],
    ins={"invoices": dg.AssetIn(INVOICES)},
    io_manager_key="tables",
    partitions_def=connections_of("stripe"),
    group_name="stripe",
    kinds={"pandas", "postgres"},
    automation_condition=on_new_data() & dg.AutomationCondition.all_deps_blocking_checks_passed(),
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(
                    "month", "text", "Month of payment, in UTC; of issue where no payment is known."
                ),
                dg.TableColumn("currency", "text", "ISO 4217 code of the amounts."),
                dg.TableColumn("invoices", "bigint", "How many were paid."),
                dg.TableColumn("revenue", "numeric", "The sum of their totals, exact."),
            ]
        ),
        **lineage(
            {
                "month": [(INVOICES, name) for name in ("paid_date", "issue_date", "created_at")],
                "currency": [(INVOICES, "currency")],
                "invoices": [(INVOICES, "source_id")],
                "revenue": [(INVOICES, "total")],
            }
        ),
    },
)
def monthly_revenue(context: dg.AssetExecutionContext, invoices: DataFrame) -> DataFrame:
    """Paid invoices by month of payment (UTC) and currency: how many, and their totals, to the cent."""
    paid = invoices[invoices["status"] == "paid"]
    paid_at = paid["paid_date"].fillna(paid["issue_date"]).fillna(paid["created_at"])
    revenue = (
        paid.assign(month=paid_at.dt.strftime("%Y-%m"))
        .groupby(["month", "currency"], as_index=False, dropna=False)
        .agg(invoices=("source_id", "size"), revenue=("total", "sum"))
    )
    first_days = revenue.assign(day=[date.fromisoformat(f"{month}-01") for month in revenue["month"]])
    panels = {
        f"{currency} a month": dict(zip(rows["day"], rows["revenue"].astype(float), strict=True))
        for currency, rows in first_days.groupby("currency")
    }
    context.add_output_metadata({"revenue": bar_chart(panels, days_a_bar=30)})
    return revenue
