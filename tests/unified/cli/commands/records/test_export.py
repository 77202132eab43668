"""`unified export`: real processes, killed and out of room, and what a person is told."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import execute
from tests.unified.cli.conftest import Unified
from tests.waiting import LIMIT_SECONDS
from unified.store.server import embedded
from unified.sync.exports.progress import FOLDER, read_json

CUSTOMERS = 60_000

_FILL = f"""
    WITH place AS (
        INSERT INTO connector_configs (id, workspace_id, connector, name)
        SELECT gen_random_uuid(), id, 'stripe', 'billing' FROM workspaces WHERE slug = 'big' RETURNING workspace_id, id
    )
    INSERT INTO unified_customers (workspace_id, connection_id, source_system, stream, source_id, unified_id,
        schema_version, content_hash, observed_at, synced_at, is_active, description)
    SELECT workspace_id, id, 'stripe', 'customers', 'cus_' || n, gen_random_uuid(), '1.1.0', n, now(), now(), true,
        repeat('x', 600)
    FROM place, generate_series(1, {CUSTOMERS}) AS n
"""  # noqa: S608 - a constant


@pytest.fixture(scope="module")
def big(unified: Unified) -> Unified:
    unified.ok("workspaces", "add", "big")
    execute(embedded.start(unified.home), _FILL)
    embedded.leave(unified.home)
    return unified


def test_a_killed_process_goes_on(big: Unified, tmp_path: Path) -> None:
    to = tmp_path / "customers.jsonl"
    arguments = ("export", "customers", "--workspace", "big", "--to", str(to))
    note = tmp_path / FOLDER / to.name / "progress.json"
    process = subprocess.Popen(big.command(*arguments), env=big.environment(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (read_json(note) or {}).get("pieces"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not to.exists()
    done = json.loads(big.ok(*arguments, "--json"))
    assert 0 < done["resumed"] < done["rows"] == CUSTOMERS
    ids = {json.loads(line)["source_id"] for line in to.read_text().splitlines()}
    assert len(ids) == CUSTOMERS


def test_a_disk_without_room_is_one_line_and_goes_on(big: Unified, tmp_path: Path) -> None:
    to = tmp_path / "customers.csv"
    arguments = ("export", "customers", "--workspace", "big", "--to", str(to))
    # No file may be larger than 20 MiB, as on a disk that fills up: pieces fit, the whole does not.
    limited = ["bash", "-c", 'ulimit -f 20480; exec "$@"', "bash", *big.command(*arguments)]
    failed = subprocess.run(limited, env=big.environment(), capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1), failed.stderr
    assert "can't be written: File too large; 60,000 rows that were read are kept" in failed.stderr
    assert not to.exists()
    assert "60,000 of them read by the export that was interrupted" in big.run(*arguments).stderr
    assert to.read_bytes().count(b"\n") == CUSTOMERS + 1


def test_what_a_person_gets_wrong_is_one_line(big: Unified, tmp_path: Path) -> None:
    refused = big.refused("export", "custmers", "--to", str(tmp_path / "c.csv"))  # of the only workspace
    assert "there is no stream 'custmers' to export; there are customers, invoices, " in refused
    assert refused.endswith("; did you mean customers?")
    refused = big.refused("export", "customers", "--workspace", "big", "--to", "/dev/null/c.csv")
    assert "/dev/null/c.csv can't be written: Not a directory" in refused
    refused = big.refused(
        "export", "customers", "--workspace", "big", "--to", str(tmp_path / "c.csv"), "--connection", "nobody"
    )
    assert "there is no connection" in refused


def test_parquet_without_pyarrow_says_how_to_install_it(big: Unified, tmp_path: Path) -> None:
    hidden = tmp_path / "pyarrow"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError")
    command = big.command("export", "customers", "--workspace", "big", "--to", str(tmp_path / "c.parquet"))
    environment = big.environment(PYTHONPATH=str(tmp_path))
    failed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert failed.stderr == (
        "unified: Parquet needs pyarrow: pip install 'unified-assets[files]', "
        "or in a checkout ./install --extra files\n"
    )
