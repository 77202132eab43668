"""Frames in, frames out: exact values, one workspace at a time."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from resources.store import DatabaseResource
from resources.tables import TablesIOManager
from tests.unified_assets.conftest import STRIPE_KEY, Installation, failures, metadata
from unified_assets.partitions import connections_of

CONNECTIONS = connections_of("stripe")


def taken(installation: Installation, key: str, source: str) -> pd.DataFrame:
    """The frame that a user's asset gets for ``stripe/customers``."""
    frames = []

    @dg.asset(ins={"frame": dg.AssetIn(source.split("/"))}, partitions_def=CONNECTIONS)
    def mine(frame: pd.DataFrame) -> None:
        frames.append(frame)

    result = installation.materialize(key, mine)
    assert result.success, failures(result)
    return frames[0]


def stored(
    installation: Installation, key: str, frame: pd.DataFrame, name: str = "mine"
) -> dg.ExecuteInProcessResult:
    """Store a frame as a user's asset."""

    @dg.asset(name=name, partitions_def=CONNECTIONS, io_manager_key="tables")
    def mine() -> pd.DataFrame:
        return frame

    return installation.materialize(key, mine)


def read_back(installation: Installation, key: str, name: str = "mine") -> pd.DataFrame:
    """A stored frame, as a downstream asset gets it."""
    frames = []

    @dg.asset(name=name, partitions_def=CONNECTIONS, io_manager_key="tables")
    def mine() -> pd.DataFrame:
        return pd.DataFrame()

    @dg.asset(ins={"frame": dg.AssetIn(name)}, partitions_def=CONNECTIONS)
    def downstream(frame: pd.DataFrame) -> None:
        frames.append(frame)

    result = dg.materialize(
        [mine, downstream], selection=[downstream], partition_key=key, instance=installation.instance,
        resources=installation.defs.resources,
    )  # fmt: skip
    assert result.success
    return frames[0]


