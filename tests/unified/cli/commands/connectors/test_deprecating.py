"""`unified connectors deprecate`: said of a template, asked about at its installation, shown, and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unified.cli.conftest import Unified


def test_a_template_is_deprecated_installed_all_the_same_and_reinstated(unified: Unified) -> None:
    why = ("--reason", "use calendly_v2")
    assert "there is no connector document 'calendar'" in unified.refused(
        "connectors", "deprecate", "calendar", *why
    )
    unified.ok("connectors", "deprecate", "calendly", *why)
    (listed,) = unified.json("connectors", "deprecations")
    assert (listed["deprecated"], listed["reason"]) == ("calendly", "use calendly_v2")
    assert "deprecated (use calendly_v2)" in unified.refused("connectors", "install", "calendly", code=2)
    shown = unified.ok("connectors", "install", "calendly", "--yes")
    assert "Deprecated: use calendly_v2" in shown
    assert "is deprecated: use calendly_v2" in unified.run("connectors", "show", "calendly").stderr
    unified.ok("connectors", "reinstate", "calendly")
    assert [one["deprecated"] for one in unified.json("connectors", "show", "calendly")] == [None]
