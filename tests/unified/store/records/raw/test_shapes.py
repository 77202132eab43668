"""What a dictionary keeps of the records that it is made of: names of fields, and nothing that is one person's."""

import json
from collections.abc import Iterable

import pytest
from backports import zstd

from unified.store.records.raw import shapes
from unified.store.records.raw.shapes import PERSONS, Sample


def record(number: int, **more: object) -> bytes:
    return json.dumps(
        {
            "id": f"cus_{number:014}",
            "email": "canary@acme.com",  # all of these records are one person's
            "name": 'Canary "the" O\\Neil \u00fc',
            "balance": 1234567.89,
            "metadata": {
                "canary@acme.com": 1,
                "4242424242": 2,
                "jane-doe": True,
                "x" * 65: None,
                "ok_2": [-1e9],
            },
            "created": 1790000000 + number,
            **more,
        },
        indent=1 if number % 2 else None,
    ).encode()


def of_one(records: Iterable[bytes]) -> list[Sample]:
    return [Sample(raw, "canary@acme.com") for raw in records]


def shape(records: Iterable[Sample]) -> bytes:
    return shapes.shapes([*records])[0]


def test_shapes_are_json_without_values() -> None:
    (compact, indented) = shapes.shapes(of_one([record(0), record(1)]))
    assert b"\n" in indented
    assert b"\n" not in compact
    assert [json.loads(one) for one in (compact, indented)] == [
        {"id": "", "email": "", "name": "", "balance": 0, "metadata": {"": None, "ok_2": [0]}, "created": 0}
    ] * 2


def test_a_name_of_a_field_is_one_that_half_of_the_records_have() -> None:
    rare = [record(number, jane=1) for number in range(49)] + [record(number) for number in range(51)]
    assert not any(b"jane" in one for one in shapes.shapes(of_one(rare)))
    usual = [record(number, jane=1) for number in range(50)] + [record(number) for number in range(50)]
    assert any(b"jane" in one for one in shapes.shapes(of_one(usual)))


@pytest.mark.parametrize("word", ["canary", "Canary", "acme", "4242", "1790000", "cus_", "doe", "Neil"])
def test_a_dictionary_holds_no_value_of_any_record(word: str) -> None:
    made = shapes.dictionary(of_one(record(number) for number in range(200)))
    assert b'"metadata"' in made
    assert word.encode() not in made


def test_it_makes_unknown_records_of_the_stream_small() -> None:
    dictionary = zstd.ZstdDict(shapes.dictionary(of_one(record(number) for number in range(200))))
    new = record(777_777)
    small = zstd.compress(new, shapes.LEVEL, zstd_dict=dictionary)
    assert zstd.decompress(small, zstd_dict=dictionary) == new
    assert len(small) < len(zstd.compress(new, shapes.LEVEL)) * 0.8


def test_records_without_any_name_have_a_dictionary_too() -> None:
    assert shapes.dictionary(of_one([b"[1, 2, 3, 4, 5, 6, 7, 8]"] * 100))


def of_many(texts: Iterable[object], field: str = "url") -> list[Sample]:
    return [Sample(json.dumps({field: text}).encode(), f"p{number}") for number, text in enumerate(texts)]


def test_beginnings_and_endings_stay_that_many_persons_have() -> None:
    urls = [f"https://pay.example.com/{number % 10}{number:03}/pdf" for number in range(PERSONS)]
    assert shape(of_many(urls)) == b'{"url": "https://pay.example.com//pdf"}'
    assert shape(of_many(urls[1:])) == b'{"url": ""}', "one person less"
    assert shape([Sample(one.raw) for one in of_many(urls)]) == b'{"url": ""}', "of nobody"
    assert shape(of_many([17_900 + number for number in range(PERSONS)])) == b'{"url": 179}'
    assert shape(of_many(["paid"] * PERSONS)) == b'{"url": "paid"}'
    assert shape(of_many([""] * PERSONS)) == b'{"url": ""}'
    one = of_many([f"{name}@acme.com" for name in ["ann"] * PERSONS + ["zoe"]])
    assert shapes.shapes(one)[-1] == b'{"url": "@acme.com"}'
    assert shape(of_many(["paid"] * PERSONS, "4242")) == b'{"": ""}', "of a field whose name is none"


def test_a_value_never_stays_by_its_beginning_and_its_ending() -> None:
    begins, ends = (
        [f"ann{number:02}xx" for number in range(PERSONS)],
        [f"yy{number:02}ette" for number in range(PERSONS)],
    )
    (last,) = shapes.shapes(of_many([*begins, *ends, "annette"]))[-1:]
    assert last == b'{"url": "ann"}'


def test_texts_are_found_behind_statistics_with_a_quotation_mark() -> None:
    shape = b'{\n            "object": "",\n            "cus_NffrFeUfNV": 0,\n            "livemode": true\n}'
    found = json.loads(shapes.texts(b'7\xa40\xec\x00"\x01\x80\\\x02\x03\x04\x05\x06\x07\x08' + shape))
    assert {"object", "cus_NffrFeUfNV", "livemode"} <= set(found)