def test_a_unified_table_is_a_frame_with_exact_values(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    assert taken(installation, "acme/stripe", "stripe/invoices").empty
    installation.load("acme/stripe")
    frame = taken(installation, "acme/stripe", "stripe/invoices")
    account = installation.sandbox.stripe.account(STRIPE_KEY)
    assert len(frame) == account.source_counts()["invoices"]
    euros = frame[frame["currency"] == "EUR"]
    assert all(isinstance(total, Decimal) for total in euros["total"])
    assert sum(euros["total"]) == Decimal(account.source_totals()["eur"]["total"]) / 100
    assert str(frame["issue_date"].dtype) == "datetime64[us, UTC]"
    assert str(frame["livemode"].dtype) == "boolean"
    assert 0 < frame["paid_date"].isna().sum() < len(frame)
    assert frame["memo"].isna().any()
    assert isinstance(frame["line_items"].iloc[0], list)
    assert "raw_data" not in frame


def test_an_empty_table_has_the_same_columns_and_types(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    empty = taken(installation, "acme/stripe", "stripe/customers")
    installation.load("acme/stripe")
    pd.testing.assert_series_equal(
        empty.dtypes, taken(installation, "acme/stripe", "stripe/customers").dtypes
    )


def test_deleted_records_are_left_out(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.load("acme/stripe")
    before = taken(installation, "acme/stripe", "stripe/customers")
    installation.execute(
        "UPDATE unified_customers SET deleted_at = now() WHERE source_id = %s", before["source_id"][0]
    )
    assert len(taken(installation, "acme/stripe", "stripe/customers")) == len(before) - 1


def test_raw_records_come_when_asked_for(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.load("acme/stripe")
    tables = TablesIOManager(database=DatabaseResource(), with_raw_data=True)
    resources = {**(installation.defs.resources or {}), "tables": tables}
    installation.defs = dg.Definitions(assets=installation.defs.assets, resources=resources)
    frame = taken(installation, "acme/stripe", "stripe/customers")
    assert frame["raw_data"].iloc[0]["id"] == frame["source_id"].iloc[0]


def test_a_frame_never_holds_another_workspaces_rows(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    installation.add("globex/stripe", "stripe", secret="sk_test_fake_globex")
    installation.load("acme/stripe", "globex/stripe")
    acme = taken(installation, "acme/stripe", "stripe/customers")
    globex = taken(installation, "globex/stripe", "stripe/customers")
    assert len(acme)
    assert len(globex)
    assert not set(acme["unified_id"]) & set(globex["unified_id"])


def _all_partitions(installation: Installation) -> tuple[dg.ExecuteInProcessResult, list[pd.DataFrame]]:
    frames = []

    @dg.asset(ins={"frame": dg.AssetIn(["stripe", "customers"])})
    def everything(frame: pd.DataFrame) -> None:
        frames.append(frame)

    (customers,) = [
        each for each in installation.defs.assets or ()
        if isinstance(each, dg.AssetsDefinition) and each.key.path == ["stripe", "customers"]
    ]  # fmt: skip
    result = dg.materialize(
        [customers, everything], selection=[everything], instance=installation.instance,
        resources=installation.defs.resources, raise_on_error=False,
    )  # fmt: skip
    return result, frames


def test_partitions_of_one_workspace_become_one_frame_but_not_those_of_several(
    installation: Installation,
) -> None:
    installation.add("acme/us", "stripe")
    installation.add("acme/eu", "stripe", secret="sk_test_fake_globex")
    installation.load("acme/us", "acme/eu")
    live = "SELECT count(*) FROM unified_customers WHERE deleted_at IS NULL"
    result, (frame,) = _all_partitions(installation)
    assert result.success
    assert [len(frame)] == [count for (count,) in installation.execute(live)]

    installation.add("globex/stripe", "stripe")
    result, frames = _all_partitions(installation)
    assert not frames
    (error,) = failures(result).values()
    assert "one workspace at a time, not for acme and globex" in error


FRAME = pd.DataFrame(
    {
        "text": pd.Series(["a", None], dtype=object),
        "count": pd.array([1, None], dtype="Int64"),
        "ratio": [0.5, None],
        "exact": [Decimal("0.10"), None],
        "flag": pd.array([True, None], dtype="boolean"),
        "at": pd.array([datetime(2026, 1, 2, 3, 4, 5, 6, UTC), None], dtype="datetime64[us, UTC]"),
        "day": [date(2026, 1, 2), None],
        "nested": [{"a": [1]}, None],
        "nothing": [None, None],
    }
)


def test_what_is_stored_comes_back(installation: Installation) -> None:
    installation.add("acme/stripe", "stripe")
    result = stored(installation, "acme/stripe", FRAME)
    assert metadata(result, "mine")["dagster/row_count"] == 2
    frame = read_back(installation, "acme/stripe")
    pd.testing.assert_frame_equal(frame, FRAME, check_dtype=False)
    assert frame["exact"][0] == Decimal("0.10")
    assert str(frame["at"].dtype) == "datetime64[us, UTC]"
    assert str(frame["count"].dtype) == "Int64"


def test_what_is_stored_is_replaced_partition_by_partition(installation: Installation) -> None:
    installation.add("acme/us", "stripe")
    installation.add("acme/eu", "stripe")
    for key, number in [("acme/us", 1), ("acme/eu", 2), ("acme/us", 3)]:
        assert stored(installation, key, pd.DataFrame({"number": [number]})).success
    assert list(read_back(installation, "acme/us")["number"]) == [3]
    assert list(read_back(installation, "acme/eu")["number"]) == [2]


def test_a_users_own_asset_takes_a_unified_table_and_stores_what_it_makes(installation: Installation) -> None:
    @dg.asset(
        ins={"customers": dg.AssetIn(["stripe", "customers"])},
        partitions_def=CONNECTIONS,
        io_manager_key="tables",
    )
    def by_country(customers: pd.DataFrame) -> pd.DataFrame:
        country = customers["billing_address"].map(lambda address: (address or {}).get("country"))
        return customers.assign(country=country).groupby("country", as_index=False).size()

    installation.add("acme/stripe", "stripe")
    installation.load("acme/stripe")
    assert installation.materialize("acme/stripe", by_country).success
    ((total,),) = installation.execute("SELECT sum(size) FROM derived_by_country")
    expected = "SELECT count(*) FROM unified_customers WHERE billing_address ->> 'country' IS NOT NULL"
    assert [(total,)] == installation.execute(expected)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({"not": "a frame"}, "must return a pandas DataFrame, not dict"),
        (pd.DataFrame({"workspace_id": [1]}), "a derived table has its own workspace_id"),
        (pd.DataFrame({"mixed": [1, "a"]}), "column mixed mixes bigint and text"),
        (pd.DataFrame({"odd": [object()]}), "column odd holds object objects"),
    ],
)
def test_what_can_not_be_stored_is_refused(installation: Installation, value: Any, complaint: str) -> None:
    @dg.asset(partitions_def=CONNECTIONS, io_manager_key="tables")
    def mine() -> Any:
        return value

    installation.add("acme/stripe", "stripe")
    (error,) = failures(installation.materialize("acme/stripe", mine)).values()
    assert complaint in error


def test_an_asset_without_partitions_is_refused(installation: Installation) -> None:
    @dg.asset(io_manager_key="tables")
    def mine() -> pd.DataFrame:
        return FRAME

    resources = installation.defs.resources
    result = dg.materialize([mine], instance=installation.instance, resources=resources, raise_on_error=False)
    (error,) = failures(result).values()
    assert "mine needs partitions_def=connections_of(…)" in error
