"""Columns that are left out or hashed: what stands in a record's JSON text afterwards, byte for byte elsewhere."""

import json
import re
from typing import Any

import pytest

from unified.kit.errors import ConfigurationError, MappingError
from unified.kit.mapping.column_rules import MOST_FIELDS, Treatment, check, loosened
from unified.kit.mapping.columns import Columns, is_hashed
from unified.schema.customer import check_email

KEY = bytes(range(32))
RULES: dict[str, dict[str, Treatment]] = {
    "customers": {
        "email": "hash",
        "address": "omit",
        "tags": "omit",
        "lines.data.name": "hash",
        "score": "hash",
    },
    "invoices": {"number": "omit"},
}
COLUMNS = Columns(RULES, KEY, {"propertyName": ("propertyValue",)})


def cut(body: str, columns: Columns = COLUMNS) -> str:
    of_customers = columns.of("customers")
    assert of_customers is not None
    return of_customers(body.encode()).decode()


def test_a_field_is_emptied_in_its_kind_and_all_else_stays_as_it_was_written() -> None:
    body = ' {"id": 7, "address": {"city": "Ulm"}, "tags": ["a"], "amount": 1.50, "email":null, "name": "\\u0041"}'
    assert cut(body) == '{"id":7,"address":{},"tags":[],"amount":1.50,"email":null,"name":"\\u0041"}'
    assert cut('{"address": "Ulm"}') == '{"address":null}'


def test_a_key_that_stands_twice_or_is_written_otherwise_hides_nothing() -> None:
    assert "Ulm" not in cut('{"address": "Ulm", "address": "Ulm 2", "\\u0061ddress": "Ulm 3"}')


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"email": "Ada@Example.com "}', r'{"email":"hashed-(\w{32})@\w{8}\.test"}'),
        ('{"score": 1.50}', r'{"score":"hashed:\w{32}"}'),
        ('{"score": {"a": [true, "x", ""]}}', r'{"score":{"a":\[null,"hashed:\w{32}",""\]}}'),
        (
            '{"lines": {"data": [{"name": "x"}, {"name": null}, 3]}}',
            r'{"lines":{"data":\[{"name":"hashed:\w+"},{"name":null},3\]}}',
        ),
    ],
)
def test_values_are_hashed_one_by_one(body: str, expected: str) -> None:
    assert re.fullmatch(expected, cut(body))
    assert cut(cut(body)) == cut(body)


def test_equal_values_join_within_a_workspace_and_nowhere_else() -> None:
    one, other = cut('{"email": "Ada@Example.com"}'), cut('{"email": "ada@example.COM"}')
    assert one == other
    assert one != cut('{"email": "ada@example.org"}')
    assert one != cut('{"email": "ada@example.com"}', Columns(RULES, bytes(32)))
    domains = {
        json.loads(cut(f'{{"email": "{name}@example.com"}}'))["email"].partition("@")[2] for name in "abc"
    }
    assert len(domains) == 3


def test_what_only_looks_hashed_is_hashed() -> None:
    forged = f"hashed:{'0' * 32}"
    assert is_hashed(forged)
    assert forged not in cut(json.dumps({"score": forged}))


def test_without_the_key_what_is_hashed_stays_and_nothing_else_passes() -> None:
    keyless = Columns(RULES)
    hashed = cut('{"email": "ada@example.com", "score": "x"}')
    assert cut(hashed, keyless) == hashed
    with pytest.raises(ConfigurationError, match="without the workspace's key"):
        cut('{"email": "ada@example.com"}', keyless)


def test_a_hashed_address_is_an_address() -> None:
    hashed = json.loads(cut('{"email": "ada@example.com"}'))["email"]
    assert check_email(hashed) == hashed


def test_an_event_holds_records_of_any_stream_anywhere() -> None:
    event = {
        "data": {
            "object": {"email": "ada@example.com", "amount": 3},
            "previous_attributes": {"email": "a@b.example"},
        },
        "changes": [
            {"propertyName": "name", "propertyValue": "planted"},
            {"propertyName": "city", "propertyValue": "Ulm"},
        ],
        "number": "planted-7",
    }
    of_events = COLUMNS.of("events", is_log=True)
    assert of_events is not None
    kept = of_events(json.dumps(event).encode()).decode()
    for text in ("ada@", "a@b", "planted"):
        assert text not in kept
    assert '"amount":3' in kept
    assert "Ulm" in kept


@pytest.mark.parametrize("body", ["", "x", '"text"', "3", '{"email": ', '{"email": "\\ud800"', "[" * 100_000])
def test_what_is_no_object_is_not_kept(body: str) -> None:
    with pytest.raises(MappingError, match="not kept"):
        cut(body)
    assert COLUMNS.kept_event(body.encode()) == b"{}"


def test_streams_without_rules_are_left_alone() -> None:
    assert COLUMNS.of("charges") is None
    assert Columns().of("events", is_log=True) is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"id": "omit"}, "known and dated by id"),
        ({"meta": "hash"}, r"known and dated by meta\.updated"),
        ({"email": "drop"}, "omit or hash, not 'drop'"),
        ({"a..b": "omit"}, "not a field"),
        ({"a": "omit", "a.b": "hash"}, r"customers\.a\.b is part of customers\.a"),
        ({f"f{number}": "omit" for number in range(MOST_FIELDS + 1)}, "at most 200"),
    ],
)
def test_rules_that_can_not_work_are_refused(fields: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check("customers", fields, ("id", "meta.updated"))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"a": "omit"}, False),
        ({"a": "hash"}, {"a": "omit"}, False),
        ({"a.b": "hash"}, {"a": "omit"}, False),
        ({"a": "omit"}, {"a": "hash"}, True),
        ({"a": "omit"}, {"a.b": "omit"}, True),
        ({"a": "hash"}, {}, True),
    ],
)
def test_whether_more_is_to_be_stored(before: dict[str, Any], after: dict[str, Any], expected: bool) -> None:
    assert loosened(before, after) == expected
