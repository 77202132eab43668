"""U+0000 in raw records: kept so that SQL can read them, and given back as it was received."""

import json

import pytest

from unified.store.records.raw.json_text import received, stored


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"name": "Nu\u0000l"}',
        rb'{"\u0000key": ["\u0000", "a\u0000\u0000b"]}',
        rb'{"text": "\\u0000 is no escape", "and": "\\\u0000 is one"}',
        rb'{"text": "\ufffd and \uFFFD are the source\u0027s own"}',
        b"{}",
    ],
)
def test_text_comes_back_as_it_was_received(raw: bytes) -> None:
    kept = stored(raw)
    assert received(kept) == raw
    assert "\0" not in repr(json.loads(kept)).replace("\\x00", "\0")
    assert json.loads(received(kept)) == json.loads(raw)


def test_a_source_that_spells_as_we_do_keeps_its_meaning() -> None:
    raw = rb'{"text": "\uFfFd"}'
    assert json.loads(received(stored(raw))) == json.loads(raw)


def test_text_that_only_looks_like_the_escape_is_left_alone() -> None:
    raw = rb'{"text": "\\u0000"}'
    assert stored(raw) == raw
