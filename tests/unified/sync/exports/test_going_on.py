"""Exports that were interrupted, and exports of what changed: nothing is missed, and no file is ever half."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from pyarrow import parquet

from tests.unified.sync.exports.warehouse import Warehouse
from unified.schema import UnifiedLineItem
from unified.schema.entities import CUSTOMERS, INVOICES
from unified.store.lists import copies
from unified.sync.exports import export as exports
from unified.sync.exports.errors import ExportError
from unified.sync.exports.export import Export
from unified.sync.exports.parquet import Parquet
from unified.sync.exports.progress import FOLDER, Progress, alone

IDS = [f"{number:02}" for number in range(12)]


def rows(done: Export) -> list[dict[str, Any]]:
    return [json.loads(line) for file in done.files for line in file.read_text().splitlines()]


def ids(done: Export) -> list[str]:
    return sorted(row["source_id"] for row in rows(done))


class Killed(BaseException):
    """As a signal ends a process."""


def end_now(*_: Any) -> None:
    raise Killed


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "PIECE_BYTES", 1)


def end_after(monkeypatch: pytest.MonkeyPatch, pieces: int, end: BaseException) -> None:
    """Let the export end once so many pieces are counted."""
    add, counted = Progress.add, iter(range(100))

    def ending(self: Progress, *arguments: Any) -> None:
        if next(counted) == pieces:
            raise end
        add(self, *arguments)

    monkeypatch.setattr(Progress, "add", ending)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("to", ["c.parquet", "c.csv", "c.jsonl", "days"])
async def test_an_export_that_was_killed_goes_on(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    await warehouse.put(CUSTOMERS, *IDS)
    whole = await warehouse.export("customers", f"whole-{to}")
    with monkeypatch.context() as patch:
        end_after(patch, 5, Killed())
        with pytest.raises(Killed):
            await warehouse.export("customers", to)
    assert not list(warehouse.folder.glob(f"{to}/day=*"))
    assert not (warehouse.folder / to).is_file()
    done = await warehouse.export("customers", to)
    assert (done.rows, done.resumed) == (12, 5)
    assert [file.read_bytes() for file in done.files] == [file.read_bytes() for file in whole.files]


async def test_it_begins_anew_with_another_release(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warehouse.put(CUSTOMERS, *IDS)
    with monkeypatch.context() as patch:
        patch.setattr(exports, "version", lambda _: "0.0.1")
        patch.setattr(Parquet, "encoded", lambda *_: b"rows, as they were kept once")
        patch.setattr(exports, "_write", end_now)
        with pytest.raises(Killed):
            await warehouse.export("customers", "c.parquet")
    done = await warehouse.export("customers", "c.parquet")
    assert (done.rows, done.resumed) == (12, 0)
    assert parquet.read_table(done.files[0]).num_rows == 12


def test_a_piece_that_was_not_counted_takes_no_other_ones_place(tmp_path: Path) -> None:
    progress = Progress(tmp_path, {})
    progress.add("2026-03-01", 1, [], b"counted")
    (tmp_path / "piece-000001-2026-03-02").write_bytes(b"half of a day whose ro")
    again = Progress(tmp_path, {})
    again.add("2026-03-03", 1, [], b"counted")
    assert [day for day, _ in again.days()] == ["2026-03-01", "2026-03-03"]


def test_it_begins_anew_where_a_piece_is_gone(tmp_path: Path) -> None:
    progress = Progress(tmp_path, {})
    for day in ("2026-03-01", "2026-03-02"):
        progress.add(day, 1, [], b"counted")
    (tmp_path / "piece-000000-2026-03-01").unlink()
    again = Progress(tmp_path, {})
    assert (again.rows, again.days()) == (0, [])


@pytest.mark.parametrize(
    ("place", "step", "end"),
    [(Path, "unlink", lambda progress: progress.begin({})), (shutil, "rmtree", Progress.remove)],
)
def test_a_note_never_counts_pieces_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, step: str, end: Callable[[Progress], None]
) -> None:
    progress = Progress(tmp_path, {})
    progress.add("2026-03-01", 1, [], b"counted")
    with monkeypatch.context() as patch:
        patch.setattr(place, step, end_now)
        with pytest.raises(Killed):
            end(progress)
    again = Progress(tmp_path, {})
    assert (again.rows, again.days()) == (0, [])


@pytest.mark.usefixtures("small_pieces")
async def test_lines_of_an_invoice_stay_together(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = tuple(UnifiedLineItem(description=str(number)) for number in range(4))
    await warehouse.put(INVOICES, "1", "2", "3", line_items=lines)
    with monkeypatch.context() as patch:
        end_after(patch, 1, Killed())
        with pytest.raises(Killed):
            await warehouse.export("invoice_lines", "l.jsonl")
    done = await warehouse.export("invoice_lines", "l.jsonl")
    assert done.resumed == 4
    assert [(row["invoice_id"], row["line_number"]) for row in rows(done)] == [
        (invoice, line) for invoice in "123" for line in (1, 2, 3, 4)
    ]


@pytest.mark.usefixtures("small_pieces")
async def test_a_disk_that_is_full_keeps_what_was_read(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warehouse.put(CUSTOMERS, *IDS)
    with monkeypatch.context() as patch:
        end_after(patch, 7, OSError(28, "No space left on device"))
        with pytest.raises(ExportError, match="No space left on device; 7 rows that were read are kept"):
            await warehouse.export("customers", "c.jsonl")
    done = await warehouse.export("customers", "c.jsonl")
    assert (done.resumed, ids(done)) == (7, IDS)


@pytest.mark.usefixtures("small_pieces")
async def test_it_begins_anew_for_another_request_and_after_a_day(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warehouse.put(CUSTOMERS, *IDS)
    for pieces in (5, 3):
        with monkeypatch.context() as patch:
            end_after(patch, pieces, Killed())
            with pytest.raises(Killed):
                await warehouse.export("customers", "c.jsonl", raw=pieces == 5)
    monkeypatch.setattr(exports, "GOES_ON_SECONDS", 0)
    done = await warehouse.export("customers", "c.jsonl")
    assert (done.resumed, ids(done)) == (0, IDS)


async def test_a_file_is_replaced_at_once_and_nothing_is_left_beside_it(warehouse: Warehouse) -> None:
    (warehouse.folder / "c.csv").write_text("former")
    await warehouse.put(CUSTOMERS, "1")
    await warehouse.export("customers", "c.csv")
    assert sorted(path.name for path in warehouse.folder.iterdir()) == [FOLDER, "c.csv"]
    assert not (warehouse.folder / FOLDER / "c.csv").exists()


async def test_two_processes_do_not_write_one_file(warehouse: Warehouse) -> None:
    with (
        alone(warehouse.folder / FOLDER / "c.csv", warehouse.folder / "c.csv"),
        pytest.raises(ExportError, match="another process exports to"),
    ):
        await warehouse.export("customers", "c.csv")


async def test_since_last_has_what_changed_with_what_was_deleted(warehouse: Warehouse) -> None:
    await warehouse.put(CUSTOMERS, "1", "2", "3", "4")
    await warehouse.delete(CUSTOMERS, "4")
    first = await warehouse.export("customers", "first.jsonl", since_last=True)
    assert (first.is_whole, ids(first)) == (
        True,
        ["1", "2", "3", "4"],
    )  # with the tombstone, as the later ones
    await warehouse.put(CUSTOMERS, "2", name="new")
    await warehouse.delete(CUSTOMERS, "3")
    second = await warehouse.export("customers", "second.jsonl", since_last=True)
    found = {row["source_id"]: (row["name"], row["deleted_at"] is None) for row in rows(second)}
    assert (second.is_whole, found) == (False, {"2": ("new", True), "3": (None, False)})
    assert ids(await warehouse.export("customers", "third.jsonl", since_last=True)) == []
    # Another format, and other choices, are series of their own.
    assert (await warehouse.export("customers", "fourth.csv", since_last=True)).is_whole
    assert (await warehouse.export("customers", "fifth.jsonl", since_last=True, raw=True)).is_whole


async def test_what_commits_late_comes_with_the_next(warehouse: Warehouse) -> None:
    await warehouse.export("customers", "0.jsonl", since_last=True)
    await warehouse.put(CUSTOMERS, "late", "other")
    async with warehouse.db.workspace(warehouse.workspace) as conn:
        await touch(conn, "late")  # takes its place in the order, and commits after one that comes later
        await warehouse.put(CUSTOMERS, "later")
        # Not seen yet, and neither is what came after it.
        first = await warehouse.export("customers", "1.jsonl", since_last=True)
    second = await warehouse.export("customers", "2.jsonl", since_last=True)
    assert ids(first) == ["late", "other"]
    assert ids(second) == ["late", "later"]


async def touch(conn: AsyncConnection[Any], source_id: str) -> None:
    await conn.execute("UPDATE unified_customers SET name = 'x' WHERE source_id = %s", (source_id,))


@pytest.mark.usefixtures("small_pieces")
async def test_what_changes_while_it_is_interrupted_comes_with_the_next(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await warehouse.put(CUSTOMERS, *IDS)
    with monkeypatch.context() as patch:
        end_after(patch, 5, Killed())
        with pytest.raises(Killed):
            await warehouse.export("customers", "c.jsonl")
    await warehouse.put(CUSTOMERS, "00", "11", name="new")
    assert ids(await warehouse.export("customers", "c.jsonl")) == IDS
    changed = await warehouse.export("customers", "changed.jsonl", since_last=True)
    assert {row["source_id"]: row["name"] for row in rows(changed)} == {"00": "new", "11": "new"}


async def test_an_invoice_that_lost_its_lines_says_so(warehouse: Warehouse) -> None:
    await warehouse.put(INVOICES, "1", line_items=(UnifiedLineItem(description="work"),))
    await warehouse.export("invoice_lines", "1.jsonl", since_last=True)
    await warehouse.put(INVOICES, "1")
    changed = await warehouse.export("invoice_lines", "2.jsonl", since_last=True)
    assert [(row["invoice_id"], row["line_number"]) for row in rows(changed)] == [("1", None)]


async def test_a_folder_grows_by_changes_and_is_replaced_by_a_whole_export(warehouse: Warehouse) -> None:
    await warehouse.put(CUSTOMERS, "1", "2")
    days = {"file_format": "jsonl"}
    first = await warehouse.export("customers", "days", since_last=True, **days)
    await warehouse.put(CUSTOMERS, "2", name="new")
    second = await warehouse.export("customers", "days", since_last=True, **days)
    assert (ids(first), ids(second)) == (["1", "2"], ["2"])
    assert len(list(warehouse.folder.glob("days/day=*/*"))) == 2
    kept = first.files[0].parent / "theirs.jsonl"
    kept.write_text("")
    third = await warehouse.export("customers", "days", **days)
    assert set(warehouse.folder.glob("days/day=*/*")) == {*third.files, kept}
    with pytest.raises(ExportError, match=r"days holds another export \(customers as jsonl"):
        await warehouse.export("invoices", "days", **days)


async def test_a_restored_database_is_exported_anew(warehouse: Warehouse) -> None:
    await warehouse.export("customers", "1.jsonl", since_last=True)
    (note,) = (warehouse.folder / FOLDER).glob("last.*")
    kept = json.loads(note.read_text())
    kept["place"]["server"] = 1
    note.write_text(json.dumps(kept))
    with pytest.raises(ExportError, match="restored since the last export to"):
        await warehouse.export("customers", "2.jsonl", since_last=True)
    await warehouse.export("customers", "2.jsonl")
    assert not (await warehouse.export("customers", "3.jsonl", since_last=True)).is_whole
