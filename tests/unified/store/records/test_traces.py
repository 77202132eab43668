"""What names a person in other records, and what only looks like it."""

import pytest

from unified.store.records.traces import Traces

EVENT = b'{"objectId": 31}'
TRACES = Traces(
    {"customers": frozenset({"31", "cus_Longer1"})},
    frozenset({"ann@acme.example", "j\u00fcrgen@acme.example"}),
    lambda body: [("customers", "31"), ("invoices", "9")] if body == EVENT else [("invoices", "31")],
)


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ('{"customer": "cus_Longer1"}', True),
        ('{"customer": {"id":"cus_Longer1"}}', True),
        ('{"customer": "cus_Longer12"}', False),
        ('{"note": "see cus_Longer1"}', False),  # an id is a whole value
        ('{"to": "Ann@ACME.example"}', True),
        ('{"to": "Ann <ann@acme.example>"}', True),
        ('{"to": "mailto:ann@acme.example."}', True),
        ('{"to": "joann@acme.example"}', False),
        ('{"to": "x.ann@acme.example"}', False),
        ('{"to": "ann@acme.example.org"}', False),
        ('{"to": "j\u00fcrgen@acme.example"}', True),
        ('{"to": "j\\u00fcrgen@acme.example"}', True),
        ('{"quantity": 31, "text": "31"}', False),  # a short id is a number like any other
        (EVENT.decode(), True),
    ],
)
def test_what_names_a_person(text: str, *, is_named: bool) -> None:
    assert TRACES.are_in(text.encode()) is is_named
    assert TRACES.are_in(memoryview(text.encode())) is is_named


def test_which_records_are_the_persons() -> None:
    assert TRACES.names("customers", "31")
    assert not TRACES.names("invoices", "31")
    assert not TRACES.names("customers", None)


def test_nothing_is_found_by_nothing() -> None:
    assert Traces({}).pattern is None
    assert not Traces({}).are_in(b'{"a": "12345678"}')
