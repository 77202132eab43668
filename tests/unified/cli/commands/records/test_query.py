"""Questions in SQL: one workspace, one statement, nothing changed."""

import json

import pytest

from tests.unified.cli.conftest import Unified


@pytest.fixture(scope="module")
def tenants(unified: Unified) -> Unified:
    unified.ok("workspaces", "add", "mine")
    unified.ok("workspaces", "add", "theirs")
    return unified


def test_a_question_sees_its_own_workspace_only(tenants: Unified) -> None:
    asked = "SELECT slug, 1.10::numeric AS amount FROM workspaces WHERE slug LIKE '%s'"
    assert tenants.json("query", asked, "--workspace", "mine") == []
    rows = tenants.json(
        "query", "SELECT slug, 1.10::numeric AS amount FROM workspaces", "--workspace", "mine"
    )
    assert rows == [{"slug": "mine", "amount": "1.10"}]
    assert "(no rows)" in tenants.ok("query", "SELECT * FROM unified_invoices", "--workspace", "mine")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("DELETE FROM workspaces", "read-only"),
        ("DO $$ BEGIN PERFORM set_config('role', 'postgres', false); END $$", "read-only"),
        ("COPY workspaces TO '/tmp/canary'", "read-only"),
        ("WITH gone AS (DELETE FROM workspaces RETURNING 1) SELECT 1 FROM gone", "read-only"),
        ("SELECT set_config('role', 'unified_owner', false)", "permission denied"),
        ("SELECT 1; SELECT 2", "multiple commands"),
        ("SELEC 1", "begins with SELECT"),
        ("SELECT 1 FRM x y", "syntax error"),
        ("SELECT * FROM alembic_version, nothing_there", "does not exist"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(tenants: Unified, statement: str, reason: str) -> None:
    assert reason in tenants.refused("query", statement, "--workspace", "mine")


def test_no_setting_leads_to_another_workspace(tenants: Unified) -> None:
    (row,) = tenants.json("query", "SELECT id FROM workspaces", "--workspace", "theirs")
    theirs = row["id"]
    asked = "SELECT set_config('app.workspace_id', 'THEIRS', false), slug FROM workspaces".replace(
        "THEIRS", theirs
    )
    assert [row["slug"] for row in tenants.json("query", asked, "--workspace", "mine")] == ["mine"]


def test_a_long_answer_is_cut_and_says_so(tenants: Unified) -> None:
    ask = ("query", "SELECT generate_series(1, 9)", "--workspace", "mine", "--limit")
    answer = tenants.run(*ask, "3")
    assert "3" in answer.stdout
    assert "4" not in answer.stdout
    assert "first 3 rows" in answer.stderr
    answer = tenants.run(*ask, "3", "--json")
    assert len(json.loads(answer.stdout)) == 3
    assert "first 3 rows" in answer.stderr, "in JSON as well"
    assert tenants.run(*ask, "9").stderr == "", "that was all"


def test_objects_and_lists_are_shown_as_json(tenants: Unified) -> None:
    asked = """SELECT '{"name": "Zoë", "gone": null, "sum": 1.10}'::jsonb AS raw, '["a"]'::jsonb AS tags"""
    shown = tenants.ok("query", asked, "--workspace", "mine")
    assert '{"sum": "1.10", "gone": null, "name": "Zoë"}' in shown
    assert '["a"]' in shown
