"""Expressions: Jinja's syntax over JSON values, a white list, limits, and one way to fail."""

import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.expressions.limits import MOST_ITEMS, MOST_TEXT
from unified.kit.mapping.expressions.times import CLOCK
from unified.kit.mapping.refusals import Refused, RuleError

SCOPE: dict[str, Any] = {
    "value": "Ada",
    "record": {
        "id": 7,
        "name": "Ada Lovelace",
        "total": Decimal("10.10"),
        "tags": ["a", "b"],
        "items": {"x": 1},
        "none": None,
        "yes": True,
        "long": "x" * 50_000,
        "longer": "x" * 70_000,
        "many": list(range(8_000)),
    },
}


def evaluate(source: str, scope: dict[str, Any] = SCOPE) -> Any:
    return compile_template(source, ("value", "record"))(scope)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ value }}", "Ada"),
        ("Dear {{ value }}!", "Dear Ada!"),
        ("{{ record.id }}", 7),
        ("{{ record.id }}{{ record.id }}", "77"),
        ("{{ record.tags }}", ["a", "b"]),
        ("{{ record['name'] }}", "Ada Lovelace"),
        ("{{ record.tags[0] }}-{{ record.tags[-1] }}", "a-b"),
        ("{{ record.name[:3] }}", "Ada"),
        ("{{ record.absent.deeper }}", None),
        ("{{ record.items }}", {"x": 1}),
        ("{{ record.absent }}|{{ record.none }}|{{ record.yes }}", "||true"),
        ("{{ record.absent | default('?') }}", "?"),
        ("{{ record.get('absent', 1) }}", 1),
        ("{{ '' | default('?', true) }}", "?"),
        ("{{ record.id + 1 }}", 8),
        ("{{ record.total * 3 }}", Decimal("30.30")),
        ("{{ 0.1 + 0.2 }}", Decimal("0.3")),
        ("{{ 7 // 2 }}{{ 7 % 2 }}", "31"),
        ("{{ 1 / 8 }}", Decimal("0.125")),
        ("{{ -record.id }}", -7),
        ("{{ 'a' ~ 1 ~ record.total }}", "a110.10"),
        ("{{ 'a' + 'b' }}", "ab"),
        ("{{ [1] + [2] }}", [1, 2]),
        ("{{ {'a': value} }}", {"a": "Ada"}),
        ("{{ 'p' if record.yes else 'c' }}", "p"),
        ("{{ 'p' if record.none }}", None),
        ("{{ record.id > 6 and record.id <= 7 }}", True),
        ("{{ 1 < record.id < 3 }}", False),
        ("{{ 1 == true }}", False),
        ("{{ 'a' in record.tags and 'x' in record.items and 'Lov' in record.name }}", True),
        ("{{ 'z' not in record.tags }}", True),
        ("{{ record.none is none and record.absent is not defined and record.id is number }}", True),
        ("{{ record.name | lower | replace(' ', '.') }}", "ada.lovelace"),
        ("{{ record.name.split(' ')[1].upper() }}", "LOVELACE"),
        ("{{ record.tags | join('; ') | trim }}", "a; b"),
        ("{{ '12' | int + 1 }}", 13),
        ("{{ '1.5' | float }}", Decimal("1.5")),
        ("{{ record.total | round(1) }}", Decimal("10.1")),
        ("{{ record.tags | length }}", 2),
        ("{{ '123' }}", "123"),
        ("{{ '1e5' }}", "1e5"),
        ("no expression", "no expression"),
    ],
)
def test_an_expression_has_a_value(source: str, value: Any) -> None:
    found = evaluate(source)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for a in value %}{% endfor %}", "no statements such as for"),
        ("{% set a = 1 %}", "no statements"),
        ("{{ other }}", "there is no 'other' here; an expression may use record, value"),
        ("{{ value | map('x') }}", "no filter 'map'"),
        ("{{ value.format(1) }}", "no method 'format'"),
        ("{{ range(9) }}", "no function 'range'"),
        ("{{ value() }}", "no function 'value'"),
        ("{{ value is divisibleby(3) }}", "no test"),
        ("{{ 'x' * 10 ** 9 }}", "no pow"),
        ("{{ value | replace('a') }}", "does not take 1 arguments"),
        ("{{ value | default(value='x') }}", "without names"),
        ("{{ value ", "can't be read"),
        ("{{ 1e400 }}", "more than 28 digits"),
        ("{{ " + "9" * 40 + " }}", "more than 28 digits"),
        ("{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "nested too deeply|more than 200"),
        ("{{ " + "not " * 900 + "1 }}", "nested too deeply|more than 200"),
        ("{{ " + " ~ ".join(["value"] * 300) + " }}", "more than 200 parts"),
        ("x" * 5_000, "longer than 4096"),
    ],
)
def test_what_expressions_do_not_have_is_refused_before_it_runs(source: str, reason: str) -> None:
    with pytest.raises(RuleError, match=reason):
        compile_template(source, ("value", "record"))


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ record.longer }}",
        "{{ record.long ~ record.long }}",
        "{{ record.long + record.long }}",
        "{{ record.long | replace('x', record.long) }}",
        "{{ record.many | join(record.long) }}",
        "{{ record.many + record.many }}",
        "{{ [record.long, record.long] }}",
        "{{ record.long.split('') }}",
        "{{ value + 1 }}",
        "{{ value > 1 }}",
        "{{ record ~ '' }}",
        "{{ 1 / 0 }}",
        "{{ 1 // 0 }}",
        "{{ 'x' | int }}",
        "{{ value.split(1) }}",
        "{{ 9999999999999999999999999999 * 9999999999999999999999999999 }}",
    ],
)
def test_what_does_not_fit_or_grows_is_refused_at_once(source: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Refused):
            evaluate(source)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_secret_in_the_scope_never_comes_into_an_error() -> None:
    scope = {"value": "s3cret-token", "record": {}}
    for source in ("{{ value + 1 }}", "{{ value | int }}", "{{ -value }}", "{{ value | round }}"):
        with pytest.raises(Refused) as caught:
            evaluate(source, scope)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ now_utc() }}", "2026-11-28T12:00:00Z"),
        ("{{ now_utc().strftime('%Y-%m-%dT%H:%M:%S.%_msZ') }}", "2026-11-28T12:00:00.000Z"),
        ("{{ today_utc() }}", "2026-11-28"),
        ("{{ (now_utc() - duration('P1DT12H')).strftime('%d.%m.%Y') }}", "27.11.2026"),
        ("{{ today_utc() + duration('P1W') }}", "2026-12-05"),
        ("{{ day_delta(-1, '%Y%m%d') }}", "20261127"),
        ("{{ now_utc().strftime('%s') }}", "1795867200"),
        ("{{ timestamp(record.at) }}", 1795867200),
        ("{{ format_datetime(record.at, '%Y/%m') }}", "2026/11"),
        ("{{ format_datetime('28.11.26', '%Y-%m-%d', '%d.%m.%y') }}", "2026-11-28"),
        ("{{ format_datetime(1795867200, '%ms') }}", "1795867200000"),
        ("{{ str_to_datetime(record.at) < now_utc() + duration('PT1S') }}", True),
        ("{{ max(str_to_datetime('2020-01-01'), now_utc() - duration('P1Y')) }}", "2025-11-28T12:00:00Z"),
        ("{{ min([3, 1, 2]) }}", 1),
        ("{{ 'since ' ~ str_to_datetime('2026-11-28T14:00:00+02:00') }}", "since 2026-11-28T12:00:00Z"),
    ],
)
def test_a_time_is_read_moved_and_written(source: str, value: Any) -> None:
    scope = {"record": {"at": "2026-11-28T12:00:00Z"}, "now": datetime(2026, 11, 28, 12, tzinfo=UTC)}
    assert compile_template(source, ("record",), CLOCK)(scope) == value


