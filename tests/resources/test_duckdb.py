"""Frames in and out of a DuckDB file: partitions by themselves, decimals exact, batches one by one."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from resources.duckdb import DuckDBIOManager
from resources.files import FilesIOManager
from tests.unified_assets.conftest import failures
from unified_assets.partitions import connections_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARTITIONS = connections_of("stripe")
EXACT = Decimal("0.123456789")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        made.add_dynamic_partitions(str(PARTITIONS.name), ["acme/one", "acme/two"])
        yield made


def run(instance: dg.DagsterInstance, manager: Any, key: str, *assets: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        assets, partition_key=key, instance=instance, resources={"kept": manager}, raise_on_error=False
    )


def asset_of(value: Any, name: str = "revenue") -> dg.AssetsDefinition:
    @dg.asset(key=["own", name], io_manager_key="kept", partitions_def=PARTITIONS)
    def made() -> Any:
        return value

    return made


def test_each_partition_is_replaced_by_itself_and_a_new_column_is_added(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    manager = DuckDBIOManager(database=str(tmp_path / "lake" / "unified.duckdb"))
    one = pd.DataFrame({"currency": ["EUR", "USD"], "total": [Decimal("1.5"), EXACT]})
    assert run(instance, manager, "acme/one", asset_of(one)).success
    two = pa.table({"currency": ["EUR"], "total": [Decimal(10) ** 20], "invoices": [3]})
    assert run(instance, manager, "acme/two", asset_of(two)).success
    assert run(instance, manager, "acme/one", asset_of(one[1:])).success
    with duckdb.connect(tmp_path / "lake" / "unified.duckdb", read_only=True) as conn:
        rows = conn.execute(
            "SELECT dagster_partition, total, invoices FROM own.revenue ORDER BY 1"
        ).fetchall()
        kind = conn.execute("SELECT typeof(any_value(total)) FROM own.revenue").fetchone()
    assert rows == [("acme/one", EXACT, None), ("acme/two", Decimal(10) ** 20, 3)]
    assert kind == ("DECIMAL(38,9)",)


@pytest.mark.parametrize("kind", ["duckdb", "files"])
def test_batches_are_stored_one_by_one_and_read_in_the_form_that_is_asked_for(
    instance: dg.DagsterInstance, tmp_path: Path, kind: str
) -> None:
    manager = (
        DuckDBIOManager(database=str(tmp_path / "u.duckdb"))
        if kind == "duckdb"
        else FilesIOManager(folder=str(tmp_path / "lake"))
    )
    schema = pa.schema([("n", pa.int64()), ("total", pa.decimal128(20, 2))])
    held: list[int] = []

    def batches() -> Any:
        for number in range(50):
            held.append(pa.total_allocated_bytes())
            values = [Decimal("0.01")] * 20_000
            yield pa.record_batch(
                [pa.array([number] * 20_000), pa.array(values, schema.field(1).type)], schema
            )

    taken: list[Any] = []

    @dg.asset(ins={"rows": dg.AssetIn(["own", "rows"])}, partitions_def=PARTITIONS)
    def reads_frame(rows: pd.DataFrame) -> None:
        taken.append(rows["total"].sum())

    def read_table(rows: pa.Table) -> None:
        taken.append(rows.num_rows)

    def read_batches(rows: pa.RecordBatchReader) -> None:
        taken.append(sum(batch.num_rows for batch in rows))

    read_table.__annotations__["rows"], read_batches.__annotations__["rows"] = pa.Table, pa.RecordBatchReader
    readers = [
        dg.asset(ins={"rows": dg.AssetIn(["own", "rows"])}, partitions_def=PARTITIONS)(function)
        for function in (read_table, read_batches)
    ]
    source = asset_of(pa.RecordBatchReader.from_batches(schema, batches()), "rows")
    done = run(instance, manager, "acme/one", source, reads_frame, *readers)
    assert done.success, failures(done)
    assert sorted(taken) == [Decimal("10000.00"), 1_000_000, 1_000_000]
    # A batch has 0.5 MB, all of them 24.
    assert max(held) - held[0] < 12_000_000


def test_what_would_be_rounded_and_what_is_not_there_are_refused(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    manager = DuckDBIOManager(database=str(tmp_path / "u.duckdb"), patience_seconds=0.2)
    long = pd.DataFrame({"total": [Decimal("0.12345678901")]})
    assert "does not hold; return text" in str(failures(run(instance, manager, "acme/one", asset_of(long))))
    assert "must return a pandas DataFrame" in str(failures(run(instance, manager, "acme/one", asset_of(1))))
    gone = dg.AssetSpec(["own", "gone"], partitions_def=PARTITIONS).with_io_manager_key("kept")

    @dg.asset(ins={"gone": dg.AssetIn(["own", "gone"])}, partitions_def=PARTITIONS)
    def reader(gone: pd.DataFrame) -> None:
        """Never gets there."""

    assert "materialize own/gone first" in str(failures(run(instance, manager, "acme/one", gone, reader)))
