"""A project that `unified init` makes: what is in it loads and runs as it is, and nothing is written over."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import traceback
from collections import defaultdict
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from adapters.stripe.money import MINOR_UNITS
from resources.store import DatabaseResource
from resources.tables import TablesIOManager
from tests.unified.cli.conftest import Unified
from tests.unified_assets.conftest import STRIPE_KEY, Installation
from unified.cli.init.init import _source
from unified.cli.installation import code_location
from unified.schema.money import exponent
from unified_assets.definitions import build_definitions

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_project_loads_in_dagster_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unified = Unified(tmp_path / "home")
    shown = unified.ok("init", str(tmp_path / "my-shop"))
    assert "unified dev" in shown
    assert not unified.home.exists(), "no database is needed for it"
    assert (
        tomllib.loads((tmp_path / "my-shop" / "pyproject.toml").read_text())["project"]["name"] == "my-shop"
    )
    assert ".unified/" in (tmp_path / "my-shop" / ".gitignore").read_text()
    assert code_location(tmp_path / "my-shop") == [], "Dagster reads the pyproject.toml of its folder"
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate"],
        cwd=tmp_path / "my-shop", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Validation successful for code location my-shop" in done.stderr + done.stdout, done.stderr


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # of Dagster's own, about what it loads them with
def test_a_project_of_components_loads_with_what_its_yaml_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "project-of-components"
    Unified(tmp_path / "home").ok("init", str(place), "--component")
    settings = tomllib.loads((place / "pyproject.toml").read_text())["tool"]
    assert settings["dg"]["project"]["root_module"] == "project_of_components"
    assert settings["dagster"]["code_location_name"] == settings["dg"]["project"]["code_location_name"]
    file = place / "project_of_components" / "defs" / "unified" / "defs.yaml"
    text = file.read_text().replace(
        "files_folder: files", f"files_folder: {tmp_path / 'lake'}\n  with_raw_data: true"
    )
    file.write_text(text.replace("  # exports:", "  exports:").replace("  #   ", "    "))
    monkeypatch.syspath_prepend(str(place))
    loaded = import_module("project_of_components.definitions").defs
    graph = loaded.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {"revenue_by_customer", "stripe/invoices", "files/invoices", "unified/customers"} < keys
    assert graph.get(dg.AssetKey(["files", "invoices"])).automation_condition is not None
    assert loaded.resources["files"].folder == str(tmp_path / "lake")
    assert loaded.resources["tables"].with_raw_data
    repository = loaded.get_repository_def()
    assert repository.has_sensor_def("connections")
    assert repository.has_schedule_def("stripe_schedule")


def test_what_a_component_does_not_know_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "project-that-is-wrong"
    Unified(tmp_path / "home").ok("init", str(place), "--component")
    file = place / "project_that_is_wrong" / "defs" / "unified" / "defs.yaml"
    file.write_text(file.read_text().replace("files_folder", "files_fodler"))
    monkeypatch.syspath_prepend(str(place))
    with pytest.raises(Exception, match="unified") as refused:
        import_module("project_that_is_wrong.definitions")
    assert "files_fodler" in "".join(traceback.format_exception(refused.value))


def test_its_asset_becomes_a_table_that_is_right_to_the_cent(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Unified(tmp_path / "home").ok("init", str(tmp_path / "project_of_a_test"))
    monkeypatch.syspath_prepend(str(tmp_path / "project_of_a_test"))
    installation.defs = import_module("project_of_a_test.definitions").defs
    installation.add("acme/stripe", "stripe")
    assert installation.sync("acme/stripe").success
    assert installation.materialize("acme/stripe", "revenue_by_customer").success

    expected: dict[tuple[str, str], tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for invoice in installation.sandbox.stripe.account(STRIPE_KEY).all_invoices():
        if invoice["status"] == "paid":
            currency = invoice["currency"].upper()
            amount = Decimal(invoice["total"]).scaleb(-MINOR_UNITS.get(currency, exponent(currency)))
            count, total = expected[invoice["customer"], currency]
            expected[invoice["customer"], currency] = count + 1, total + amount
    rows = installation.execute(
        "SELECT customer_id, currency, invoices, revenue FROM derived_revenue_by_customer"
    )
    assert {(customer, currency): (count, total) for customer, currency, count, total in rows} == expected


def test_definitions_of_all_kinds_stand_beside_ours_and_resources_replace_ours() -> None:
    @dg.asset_check(asset=["stripe", "invoices"])
    def not_empty() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    job = dg.define_asset_job("own_job", selection=["stripe/monthly_revenue"])
    with_raw_data = TablesIOManager(database=DatabaseResource(), with_raw_data=True)
    merged = build_definitions(
        dg.Definitions(
            asset_checks=[not_empty],
            jobs=[job],
            schedules=[dg.ScheduleDefinition(job=job, cron_schedule="@daily", name="own_schedule")],
            resources={"own": dg.ResourceDefinition.hardcoded_resource(1)},
        ),
        resources={"tables": with_raw_data},
    )
    repository = merged.get_repository_def()
    assert {"own_job", "stripe_sync"} <= set(repository.job_names)
    assert repository.has_schedule_def("own_schedule")
    assert repository.has_sensor_def("connections")
    assert any(key.name == "not_empty" for key in repository.asset_graph.asset_check_keys)
    assert merged.resources is not None
    assert merged.resources["tables"] is with_raw_data
    assert {"own", "database", "credentials", "adapters"} < set(merged.resources)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Bad Name", "is not a valid name"),
        ("2nd", "is not a valid name"),
        ("café", "is not a valid name"),
        ("a" * 64, "is not a valid name"),
        ("a--b", "is not a valid name"),
        ("class", "is a word of Python"),
        ("json", "is installed already"),
        ("unified", "is installed already"),
        ("unified-assets", "is installed already"),
        ("dagster", "is installed already"),
        ("full", "is not an empty folder"),
        ("file", "is not an empty folder"),
        ("file/inside", "Not a directory"),
        ("/proc/inside", "can't be made: No such file or directory; choose another place"),
    ],
)
def test_what_can_be_no_project_is_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    (tmp_path / "file").write_text("kept")
    unified = Unified(tmp_path / "home")
    code = 1 if "directory" in says else 2
    assert says in unified.refused("init", str(tmp_path / name), code=code)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "kept.txt"]


@pytest.mark.parametrize(
    ("noted", "source"),
    [
        (None, {}),
        ({"url": "file:///a%20b/x-1-py3-none-any.whl", "archive_info": {}}, {"path": "/a b/x-1-py3-none-any.whl"}),
        ({"url": "file:///a", "dir_info": {"editable": True}}, {"path": "/a", "editable": True}),
        ({"url": "file:///a", "dir_info": {}}, {"path": "/a"}),
        ({"url": "https://host.example/x.whl", "archive_info": {}}, {"url": "https://host.example/x.whl"}),
        (
            {"url": "https://host.example/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            {"git": "https://host.example/x.git", "rev": "abc"},
        ),
    ],
)  # fmt: skip
def test_its_environment_gets_the_product_from_where_it_came(noted: Any, source: Any) -> None:
    table = tomllib.loads(_source(noted and json.dumps(noted)))
    assert table.get("tool", {}).get("uv", {}).get("sources", {}).get("unified-assets", {}) == source