@pytest.mark.parametrize(
    "source",
    [
        "{{ now_utc().strftime('%999999999Y') }}",
        "{{ now_utc().strftime('%Q') }}",
        "{{ format_datetime(record.at, record.at * 1) }}",
        "{{ format_datetime(record.at, '%Y' ~ '%Y'.replace('Y', record.long)) }}",
        "{{ format_datetime('x', '%Y', record.long) }}",
        "{{ str_to_datetime([1]) }}",
        "{{ duration('P999999999Y') }}",
        "{{ now_utc() + duration('P999999Y') }}",
        "{{ now_utc() + 1 }}",
        "{{ now_utc() * 2 }}",
        "{{ now_utc() < '2020' }}",
        "{{ now_utc() < today_utc() }}",
        "{{ [now_utc()] }}",
        "{{ duration('P1D') }}",
        "{{ day_delta('1') }}",
        "{{ max(1, 'a') }}",
        "{{ max([]) }}",
        "{{ max({}) }}",
    ],
)
def test_a_time_that_is_none_or_grows_is_refused(source: str) -> None:
    scope = {"record": {"at": "2026-11-28", "long": "x" * 60_000}, "now": datetime(2026, 11, 28, tzinfo=UTC)}
    with pytest.raises(Refused):
        compile_template(source, ("record",), CLOCK)(scope)


