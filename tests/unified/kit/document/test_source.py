"""Files are read with the line of each value, and nothing but plain data is read."""

from typing import Any

import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.kit.document.rules import read_rules_file
from unified.kit.document.source import DEEPEST, MOST_BYTES, DocumentError, read_source

FILE = b"""\
# rules of ours
- target: name
  source: a.b
  steps:
    - trim
    - do: money
      unit: cents
- {target: phone,
   sauce: c}
"""


def test_values_have_lines() -> None:
    source = read_source(FILE, "rules.yaml")
    assert source.value[0] == {
        "target": "name",
        "source": "a.b",
        "steps": ["trim", {"do": "money", "unit": "cents"}],
    }
    places: list[tuple[str | int, ...]] = [
        (0, "steps"),
        (0, "steps", 1, "unit"),
        (1, "sauce"),
        (1, "absent", 3),
        (),
    ]
    assert [source.line(place) for place in places] == [4, 7, 9, 8, 2]


def test_a_fault_has_file_line_and_place() -> None:
    with pytest.raises(DocumentError) as caught:
        read_rules_file(FILE, "rules.yaml")
    unit, sauce = str(caught.value).split("; rules.yaml:9: ")
    assert unit.startswith("rules.yaml:7: 0.steps.1.money.unit: ")
    assert sauce.startswith("1.sauce: there is no such key")
    good = FILE.replace(b"cents", b"major").replace(b"sauce", b"source")
    assert [rule.target for rule in read_rules_file(good, "rules.yaml")] == ["name", "phone"]
    with pytest.raises(DocumentError, match="f:1: the whole: "):
        read_rules_file(b"a: 1", "f")
    with pytest.raises(DocumentError, match="and 40 more"):
        read_rules_file(b"- {a: 1, target: b}\n" * 50, "f")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, true, null, "x", 1.50]}', {"a": [1, True, None, "x", "1.50"]}),
        (
            b"a: 2026-11-28\nb: yes\nc: '1'\nd: 0x10\ne: ~",
            {"a": "2026-11-28", "b": True, "c": "1", "d": 16, "e": None},
        ),
        (b"1: a\ntrue: b", {"1": "a", "true": "b"}),
        (b"a: &x 1", {"a": 1}),
        (b"a: |\n  two\n  lines", {"a": "two\nlines"}),
    ],
)
def test_plain_data_is_read(text: bytes, value: Any) -> None:
    assert read_source(text, "f").value == value


LAUGHS = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "f is empty"),
        (b"\xff", "f is not UTF-8"),
        (b"a: [1", "f:1: it is not YAML"),
        (b"a: 1\n b: 2", "f:2: it is not YAML"),
        (b"a: 1\nb: 2\na: 3", "f:3: the key 'a' comes a second time"),
        (b'{"a": 1, "a": 2}', "f:1: the key 'a' comes a second time"),
        (b"a: !!python/object/apply:os.system [id]", "f:1: tags"),
        (b"a: !x 1", "f:1: tags"),
        (LAUGHS, "f:2: aliases"),
        (b"---\na: 1\n---\nb: 2", "f:3: a second document"),
        (b"[1]: 2", "f:1: a key is text"),
        (b"a: \x00", "f.*not YAML"),
        (b"[" * (DEEPEST + 1), "nested more than 50"),
        (b"[" * 100_000, "nested more than 50"),
        (b"- 1\n" * 60_000, "more than 50,000 values"),
        (b"x" * (MOST_BYTES + 1), "larger than"),
        (b"a: " + b"9" * 5_000, "number can't be read"),
    ],
)
def test_all_else_is_refused_with_its_line(text: bytes, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason):
        read_source(text, "f")


@given(text=st.text(alphabet="ab:-[]{},&*!#|> \n'\"0.~?%@`", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_source(text.encode(), "f")
    except DocumentError:
        return
