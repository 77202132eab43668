"""`unified connectors import`: what is said of manifests. No database is needed for it."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from unified.cli.commands.connectors.connectors import app
from unified.cli.session import UsageError
from unified.kit.document.model import read
from unified.kit.document.source import DocumentError

DESK = Path(__file__).parents[3] / "kit" / "importing" / "airbyte" / "desk.yaml"


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["import", "airbyte", *map(str, arguments)], catch_exceptions=False)
    return done.output


def test_a_manifest_is_reported_stream_by_stream() -> None:
    rows = msgspec.json.decode(run("--report", DESK, "--json"))
    assert [(row["stream"], not row["refused"]) for row in rows] == [
        ("contacts", True),
        ("other", True),
        ("odd", False),
    ]
    assert "CustomRetriever" in run("--report", DESK)


def test_a_folder_is_counted_and_what_is_not_a_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "manifest.yaml").write_bytes(DESK.read_bytes())
    (tmp_path / "broken.yaml").write_text("streams: [")
    (tmp_path / "notes.txt").write_text("nothing")
    said = run("--report", tmp_path)
    assert "66.7 % (2)" in said
    assert "Read: manifests 1, streams 3." in said
    assert "Refused: CustomRetriever: streams 1, manifests 1." in said
    assert "Not read: broken.yaml:1: it is not YAML" in said
    found = msgspec.json.decode(run("--report", tmp_path, "--json"))
    assert [row["streams"] for row in found["rows"]] == [1, 1, 1, 2, 2, 2, 2, 2, 2]


def test_a_file_that_is_no_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("a: 1")
    with pytest.raises(DocumentError, match="has neither"):
        run("--report", tmp_path / "m.yaml")


def test_a_document_is_written_once_and_the_engine_reads_it(tmp_path: Path) -> None:
    said = run(DESK)
    assert "Nothing was written" in said
    assert "CustomRetriever" in said
    file = tmp_path / "desk.connector.yaml"
    run(DESK, "--to", file, "--name", "my_desk")
    document = read(file.read_bytes(), file.name)
    assert (document.id, list(document.said.streams)) == ("my_desk", ["contacts", "other"])
    with pytest.raises(UsageError, match="there already"):
        run(DESK, "--to", file)
    with pytest.raises(UsageError, match="name a manifest"):
        run()
    (tmp_path / "odd.yaml").write_text("streams: [{name: a, retriever: {type: CustomRetriever}}]")
    with pytest.raises(UsageError, match="nothing of odd"):
        run(tmp_path / "odd.yaml")
