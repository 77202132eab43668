"""Paths: walks over keys and indexes, and queries of RFC 9535, which lead to a value, to nothing, or to a reason."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.kit.decoding import decode_exactly
from unified.kit.mapping.paths import MOST_FOUND, compile_path
from unified.kit.mapping.refusals import Refused, RuleError

RECORD: dict[str, Any] = {
    "id": "1",
    "a": {"b": {"c": 1}, "x.y": 2, "it's": 3, "0": 4},
    "lines": [{"price": Decimal("1.5"), "kind": "a"}, {"price": Decimal("0.5"), "kind": "b"}, {"kind": "b"}],
    "empty": None,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", "1"),
        ("a.b.c", 1),
        ("$.a.b.c", 1),
        ("$['a']['b'].c", 1),
        ("a['x.y']", 2),
        ('a["x.y"]', 2),
        (r"a['it\'s']", 3),
        ("a.0", 4),
        ("lines.0.kind", "a"),
        ("lines[0].kind", "a"),
        ("lines[-1].kind", "b"),
        ("$", RECORD),
        ("nothing", None),
        ("nothing.at.all", None),
        ("id.deeper", None),
        ("lines[9].kind", None),
        ("lines.kind", None),
        ("empty.deeper", None),
        ("lines[*].kind", ["a", "b", "b"]),
        ("lines.*.kind", ["a", "b", "b"]),
        ("lines[?@.kind == 'b'].price", [Decimal("0.5")]),
        ("lines[?@.price > 1].kind", ["a"]),
        ("lines[?@.price == 1.5].kind", ["a"]),
        ("lines[0:2].kind", ["a", "b"]),
        ("lines[?length(@.kind) == 1].kind", ["a", "b", "b"]),
        ("$..price", [Decimal("1.5"), Decimal("0.5")]),
        ("$..[?@.kind == 'a'].price", [Decimal("1.5")]),
        ("nothing[*].kind", []),
        ("lines['0','kind'].price", []),
    ],
)
def test_a_path_leads_to_a_value_or_to_nothing(path: str, value: Any) -> None:
    assert compile_path(path)(RECORD, RECORD) == value


def test_a_path_begins_at_the_item_and_with_a_dollar_at_the_record() -> None:
    record = {"currency": "EUR", "lines": [{"currency": "USD"}]}
    line = record["lines"][0]
    assert compile_path("currency")(line, record) == "USD"
    assert compile_path("$.currency")(line, record) == "EUR"
    assert compile_path("$.lines[*].currency")(line, record) == ["USD"]


@pytest.mark.parametrize(
    "path",
    [
        "a..", "a.", ".", "a[", "a]", "a['b", "a[b]", "a.[?@.x", "a[?]", "x" * 501, ".".join("a" * 33),
        "$..a..b", "a[?@..b[?@..c]]",
    ],
)  # fmt: skip
def test_what_is_not_a_path_is_refused_before_anything_is_read(path: str) -> None:
    with pytest.raises(RuleError):
        compile_path(path)


def test_an_expression_is_not_a_path_and_the_message_says_where_it_goes() -> None:
    for path in ("{{ record.a }}", "{{ record.a }} / {{ record.b }}", "a.{{ b }}"):
        with pytest.raises(RuleError, match="do: template"):
            compile_path(path)
    record = {"{{ a }}": 1}
    assert compile_path("['{{ a }}']")(record, record) == 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a[?match(@.b, '(a+)+$')]", "match"),
        ("a[?search(@.b, '(a+)+$')]", "search"),
        ("a[?$.b[?$.c[?$.d]]]", "at its item"),
    ],
)
def test_what_could_take_for_ever_is_refused(path: str, reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        compile_path(path)


def test_a_query_that_finds_too_much_or_goes_too_deep_is_a_reason() -> None:
    many = {"a": list(range(MOST_FOUND + 1))}
    with pytest.raises(Refused, match="finds more than 10000"):
        compile_path("a[*]")(many, many)
    deep: Any = {}
    for _ in range(10_000):
        deep = {"a": deep}
    with pytest.raises(Refused, match="too deep"):
        compile_path("$..b")(deep, deep)
    assert compile_path("a.a.a.b")(deep, deep) is None


def test_numbers_keep_their_digits_on_their_way() -> None:
    body = (
        b'{"total": 12345678901234567.891, "huge": 1e999999999999999999999, "whole": 12345678901234567890123}'
    )
    record = decode_exactly(body)
    assert compile_path("total")(record, record) == Decimal("12345678901234567.891")
    assert compile_path("huge")(record, record) == "1e999999999999999999999"
    assert compile_path("whole")(record, record) == 12345678901234567890123


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=3), children, max_size=4)
    ),
    max_leaves=20,
)


@given(path=st.text(alphabet="ab.$[]*?@'\"0:-=< ()&", max_size=24), record=JSON)
def test_any_text_is_a_path_or_refused_and_any_record_gives_a_value(path: str, record: Any) -> None:
    try:
        read = compile_path(path)
    except RuleError:
        return
    try:
        read(record, record)
    except Refused:
        return
