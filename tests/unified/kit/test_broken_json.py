"""JSON that breaks a rule: mended, so that one value does not cost all that stands around it."""

from typing import Any

import httpx
import msgspec
import pytest

from unified.kit.decoding import decode_record
from unified.kit.errors import MappingError
from unified.kit.http.answers import Answer

PAGE = msgspec.json.Decoder(list[msgspec.Raw])


def page(*records: bytes) -> list[Any]:
    answer = Answer(200, httpx.Headers(), b"[" + b",".join(records) + b"]")
    return [msgspec.json.decode(record) for record in answer.decoded(PAGE)]


@pytest.mark.parametrize(
    ("odd", "read"),
    [
        (b"NaN", "NaN"),
        (b"-Infinity", "-Infinity"),
        (b"[Infinity, 1]", ["Infinity", 1]),
        (rb'"bis bald \ud83d"', "bis bald \ufffd"),
        (rb'"\ude00 \ud83d\ude00 \ud83dx"', "\ufffd \U0001f600 \ufffdx"),
        (b'"two\nlines\tand \x01"', "two\nlines\tand \x01"),
        (rb'"NaN, \"Infinity\" and \\"', 'NaN, "Infinity" and \\'),
    ],
)
def test_one_odd_value_does_not_cost_its_page(odd: bytes, read: Any) -> None:
    found = page(
        b'{"id": 1, "name": "NaN"}', b'{"id": 2, "name": ' + odd + b"}", rb'{"id": 3, "d": "\ud83d"}'
    )
    assert found == [{"id": 1, "name": "NaN"}, {"id": 2, "name": read}, {"id": 3, "d": "\ufffd"}]


def test_a_byte_order_mark_is_left_out() -> None:
    assert Answer(200, httpx.Headers(), b"\xef\xbb\xbf[1]").decoded(PAGE) == [msgspec.Raw(b"1")]


@pytest.mark.parametrize("body", [b"[1, 2", b"<html>", b"[NaN", b"[nan]", b"[True]", b"{]"])
def test_what_can_not_be_mended_is_still_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Answer(200, httpx.Headers(), body).decoded(PAGE)


def test_a_number_beyond_all_bounds_costs_its_field_alone() -> None:
    assert decode_record(b'{"id": "a", "quantity": 1e999, "price": 1.5}') == {
        "id": "a",
        "quantity": "1e999",
        "price": 1.5,
    }


def test_nesting_without_end_is_a_reason_and_no_crash() -> None:
    with pytest.raises(MappingError, match="unexpected form"):
        decode_record(b"[" * 100_000 + b"]" * 100_000)
