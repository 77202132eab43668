"""This project's own assets. Inputs are tables by their name in Dagster; what an asset returns becomes a table."""

import dagster as dg
import pandas as pd

from unified_assets.partitions import connections_of


@dg.asset(
    ins={"invoices": dg.AssetIn(["stripe", "invoices"])},
    partitions_def=connections_of("stripe"),
    io_manager_key="tables",
    automation_condition=dg.AutomationCondition.eager(),
    group_name="own",
    kinds={"pandas", "postgres"},
)
def revenue_by_customer(invoices: pd.DataFrame) -> pd.DataFrame:
    """What each customer has paid, by currency, to the cent. Table `derived_revenue_by_customer`."""
    paid = invoices[invoices["status"] == "paid"]
    revenue = paid.groupby(["customer_id", "currency"], as_index=False, dropna=False).agg(
        invoices=("source_id", "size"), revenue=("total", "sum")
    )
    return revenue.sort_values("revenue", ascending=False)
