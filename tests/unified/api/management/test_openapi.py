"""The API's description: committed, complete, and readable without a script or another host."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from unified.api.management import reference
from unified.api.management.app import described_api

COMMITTED = Path(__file__).parents[4] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return described_api().openapi()


def test_the_committed_description_is_this_one(document: dict[str, Any]) -> None:
    assert json.loads(COMMITTED.read_text()) == document, "run `unified openapi > docs/openapi.json`"


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    names = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names.append(operation["operationId"])
            assert operation["description"], (method, path)
            guarded = path not in ("/healthz", "/readyz")
            assert ("default" in operation["responses"]) == guarded
            assert operation.get("security", []) == ([{"bearer": []}] if guarded else [])
            parameters = {one["name"] for one in operation.get("parameters", [])}
            assert ("Idempotency-Key" in parameters) == (method == "post")
            assert set(re.findall(r"{(\w+)}", path)) <= parameters
    assert len(set(names)) == len(names)


def test_the_page_shows_every_operation_and_loads_nothing(document: dict[str, Any]) -> None:
    template = reference._templates.get_template("reference.html")
    html = template.render(api=document, groups=reference._groups(document))
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"<code>{method.upper()} {path}</code>" in html
    assert "<script" not in html
    assert not re.findall(r"(?:src|href)=\"(?!#|openapi\.json)", html)
