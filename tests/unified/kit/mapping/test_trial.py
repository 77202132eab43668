"""A trial says what rules do to samples, and what looks odd in the records that they make."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from weakref import ref

import pytest

from tests.unified.kit.mapping.records import NOW, ORIGIN
from unified.kit.errors import MappingError
from unified.kit.mapping.compiled import StreamMapping, compile_rules
from unified.kit.mapping.rules import StreamRules, read_rules
from unified.kit.mapping.trial import Trial, Tryout, shape
from unified.schema import UnifiedInvoice
from unified.schema.base import UnifiedBase

MINOR = {"do": "money", "unit": "minor", "currency": "c"}


def tried(raws: list[Any], *rules: dict[str, Any]) -> Trial:
    declared = StreamRules.model_validate({"id": {"paths": ["id"]}, "rules": list(rules)})
    mapping = StreamMapping(UnifiedInvoice, declared)

    def made(raw: Any) -> UnifiedBase | str:
        try:
            return mapping.to_unified(raw, ORIGIN)
        except MappingError as error:
            return str(error)

    tryout = Tryout(mapping.compiled, NOW)
    for raw in raws:
        tryout.see(raw, made(raw))
    return tryout.result()


def test_each_rule_is_counted_with_its_reasons_and_types() -> None:
    raws = [{"id": 1, "n": "A-1"}, {"id": 2}, {"id": 3, "n": []}, {"id": None, "n": 5}]
    trial = tried(raws, {"target": "invoice_number", "source": "n"})
    (rule,) = trial.rules
    assert (trial.records, dict(trial.rejected)) == (4, {"the record has no readable id": 1})
    assert (rule.filled, rule.null, rule.rejected) == (2, 1, 1)
    assert dict(rule.reasons) == {"text was expected, not a list": 1}
    assert dict(rule.types) == {"text": 1, "null": 1, "a list": 1, "a number": 1}
    assert rule.examples == [("A-9", "A-9"), ("9", "9")]


def test_lines_are_counted_by_line() -> None:
    raws = [{"id": 1, "c": "EUR", "rows": [{"a": 5}, {"a": "x"}]}, {"id": 2, "rows": "none"}]
    lines = [{"target": "amount", "source": "a", "steps": [{**MINOR, "currency": "$.c"}]}]
    trial = tried(raws, {"target": "line_items", "source": "rows", "lines": lines})
    whole, amount = trial.rules
    assert (whole.target, whole.filled, whole.rejected) == ("line_items", 1, 1)
    assert (amount.target, amount.filled, amount.rejected) == ("line_items.amount", 1, 1)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ("Ada Lovelace 1815", "Aaa Aaaaaaaa 9999"),
        ("x" * 100, "a" * 40 + "…"),
        (Decimal("99.90"), "99.99"),
        (True, "true"),
        (None, "null"),
        ([1, 2], "a list of 2"),
        ({"a": 1}, "an object of 1 key"),
        (NOW, "9999-99-99 99:99"),
    ],
)
def test_an_example_is_a_shape(value: Any, masked: str) -> None:
    assert shape(value) == masked


def test_no_value_is_in_a_trial() -> None:
    trial = tried([{"id": 1, "n": "Secret Name", "m": {"Secret": 1}}], {"target": "memo", "source": "n"},
                  {"target": "currency", "source": "n"}, {"target": "total", "source": "m"})  # fmt: skip
    assert "Secret" not in repr(trial)


def remarks(raws: list[dict[str, Any]], *rules: dict[str, Any]) -> str:
    return "\n".join(tried([{"id": place, **raw} for place, raw in enumerate(raws)], *rules).remarks)


TOTAL = {"target": "total", "source": "t", "required": True}


def test_what_looks_odd_is_said() -> None:
    cents = [{"t": 1050 + n, "c": "EUR"} for n in range(6)]
    assert "every amount is a whole number" in remarks(cents, TOTAL)
    assert "every amount" not in remarks(cents, {**TOTAL, "steps": [MINOR]})
    assert "every amount" not in remarks([*cents, {"t": Decimal("1.5")}], TOTAL)
    assert "1 amounts have a fraction" in remarks(
        [*cents, {"t": Decimal("1.5")}], {**TOTAL, "steps": [MINOR]}
    )
    currency = {"target": "currency", "source": "c"}
    assert "such as JPY or KWD" in remarks(cents, TOTAL, currency)
    assert "such as JPY or KWD" not in remarks([*cents, {"t": 1, "c": "JPY"}], TOTAL, currency)
    assert "not `required`" in remarks(cents, {**TOTAL, "required": False})
    assert "not `required`" not in remarks(cents, TOTAL)
    assert "nothing stands at nowhere in any sample" in remarks(
        cents, {"target": "memo", "source": "nowhere"}
    )


def test_amounts_that_do_not_add_up_are_counted() -> None:
    rules = [
        {"target": name, "source": name}
        for name in ("total", "subtotal", "tax", "discount", "amount_paid", "amount_remaining")
    ]
    right = {"total": 11, "subtotal": 10, "tax": 2, "discount": 1, "amount_paid": 5, "amount_remaining": 6}
    assert "is not the total" not in remarks([right, {"total": 5}], *rules)
    found = remarks([right, {**right, "tax": 1}, {**right, "amount_paid": 6}], *rules)
    assert "in 1 of 3 invoices subtotal + tax - discount is not the total" in found
    assert "in 1 of 3 invoices amount_paid + amount_remaining is not the total" in found


def test_times_long_ago_ids_twice_and_unknown_words_are_said() -> None:
    rules = [{"target": "issue_date", "source": "at", "steps": [{"do": "moment", "unit": "ms"}]},
             {"target": "status", "source": "s"}]  # fmt: skip
    raws = [{"id": 1, "at": 1793836800, "s": "OPEN"}, {"id": 1, "at": 1793836800000, "s": "gone"}]
    found = "\n".join(tried(raws, *rules).remarks)
    assert "issue_date is before 1990 or after 2036 in 1 record" in found
    assert "1 id of more than one record" in found
    twice = tried([raws[1], raws[1]], *rules).remarks
    assert "of more than one record" not in "\n".join(twice)
    assert "status: no word for 'gone'" in found
    table = {"target": "status", "source": "s", "steps": [{"do": "enum", "table": {"OPEN": "open"}}]}
    assert "status: no word for 'gone'" in "\n".join(tried(raws, table).remarks)


class Raw(dict[str, Any]):
    """An object that can be seen to go."""


def test_a_trial_keeps_no_record() -> None:
    raw = Raw(id=1)
    gone = ref(raw)
    tryout = Tryout(compile_rules(UnifiedInvoice, ()), NOW)
    tryout.see(raw, UnifiedInvoice(**ORIGIN.identify("1"), raw_data=raw))
    del raw
    assert gone() is None


def test_a_trial_takes_any_sample() -> None:
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    rules = compile_rules(UnifiedInvoice, read_rules([TOTAL, {"target": "tags", "source": "t"}]))
    for raw in (None, 5, [], "x", {"t": deep}, {"t": "x" * 1_000_000}):
        tryout = Tryout(rules, datetime(2026, 1, 1, tzinfo=UTC))
        tryout.see(raw, "no")
        assert tryout.result().records == 1
