"""An asset derived from others, as a user would write one: frames come in, a frame goes out."""

import dagster as dg
import pandas as pd

from unified_assets.partitions import connections_of
from unified_assets.reports import bar_chart


@dg.asset(
    key=["stripe", "monthly_revenue"],
    ins={"invoices": dg.AssetIn(["stripe", "invoices"])},
    io_manager_key="tables",
    partitions_def=connections_of("stripe"),
    group_name="stripe",
    kinds={"pandas", "postgres"},
    automation_condition=dg.AutomationCondition.eager(),
)
def monthly_revenue(context: dg.AssetExecutionContext, invoices: pd.DataFrame) -> pd.DataFrame:
    """Paid invoices by month and currency: how many, and how much money, to the cent."""
    paid = invoices[(invoices["status"] == "paid") & invoices["deleted_at"].isna()]
    month = paid["paid_date"].fillna(paid["issue_date"]).dt.strftime("%Y-%m")
    revenue = (
        paid.assign(month=month)
        .groupby(["month", "currency"], as_index=False)
        .agg(invoices=("source_id", "size"), revenue=("total", "sum"))
    )
    for currency, rows in revenue.groupby("currency"):
        chart = bar_chart(dict(zip(rows["month"], rows["revenue"].astype(float), strict=True)), f"{currency} a month")
        context.add_output_metadata({f"revenue_{currency}": dg.MetadataValue.md(chart)})
    return revenue
