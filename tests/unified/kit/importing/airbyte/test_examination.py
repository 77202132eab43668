"""Each form of a component is counted by what it needs; what is code is refused by its name."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unified.kit.importing.airbyte.forms import (
    BASIS,
    BODIES,
    DYNAMIC,
    FIELDS,
    FORMS,
    LISTS,
    OAUTH,
    PARENTS,
    SESSIONS,
    TIMES,
    WAITS,
    examined,
    manifest_of,
    signed,
    stream,
)
from unified.kit.importing.airbyte.conversion import convert
from unified.kit.importing.airbyte.needs.components import NEEDS
from unified.kit.importing.airbyte.needs.coverage import coverage
from unified.kit.importing.airbyte.needs.examination import examine


@pytest.mark.parametrize(("need", "form"), [pytest.param(need, form, id=name) for name, need, form in FORMS])
def test_a_form_needs_what_the_table_says(need: str, form: dict[str, Any]) -> None:
    (one,) = examined(form)
    assert one.refused == []
    assert one.needs - {BASIS} - ({PARENTS} if need == LISTS else set()) == {need} - {BASIS}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (signed(type="CustomAuthenticator", class_name="source_x.Auth"), "CustomAuthenticator: it is Python"),
        (signed(class_name="source_x.Auth"), "class_name: it is Python"),
        (
            stream(transformations=[{"type": "CustomTransformation", "class_name": "a.B"}]),
            "CustomTransformation",
        ),
        (stream(requester={"path": "{% if config.a %}/a{% endif %}"}), "path: statements"),
        (stream(requester={"path": "/{{ open('x') }}"}), "path: "),
        (signed(type="QuantumAuthenticator"), "QuantumAuthenticator: this component is not known"),
        (
            signed(type="OAuthAuthenticator", grant_type="sign_language"),
            "the grant 'sign_language' is not known",
        ),
    ],
)
def test_code_is_refused_by_its_name_and_its_neighbours_are_not(form: dict[str, Any], reason: str) -> None:
    odd, plain = examined(form, stream("plain"))
    assert any(reason in said for said in odd.refused)
    assert plain.refused == []


def test_schemas_migrations_and_an_end_that_is_now_do_not_count() -> None:
    loader = {
        "type": "InlineSchemaLoader",
        "schema": {"type": "object", "properties": {"a": {"type": "{% x %}"}}},
    }
    migrations = [{"type": "CustomStateMigration", "class_name": "a.B"}]
    (one,) = examined(stream(schema_loader=loader, state_migrations=migrations, incremental_sync=TIMES))
    assert (one.refused, one.needs) == ([], {BASIS})


def test_the_table_counts_manifests_and_streams_row_by_row() -> None:
    by_need = {need: next(form for _, one, form in FORMS if one == need) for need in NEEDS}
    manifests = [manifest_of({**form, "primary_key": "id"}) for form in by_need.values()]
    manifests.append(manifest_of(stream(), signed(type="CustomAuthenticator", class_name="a.B")))
    found = coverage((examine(one), convert(one, "desk", "Desk").streams) for one in manifests)
    assert (found.manifests, found.streams) == (10, 11)
    assert [(row.need, row.whole, row.streams, row.some) for row in found.rows] == [
        (need, place, place + 1, place + 1) for place, need in enumerate(NEEDS, 1)
    ]
    assert found.reasons["CustomAuthenticator"] == (1, 1)
    # The rest lack a parent, a token's address, a choice that signs.
    assert (found.here.whole, found.here.streams, found.here.some) == (6, 6, 6)


def test_dynamic_streams_and_budgets_are_seen() -> None:
    dynamic = {"type": "DynamicDeclarativeStream", "name": "boards", "stream_template": stream(),
               "components_resolver": {"type": "HttpComponentsResolver", "components_mapping": []}}  # fmt: skip
    plain, made = examined(
        stream(), dynamic_streams=[dynamic], api_budget={"type": "HTTPAPIBudget", "policies": []}
    )
    assert plain.needs == {BASIS, WAITS}
    assert (made.name, DYNAMIC in made.needs) == ("boards", True)


REFERENCE = Path(__file__).parents[6] / "shared" / "reference" / "declarative.md"
WORDS = {
    BASIS: ("key/bearer/basic", "page, offset, cursor, next URL", "error handlers", "date-time cursor"),
    PARENTS: ("parents",),
    LISTS: ("list router",),
    FIELDS: ("add/remove/rename fields", "filter"),
    OAUTH: ("OAuth",),
    SESSIONS: ("choice of auth", "session token"),
    WAITS: ("wait headers", "call-rate budget"),
    BODIES: ("body kinds", "JWT", "CSV/JSONL/gzip/zip/XML"),
    DYNAMIC: ("grouping", "dynamic streams", "async jobs"),
}


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the table (../shared/reference) is not on this machine")
def test_the_rows_are_those_of_the_table_that_was_measured() -> None:
    """In its order, each with what it names, and each form counted from its row on."""
    _, _, table = REFERENCE.read_text().partition("| engine has |")
    rows = re.findall(r"^\| (.+?) \| [\d.]+ %? ?\|", table.partition("\n\n")[0], re.MULTILINE)
    assert len(rows) == len(NEEDS)
    for need, row in zip(NEEDS, rows, strict=True):
        assert [word for word in WORDS[need] if word not in row] == []
    manifests = [manifest_of(form) for _, _, form in FORMS]
    found = coverage((examine(one), []) for one in manifests)
    needs = [NEEDS.index(need) for _, need, _ in FORMS]
    assert [(row.need, row.whole, row.streams, row.some) for row in found.rows] == [
        (need, *[sum(one <= place for one in needs)] * 3) for place, need in enumerate(NEEDS)
    ]
