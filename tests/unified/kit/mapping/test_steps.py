"""What each step makes of a value, and the reason where it can't: docs/rules.md shows the same."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.kit.mapping.compiled import compile_rules
from unified.kit.mapping.refusals import UNREADABLE, RuleError, because
from unified.kit.mapping.rules import read_rules
from unified.schema import UnifiedCustomer

NOT_TEXT = "text was expected, not a number; the step `text` makes it of numbers"
STRIPE_DIGITS = {"UGX": 2}


def run(value: Any, *steps: Any, **record: Any) -> Any:
    """What steps make of a record's ``v``; the reason, where they refuse it, after a ``!``."""
    return run_on({"v": value, **record}, *steps)


def run_on(record: Any, *steps: Any) -> Any:
    (rule,) = compile_rules(
        UnifiedCustomer, read_rules({"target": "custom_fields.x", "source": "v", "steps": steps})
    )
    try:
        return rule.value(record, record)
    except UNREADABLE as error:
        return f"!{because(error)}"


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


MINOR = {"do": "money", "unit": "minor", "currency": "c"}
MAJOR = {"do": "money", "unit": "major", "currency": "c"}
STATUS = {"do": "enum", "table": {"20": "open", "Paid": "paid"}}


@pytest.mark.parametrize(
    ("value", "steps", "made"),
    [
        ("a", ["text"], "a"),
        ("", ["text"], None),
        (20260012, ["text"], "20260012"),
        (Decimal("1.50"), ["text"], "1.50"),
        (True, ["text"], "true"),
        ([1], ["text"], "!text was expected, not a list"),
        (" a ", ["trim"], "a"),
        ("  ", ["trim"], None),
        (1, ["trim"], f"!{NOT_TEXT}"),
        (1, ["text", "trim"], "1"),
        ("Ab", ["lower"], "ab"),
        ("Ab", ["upper"], "AB"),
        ("1.50", ["number"], Decimal("1.50")),
        (7, ["number"], Decimal(7)),
        (" ", ["number"], None),
        ("1.234,50", [{"do": "number", "decimal": ",", "grouping": "."}], Decimal("1234.50")),
        ("1 234.50", [{"do": "number", "grouping": " "}], Decimal("1234.50")),
        ("1,234.50", ["number"], "!a number was expected, not such text"),
        ("1_000", ["number"], "!a number was expected, not such text"),
        ("NaN", ["number"], "!a number was expected, not such text"),
        ("\u0661", ["number"], "!a number was expected, not such text"),
        (True, ["number"], "!a number was expected, not true or false"),
        (1.5, ["number"], "!a double is not exact; records are decoded with the digits of their numbers"),
        ("28.11.2026", [{"do": "date", "format": "%d.%m.%Y"}], at(2026, 11, 28)),
        ("28.11.2026", [{"do": "date", "format": "%d.%m.%Y", "zone": "Europe/Zurich"}], at(2026, 11, 27, 23)),
        ("2026", [{"do": "date", "format": "%d.%m.%Y"}], "!the time is not written as %d.%m.%Y"),
        ("2026-11-28T10:00:00+02:00", ["moment"], at(2026, 11, 28, 8)),
        ("2026-08-31", ["moment"], at(2026, 8, 31)),
        ("2026-05-08 05:30:20", [{"do": "moment", "zone": "America/New_York"}], at(2026, 5, 8, 9, 30, 20)),
        (1793836800, ["moment"], at(2026, 11, 5)),
        (1793836800000, ["moment"], at(2026, 11, 5)),
        ("1793836800000", [{"do": "moment", "unit": "ms"}], at(2026, 11, 5)),
        (86400000, [{"do": "moment", "unit": "ms"}], at(1970, 1, 2)),
        ("/Date(1793836800000)/", ["moment"], at(2026, 11, 5)),
        ("/Date(1793836800000+0200)/", ["moment"], at(2026, 11, 5)),
        (Decimal("1793836800.5"), ["moment"], at(2026, 11, 5, 0, 0, 0, 500000)),
        ("soon", ["moment"], "!a time of ISO 8601 was expected, not such text; `date` reads other patterns"),
        (10**20, ["moment"], "!the count since 1970 is not a time between the years 1 and 9999"),
        ("Yes", ["boolean"], True),
        (0, ["boolean"], False),
        ("perhaps", ["boolean"], "!true or false was expected, not such text"),
        ("J", [{"do": "boolean", "yes": ["j"], "no": ["n"]}], True),
        (True, ["not"], False),
        (20, [STATUS], "open"),
        ("PAID", [STATUS], "paid"),
        ("gone", [STATUS], "!the table has no such value"),
        ("gone", [{**STATUS, "default": None}], None),
        ("gone", [{**STATUS, "default": "draft"}], "draft"),
        (None, [{**STATUS, "default": "draft"}], None),
        ("a, b,,c", ["split"], ["a", "b", "c"]),
        ("a;b", [{"do": "split", "by": ";"}], ["a", "b"]),
        (["Ada", None, "", "L"], ["join"], "Ada L"),
        ([1, 2], [{"do": "join", "by": "-"}], "1-2"),
        ([None, "", "b"], ["first"], "b"),
        ("b", ["first"], "b"),
        (None, [{"do": "first_of", "paths": ["w", "c"]}], "EUR"),
        ("", [{"do": "first_of", "paths": ["w", "c"]}], "EUR"),
        ("a", [{"do": "first_of", "paths": ["c"]}], "a"),
        ("a", [{"do": "collect", "paths": ["c", "v", "l"]}], ["a", "EUR", 1, 2]),
        ({"a": 1}, [{"do": "collect", "paths": ["v"]}], [{"a": 1}]),
        (None, [{"do": "collect", "paths": ["w"]}], None),
        ("a", [{"do": "constant", "value": "b"}], "b"),
        (None, [{"do": "default", "value": "b"}], "b"),
        ("a", [{"do": "default", "value": "b"}], "a"),
        ("a", [{"do": "template", "text": "{{ value }}-{{ record.c }}"}], "a-EUR"),
        ("a", [{"do": "template", "text": "{{ value * 2 }}"}], "!the expression calculates with text"),
        ([{"p": "a"}, {}, {"p": " b"}], [{"do": "each", "path": "p", "steps": ["trim"]}], ["a", "b"]),
        ("a", ["split", {"do": "each", "steps": ["upper"]}], ["A"]),
        ([{"p": 1}], [{"do": "each", "path": "p", "steps": ["trim"]}], f"!an item was left out: {NOT_TEXT}"),
        ([{"p": 1}, {"p": "2"}], [{"do": "sum", "path": "p"}], Decimal(3)),
        ([], ["sum"], Decimal(0)),
        ([1, None], ["sum"], "!an item has no number, so the sum would be wrong"),
        ([{"n": "2"}, {"n": 10}, {}, {"n": 1}], [{"do": "sort", "by": ["n"]}], [{"n": 1}, {"n": "2"}, {"n": 10}, {}]),
        ([{"n": "٣"}, {"n": 4}], [{"do": "sort", "by": ["n"]}], [{"n": 4}, {"n": "٣"}]),
        ({"a": 1, "b": "", "c": None, "d": 0}, [{"do": "omit", "keys": ["a"]}], {"d": 0}),
        (1050, [MINOR], Decimal("10.50")),
        ("0.25", [MINOR], Decimal("0.0025")),
        (Decimal("10.1"), [MAJOR], Decimal("10.10")),
        ("1e3", [MAJOR], Decimal("1000.00")),
        ("9" * 30, [MAJOR], "!an amount of more than 28 digits can't be kept exactly"),
        (Decimal("1E+999999"), [MAJOR], "!an amount of more than 28 digits can't be kept exactly"),
        (None, ["text", "trim", "number", "moment", "boolean", "split", MINOR], None),
    ],
)  # fmt: skip
def test_a_step(value: Any, steps: list[Any], made: Any) -> None:
    found = run(value, *steps, c="EUR", l=[1, 2, 1])
    assert (found, type(found)) == (made, type(made))


