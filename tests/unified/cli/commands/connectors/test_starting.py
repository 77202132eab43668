"""`unified connectors new`, and `show` of a connector that comes with a package. No database is needed for them."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from unified.cli.commands.connectors.connectors import app
from unified.cli.session import UsageError
from unified.kit.errors import ConfigurationError

ACME = ("new", "acme", "--base-url", "https://api.acme.example")


def run(*arguments: str | Path) -> str:
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False).output


def test_a_document_begins_as_a_folder_that_passes_its_own_exchange(tmp_path: Path) -> None:
    run(*ACME, "--auth", "key", "--paging", "token", "--path", "/v2/invoices", "--to", tmp_path)
    folder = tmp_path / "acme"
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "connector.yaml", "exchanges.json"]
    assert "1 record, all as expected" in run("test", folder)

    # The made-up exchange gives way to one of the API's own.
    exchanges = folder / "exchanges.json"
    said = msgspec.json.decode(exchanges.read_bytes())
    (pull,) = said["streams"]["invoices"]
    pull["exchanges"][0]["body"] = {"data": [{"id": 7, "number": "A-7", "total": "0.10", "currency": "EUR"}]}
    pull["records"] = {"7": {"invoice_number": "A-7", "total": "0.10", "currency": "EUR"}}
    exchanges.write_bytes(msgspec.json.encode(said))
    assert "1 record, all as expected" in run("test", folder)
    pull["records"]["7"]["total"] = "0.11"
    exchanges.write_bytes(msgspec.json.encode(said))
    with pytest.raises(ConfigurationError, match="total"):
        run("test", folder)

    with pytest.raises(UsageError, match="is there already"):
        run(*ACME, "--to", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("new", "acme"), "say --base-url"),
        (("new", "Acme Inc", *ACME[2:]), "is not a valid name"),
        (("new", "acme", "--base-url", "http://api.acme.example"), "say https://"),
        (("new", "acme", "--base-url", "https://key@api.acme.example"), "say https://"),
    ],
)
def test_what_no_document_can_be_made_of_is_refused(
    arguments: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=why):
        run(*arguments, "--to", tmp_path)
    assert not list(tmp_path.iterdir())


def test_nobody_takes_the_name_of_a_connector_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="comes with an installed package"):
        run("new", "stripe", *ACME[2:], "--to", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_connector_of_a_package_shows_what_it_reads_and_needs() -> None:
    shown = run("show", "chargebee")
    assert "Hosts: chargebee.com" in shown
    assert "unified_invoices" in shown
    (said,) = msgspec.json.decode(run("show", "chargebee", "--json"))
    assert said["streams"] == ["customers", "invoices", "events"]
