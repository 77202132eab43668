"""Files made of the row groups of others, as the readers that people use see them."""

from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from pyarrow import parquet

from unified.sync.exports.row_groups import join

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "total": pa.decimal128(38, 9),
        "is_paid": pa.bool_(),
        "lines": pa.list_(pa.struct({"amount": pa.decimal128(38, 9), "text": pa.string()})),
    }
)


def piece(folder: Path, number: int, rows: int) -> pa.Table:
    """A file of so many rows in two row groups, the first column with a dictionary and a Bloom filter."""
    table = pa.table(
        [
            [f"in_{number}_{row // 2}" for row in range(rows)],
            [Decimal(f"{number}{row}.000000001") for row in range(rows)],
            [None if row % 3 else bool(row % 2) for row in range(rows)],
            [[{"amount": Decimal(1), "text": "x" * row}] * (row % 3) for row in range(rows)],
        ],
        schema=SCHEMA,
    )
    file = folder / str(number)
    parquet.write_table(
        table,
        file,
        compression="zstd",
        use_dictionary=["id"],
        row_group_size=rows // 2 + 1,
        bloom_filter_options={"id": True},
        write_page_index=True,
    )
    return table


def test_each_reader_finds_all_rows_of_all_pieces(tmp_path: Path) -> None:
    tables = [piece(tmp_path, number, rows) for number, rows in enumerate((1, 300, 0, 40))]
    file = tmp_path / "whole.parquet"
    join([tmp_path / str(number) for number in range(len(tables))], file)
    whole = pa.concat_tables(tables)
    with parquet.ParquetFile(file) as opened:
        assert opened.read() == whole
        assert opened.metadata.num_rows == 341
        assert opened.read_row_group(2)["id"].to_pylist() == tables[1]["id"].to_pylist()[151:]
    assert pl.read_parquet(file)["id"].to_list() == whole["id"].to_pylist()
    asked = duckdb.read_parquet(str(file)).filter("id >= 'in_1'").aggregate("count(*), sum(total), max(id)")
    total = sum(total.as_py() for table in tables[1:] for total in table["total"])
    assert asked.fetchall() == [(340, total, "in_3_9")]


def test_each_reader_finds_what_it_looks_for_by_statistics_and_filters(tmp_path: Path) -> None:
    tables = [piece(tmp_path, number, rows) for number, rows in enumerate((300, 1, 40))]
    file = tmp_path / "whole.parquet"
    join([tmp_path / str(number) for number in range(len(tables))], file)
    for asked, count in (("in_2_3", 2), ("in_0_149", 2), ("in_1_0", 1), ("in_9", 0)):
        assert parquet.read_table(file, filters=[("id", "==", asked)]).num_rows == count
        assert pl.scan_parquet(file).filter(pl.col("id") == asked).collect().height == count
        found = duckdb.read_parquet(str(file)).filter(f"id = '{asked}'").aggregate("count(*)")
        assert found.fetchall() == [(count,)]
    above = Decimal(238)
    expected = sum(total.as_py() > above for table in tables for total in table["total"])
    assert parquet.read_table(file, filters=[("total", ">", above)]).num_rows == expected
    assert pl.scan_parquet(file).filter(pl.col("total") > above).collect().height == expected


def test_a_piece_alone_is_the_file(tmp_path: Path) -> None:
    piece(tmp_path, 1, 10)
    join([tmp_path / "1"], tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "1").read_bytes()