@pytest.mark.parametrize(
    ("amount", "currency", "made"),
    [
        (1050, "usd", Decimal("10.50")),
        (1050, "JPY", Decimal(1050)),
        (1050, "KWD", Decimal("1.050")),
        (1000, "UGX", Decimal(10)),
        (1050, None, "!minor units need the currency, and the record names none"),
        (1050, "dollars", "!a currency's code has three letters"),
    ],
)
def test_minor_units_are_counted_by_currency(amount: int, currency: str | None, made: Any) -> None:
    assert run(amount, {**MINOR, "digits": STRIPE_DIGITS}, c=currency) == made


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (["nonsense"], "nonsense"),
        ([{"do": "money"}], "unit"),
        ([{"do": "money", "unit": "minor"}], r"step 1 \(money\): say where the currency stands"),
        ([{"do": "money", "unit": "minor", "currency": "a", "code": "EUR"}], "say where the currency stands"),
        ([{"do": "date", "format": "%Q"}], "not a pattern"),
        ([{"do": "moment", "zone": "Mars/Olympus"}], "no time zone 'Mars/Olympus'"),
        ([{"do": "moment", "zone": "../../etc/passwd"}], "no time zone"),
        ([{"do": "boolean", "yes": ["x"], "no": ["X"]}], "under both"),
        ([{"do": "enum", "table": {"a": 1, "A": 2}}], "differ in case only"),
        ([{"do": "enum", "table": {}}], "table"),
        (
            ["text", {"do": "template", "text": "{{ 'x' ** 9 }}"}],
            r"step 2 \(template\): expressions have no pow",
        ),
        ([{"do": "template", "text": "{{ secret }}"}], "no 'secret' here"),
        (
            [{"do": "each", "steps": [{"do": "first_of", "paths": ["a["]}]}],
            r"step 1 \(each\): step 1 \(first_of\)",
        ),
        ([{"do": "number", "decimal": ",", "grouping": ","}], "grouping"),
        ([{"do": "trim", "extra": 1}], "extra"),
        (["trim"] * 21, "at most 20"),
    ],
)
def test_a_step_that_can_not_work_is_refused_with_its_place(steps: list[Any], reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        run("a", *steps)


STEPS = st.lists(
    st.sampled_from(
        ["text", "trim", "lower", "upper", "number", "moment", "boolean", "not", "split", "join", "first", "sum",
         "omit",
         MINOR, MAJOR, STATUS, {"do": "date", "format": "%d.%m.%Y"}, {"do": "first_of", "paths": ["a", "b"]},
         {"do": "collect", "paths": ["a", "b[*]"]}, {"do": "default", "value": 1}, {"do": "sort", "by": ["a"]},
         {"do": "each", "path": "a", "steps": ["number"]}, {"do": "template", "text": "{{ value }}{{ item.a }}"}]
    ),
    max_size=5,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["2026-11-28", "12.50", "EUR", Decimal("1E+400"), 10**400]),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.sampled_from("abcv"), children, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(value=JSON, steps=STEPS, other=JSON)
def test_steps_are_total(value: Any, steps: list[Any], other: Any) -> None:
    run(value, *steps, a=other, b=[other], c="EUR")
    run_on(other, *steps)


def test_values_of_any_size_and_depth_end_in_a_value_or_a_reason() -> None:
    deep: Any = "x"
    for _ in range(10_000):
        deep = [deep]
    for value in (deep, "x" * 10_000_000, "," * 10_000_000, ["1"] * 100_000, 10**5000):
        for step in ("text", "number", "moment", "boolean", "split", "join", "sum", MINOR, STATUS,
                     {"do": "collect", "paths": ["v"]}, {"do": "template", "text": "{{ value }}!"}):  # fmt: skip
            run(value, step, c="EUR")
