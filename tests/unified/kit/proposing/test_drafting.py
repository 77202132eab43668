"""Proposals are rules that work, with the steps that their fields need, and what a person should look at."""

from typing import Any

from hypothesis import strategies as st

from tests.properties import given
from unified.kit.mapping.compiled import FieldRules, check
from unified.kit.proposing.drafting import Proposals, propose
from unified.kit.proposing.fields import ForeignField, digest, observed
from unified.schema.entities import ENTITIES

MODELS = {entity.name: entity.model for entity in ENTITIES}
INVOICE = {
    "id": "in_1", "number": "A-1", "currency": "eur", "state": "Paid", "client": {"id": 7}, "created": 1767225600,
    "subtotal": 1000, "tax": 190, "total": 1190, "rows": [{"id": 1, "amount": 1000, "text": "x", "qty": 2}],
}  # fmt: skip


def rules(found: Proposals) -> dict[str, dict[str, Any]]:
    return {one.target: one.rule.as_json() for one in found.rules if one.rule is not None}


def remarks(found: Proposals) -> dict[str, tuple[str, ...]]:
    return {one.target: one.remarks for one in found.rules if one.remarks}


def proposed(entity: str, *records: dict[str, Any]) -> Proposals:
    return propose(entity, observed(records))


def test_whole_numbers_are_taken_for_cents_and_a_person_is_asked() -> None:
    found = proposed("invoices", INVOICE)
    assert rules(found)["total"]["steps"] == [{"do": "money", "unit": "minor", "currency": "currency"}]
    assert "compare one with its source" in remarks(found)["total"][0]
    line = {one["target"]: one for one in rules(found)["line_items"]["lines"]}
    assert line["amount"]["steps"] == [{"do": "money", "unit": "minor", "currency": "$.currency"}]
    assert "steps" not in line["quantity"]


def test_fractions_are_whole_units() -> None:
    found = proposed("invoices", {**INVOICE, "subtotal": 10.5})
    assert "steps" not in rules(found)["total"]


def test_cents_without_a_currency_need_one_named() -> None:
    found = proposed("invoices", {"total_cents": 500, "id": 1})
    assert "steps" not in rules(found)["total"]
    assert "name its code" in remarks(found)["total"][0]


def test_words_of_a_status_become_ours_and_unknown_ones_are_named() -> None:
    found = proposed("invoices", *({**INVOICE, "state": word} for word in ("Sent", "Paid", "Frobbed")))
    assert rules(found)["status"]["steps"] == [{"do": "enum", "table": {"Sent": "open", "Paid": "paid"}}]
    assert remarks(found)["status"] == ("say what these mean: Frobbed",)
    assert rules(found)["remote_status"] == {"target": "remote_status", "source": "state"}


def test_an_id_is_said_by_no_rule() -> None:
    found = proposed("invoices", INVOICE)
    assert "source_id" not in rules(found)
    known = found.identity("source_id")
    assert known is not None
    assert known.source == "id"


def test_parts_of_a_name_become_one_and_what_is_archived_is_not_active() -> None:
    raw = {"first_name": "Ada", "last_name": "Lovelace", "archived": False, "tags": "a,b", "home_phone": "+41 44 1",
           "mobile": "+41 79 1", "other_phone": "+41 58 1"}  # fmt: skip
    found = rules(proposed("customers", raw))
    assert found["name"]["steps"] == [{"do": "collect", "paths": ["last_name"]}, {"do": "join", "by": " "}]
    assert found["is_active"]["steps"] == [{"do": "not"}]
    assert found["tags"]["steps"] == [{"do": "split", "by": ","}] or found["tags"]["steps"] == [
        {"do": "split"}
    ]
    assert found["phones"]["source"] in ("mobile", "other_phone")


def test_what_nothing_fits_is_listed() -> None:
    assert "zodiac" in proposed("customers", {"id": 1, "zodiac": "Aries"}).unmatched
    lines = proposed("invoices", INVOICE)
    assert not any(path.startswith("rows[0]") for path in lines.unmatched)


def test_a_shape_has_a_digest_that_values_do_not_change() -> None:
    one, other = (digest(observed([{"a": value}])) for value in ("x", "y"))
    assert one == other
    assert digest([ForeignField("a", "string", description="new")]) != one


KEYS = st.sampled_from(
    ["id", "name", "email", "phone", "total", "amount", "tax", "status", "type", "created", "items", "paid_at", "tags",
     "currency", "line1", "first_name", "last_name", "archived", "odd.key", "$", "x['y']", "address"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=15,
)


@given(
    st.lists(st.dictionaries(KEYS, VALUES, max_size=8), min_size=1, max_size=3),
    st.sampled_from(sorted(MODELS)),
)
def test_whatever_is_proposed_works(records: list[dict[str, Any]], entity: str) -> None:
    found = [one.rule for one in propose(entity, observed(records)).rules if one.rule is not None]
    check(MODELS[entity], found)
    FieldRules(MODELS[entity], found)
