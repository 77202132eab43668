"""What a dictionary keeps of the records that it is made of: names of fields, and nothing that any of them says."""

import json

import pytest
from backports import zstd

from unified.store.records.raw import shapes


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


def test_shapes_are_json_without_values() -> None:
    (compact, indented) = shapes.shapes([record(0), record(1)])
    assert b"\n" in indented
    assert b"\n" not in compact
    assert [json.loads(one) for one in (compact, indented)] == [
        {"id": "", "email": "", "name": "", "balance": 0, "metadata": {"": None, "ok_2": [0]}, "created": 0}
    ] * 2


def test_a_name_of_a_field_is_one_that_half_of_the_records_have() -> None:
    rare = [record(number, jane=1) for number in range(49)] + [record(number) for number in range(51)]
    assert not any(b"jane" in one for one in shapes.shapes(rare))
    usual = [record(number, jane=1) for number in range(50)] + [record(number) for number in range(50)]
    assert any(b"jane" in one for one in shapes.shapes(usual))


@pytest.mark.parametrize("word", ["canary", "Canary", "acme", "4242", "1790000", "cus_", "doe", "Neil"])
def test_a_dictionary_holds_no_value_of_any_record(word: str) -> None:
    made = shapes.dictionary([record(number) for number in range(200)])
    assert b'"metadata"' in made
    assert word.encode() not in made


def test_it_makes_unknown_records_of_the_stream_small() -> None:
    dictionary = zstd.ZstdDict(shapes.dictionary([record(number) for number in range(200)]))
    new = record(777_777)
    small = zstd.compress(new, shapes.LEVEL, zstd_dict=dictionary)
    assert zstd.decompress(small, zstd_dict=dictionary) == new
    assert len(small) < len(zstd.compress(new, shapes.LEVEL)) * 0.8


def test_records_without_any_name_have_a_dictionary_too() -> None:
    assert shapes.dictionary([b"[1, 2, 3, 4, 5, 6, 7, 8]"] * 100)


def test_names_are_found_behind_statistics_with_a_quotation_mark() -> None:
    shape = b'{\n            "object": "",\n            "cus_NffrFeUfNV": 0,\n            "livemode": true\n}'
    assert json.loads(shapes.names(b'7\xa40\xec\x00"\x01\x80\\\x02\x03\x04\x05\x06\x07\x08' + shape)) == [
        "object",
        "cus_NffrFeUfNV",
        "livemode",
    ]
