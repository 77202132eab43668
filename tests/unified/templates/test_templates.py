"""Each template makes of what was recorded of its system what it should, offline, and says what a person needs."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from unified.sync.connectors import templates
from unified.sync.connectors.golden import read_golden
from unified.sync.connectors.offers import read_document, tried

NAMES = templates.names()


def test_there_are_templates() -> None:
    assert {"github", "pipedrive", "recurly", "shopify"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_a_template_makes_of_recorded_exchanges_what_it_should(name: str) -> None:
    template = templates.template(name)
    document, adapter = read_document(template)
    assert document.id == name
    assert document.hash in templates.hashes()
    assert template.exchanges is not None
    golden = read_golden(template.exchanges, name)
    # Every stream was recorded, and one of them more than a page.
    assert len(adapter.streams) > 1
    assert golden.streams.keys() == {stream.name for stream in adapter.streams}
    assert max(len(pull.exchanges) for pulls in golden.streams.values() for pull in pulls) > 1
    # So was a second pull where a list can be asked for changes.
    asks_for_changes = [one for one, said in document.said.streams.items() if said.changes]
    assert not asks_for_changes or any(len(golden.streams[one]) > 1 for one in asks_for_changes)
    assert (await tried(template) or 0) >= len(adapter.streams)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_holds_no_secret_and_says_what_is_needed(name: str) -> None:
    template = templates.template(name)
    document, adapter = read_document(template)
    golden = json.loads(template.exchanges or b"{}")
    assert golden["secrets"].keys() == {field.name for field in adapter.credential_fields}
    assert all("fake" in value for value in golden["secrets"].values())
    readme = (files("unified") / "templates" / name / "README.md").read_text()
    assert all(f"`{stream.name}`" in readme for stream in adapter.streams)
    assert all(f"`{setting}`" in readme for setting in document.said.settings)
    assert document.said.documentation
    assert document.said.licence