def test_what_time_it_is_is_known_to_requests_alone() -> None:
    with pytest.raises(RuleError, match="no function 'now_utc'"):
        compile_template("{{ now_utc() }}", ("record",))


def test_functions_of_the_caller_can_be_called() -> None:
    evaluate = compile_template("{{ add(value, 2) }}", ("value",), {"add": lambda a, b: a + b})
    assert evaluate({"value": 1}) == 3


ATOMS = st.sampled_from(
    ["value", "record", "record.a", "record['b']", "record.l[0]", "1", "0", "2.5", "'x'", "''", "true", "none", "[]",
     "[value, 1]", "{'a': value}", "99999999999999999999999999"]
)  # fmt: skip
SOURCES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(
            inner,
            st.sampled_from(
                ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">", "<=", ">=", "in", "and", "or"]
            ),
            inner,
        ).map(lambda one: f"({one[0]} {one[1]} {one[2]})"),
        st.tuples(
            inner,
            st.sampled_from(
                [
                    "lower",
                    "upper",
                    "trim",
                    "length",
                    "first",
                    "last",
                    "int",
                    "float",
                    "string",
                    "abs",
                    "round",
                    "join",
                ]
            ),
        ).map(lambda one: f"({one[0]} | {one[1]})"),
        st.tuples(inner, inner, inner).map(lambda one: f"({one[0]} if {one[1]} else {one[2]})"),
        st.tuples(inner, inner).map(lambda one: f"({one[0]})[{one[1]}]"),
        st.tuples(inner, inner).map(lambda one: f"({one[0]})[:{one[1]}]"),
        st.tuples(inner, inner).map(lambda one: f"({one[0]} | replace('x', {one[1]}))"),
        st.tuples(inner, inner).map(lambda one: f"({one[0]}).split({one[1]})"),
        inner.map(lambda one: f"(not {one})"),
        inner.map(lambda one: f"(-({one}))"),
    ),
    max_leaves=12,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.decimals() | st.floats(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("abl"), children, max_size=3)
    ),
    max_leaves=10,
)


def size(value: Any) -> tuple[int, int]:
    """Characters and parts of a JSON value."""
    if isinstance(value, str):
        return len(value), 1
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    sizes = [size(part) for part in parts]
    return sum(one for one, _ in sizes), 1 + sum(two for _, two in sizes)


@given(source=SOURCES, value=JSON, record=JSON)
def test_an_expression_gives_a_small_value_or_our_own_error(source: str, value: Any, record: Any) -> None:
    try:
        found = evaluate(f"{{{{ {source} }}}}", {"value": value, "record": record})
    except (RuleError, Refused):
        return
    characters, parts = size(found)
    assert characters <= MOST_TEXT
    assert parts <= MOST_ITEMS


@given(source=st.text(alphabet="{}%#value.record|[]()'\"+-*/~<>=! ifelsenotdin0123456789e_,:", max_size=60))
def test_any_text_is_an_expression_or_refused(source: str) -> None:
    try:
        evaluate(source)
    except (RuleError, Refused):
        return
