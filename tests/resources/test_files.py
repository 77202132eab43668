"""Files in, files out: what is in the tables as Parquet, and frames of a user's own, exact."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from resources.files import FilesIOManager
from tests.unified_assets.conftest import STRIPE_KEY, Installation, failures, metadata
from unified.sync.exports.errors import ExportError
from unified.sync.exports.progress import FOLDER
from unified_assets.definitions import build_definitions
from unified_assets.exports import export_asset
from unified_assets.partitions import WORKSPACES


def materialize(
    installation: Installation, folder: Path, *assets: dg.AssetsDefinition | dg.AssetSpec
) -> dg.ExecuteInProcessResult:
    installation.instance.add_dynamic_partitions(str(WORKSPACES.name), ["acme"])
    resources = {**(installation.defs.resources or {}), "files": FilesIOManager(folder=str(folder))}
    return dg.materialize(
        assets,
        partition_key="acme",
        instance=installation.instance,
        resources=resources,
        raise_on_error=False,
    )


def test_tables_become_files_and_files_become_frames(installation: Installation, tmp_path: Path) -> None:
    installation.add("acme/stripe", "stripe")
    installation.load("acme/stripe")
    taken: list[Any] = []

    @dg.asset(
        ins={"invoices": dg.AssetIn(["files", "invoices"])}, io_manager_key="files", partitions_def=WORKSPACES
    )
    def by_currency(invoices: pd.DataFrame) -> pd.DataFrame:
        taken.append(invoices)
        return invoices.groupby("currency", as_index=False).agg(total=("total", "sum"))

    @dg.asset(ins={"by_currency": dg.AssetIn()}, partitions_def=WORKSPACES)
    def read(by_currency: pa.Table) -> None:
        taken.append(by_currency)

    result = materialize(installation, tmp_path, export_asset("invoices"), by_currency, read)
    assert result.success, failures(result)
    account = installation.sandbox.stripe.account(STRIPE_KEY)
    file = tmp_path / "files" / "invoices" / "acme.parquet"
    told = metadata(result, "files/invoices")
    assert (told["path"], told["dagster/row_count"]) == (str(file), account.source_counts()["invoices"])
    assert told["bytes"] == file.stat().st_size
    frame, table = taken
    assert all(isinstance(total, Decimal) for total in frame["total"])
    assert (str(frame["issue_date"].dtype), str(frame["livemode"].dtype)) == (
        "datetime64[us, UTC]",
        "boolean",
    )
    euros = {row["currency"]: row["total"] for row in table.to_pylist()}["EUR"]
    assert euros == Decimal(account.source_totals()["eur"]["total"]) / 100
    # DuckDB reads the files as they are.
    asked = f"SELECT sum(total), typeof(any_value(total)) FROM '{file}' WHERE currency = 'EUR'"  # noqa: S608
    assert duckdb.sql(asked).fetchall() == [(euros, "DECIMAL(38,9)")]
    assert sorted(path.name for path in file.parent.iterdir()) == [FOLDER, "acme.parquet"]


def test_what_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    files = FilesIOManager(folder=str(tmp_path / "lake"))
    for key, partition in ((["a", ".."], "x"), (["a"], "../../x"), (["a"], "/etc/x"), ([".."], None)):
        with pytest.raises(dg.DagsterInvariantViolationError, match="leads out of the folder"):
            files.path(dg.AssetKey(key), partition)
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "link").symlink_to(tmp_path)
    with pytest.raises(dg.DagsterInvariantViolationError, match="leads out of the folder"):
        files.path(dg.AssetKey("link"), "x")
    assert (
        files.path(dg.AssetKey(["a", "b"]), "acme/main")
        == tmp_path / "lake" / "a" / "b" / "acme" / "main.parquet"
    )


def test_what_is_no_frame_and_what_is_not_there_say_so(installation: Installation, tmp_path: Path) -> None:
    @dg.asset(io_manager_key="files", partitions_def=WORKSPACES)
    def number() -> int:
        return 1

    gone = dg.AssetSpec(["files", "gone"], partitions_def=WORKSPACES).with_io_manager_key("files")

    @dg.asset(ins={"gone": dg.AssetIn(["files", "gone"])}, partitions_def=WORKSPACES)
    def reader(gone: pd.DataFrame) -> None:
        """Never gets there."""

    assert "must return a pandas DataFrame, a pyarrow Table or a RecordBatchReader, not int" in str(
        failures(materialize(installation, tmp_path, number))
    )
    assert "gone/acme.parquet yet; materialize files/gone first" in str(
        failures(materialize(installation, tmp_path, gone, reader))
    )


def test_an_export_is_asked_for_by_a_name_that_there_is() -> None:
    with pytest.raises(ExportError, match="there is no stream 'invoces' to export"):
        export_asset("invoces")
    own = [export_asset(name) for name in ("invoices", "invoice_lines", "identities")]
    graph = build_definitions(dg.Definitions(assets=own)).resolve_asset_graph()
    parents = {
        name: {key.to_user_string() for key in graph.get(dg.AssetKey(["files", name])).parent_keys}
        for name in ("invoices", "invoice_lines", "identities")
    }
    assert parents["invoices"] == parents["invoice_lines"] >= {"stripe/invoices", "hubspot/invoices"}
    assert parents["identities"] == {"unified/customers"}
