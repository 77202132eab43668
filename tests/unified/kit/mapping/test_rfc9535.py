"""Paths beside RFC 9535's own examples (https://www.rfc-editor.org/rfc/rfc9535), and where ours are narrower.

A path of keys and indexes gives its value; any other gives the list of what it finds. The package's own compliance
suite is not part of its wheel. What else paths do: `test_paths`.
"""

from typing import Any

import pytest

from unified.kit.decoding import decode_exactly
from unified.kit.mapping.paths import compile_path
from unified.kit.mapping.refusals import RuleError

# The documents of sections 1.5, 2.3.1.3, 2.3.2.3, 2.3.3.3, 2.3.4.3, 2.3.5.3, 2.5.2.3 and 2.6.1.
STORE = b"""{"store": {
  "book": [
    {"category": "reference", "author": "Nigel Rees", "title": "Sayings of the Century", "price": 8.95},
    {"category": "fiction", "author": "Evelyn Waugh", "title": "Sword of Honour", "price": 12.99},
    {"category": "fiction", "author": "Herman Melville", "title": "Moby Dick", "isbn": "0-553-21311-3", "price": 8.99},
    {"category": "fiction", "author": "J. R. R. Tolkien", "title": "The Lord of the Rings", "isbn": "0-395-19395-8",
     "price": 22.99}
  ],
  "bicycle": {"color": "red", "price": 399}
}}"""
QUOTED = b"""{"o": {"j j": {"k.k": 3}}, "'": {"@": 2}}"""
WILD = b"""{"o": {"j": 1, "k": 2}, "a": [5, 3]}"""
LETTERS = b"""["a", "b", "c", "d", "e", "f", "g"]"""
FILTERED = b"""{
  "a": [3, 5, 1, 2, 4, 6, {"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}],
  "o": {"p": 1, "q": 2, "r": 3, "s": 5, "t": {"u": 6}},
  "e": "f"
}"""
DEEP = b"""{"o": {"j": 1, "k": 2}, "a": [5, 3, [{"j": 4}, {"k": 6}]]}"""
NULLS = b"""{"a": null, "b": [null], "c": [{}], "null": 1}"""

AUTHORS = ["Nigel Rees", "Evelyn Waugh", "Herman Melville", "J. R. R. Tolkien"]


def found(document: bytes, path: str) -> Any:
    record = decode_exactly(document)
    return compile_path(path)(record, record)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.store.book[*].author", AUTHORS),
        ("$..author", AUTHORS),
        ("$.store..price", "8.95 12.99 8.99 22.99 399"),
        ("$..book[2].author", ["Herman Melville"]),
        ("$..book[2].publisher", []),
        ("$..book[-1].author", ["J. R. R. Tolkien"]),
        ("$..book[0,1].author", AUTHORS[:2]),
        ("$..book[:2].author", AUTHORS[:2]),
        ("$..book[?@.isbn].author", AUTHORS[2:]),
        ("$..book[?@.price<10].author", ["Nigel Rees", "Herman Melville"]),
        ("$.store.bicycle.color", "red"),
        ("$.store.book[0].title", "Sayings of the Century"),
        ("$['store']['book'][0]['title']", "Sayings of the Century"),
    ],
)
def test_the_book_store(path: str, expected: Any) -> None:
    made = found(STORE, path)
    if path.endswith("price"):
        assert sorted(map(str, made)) == sorted(expected.split())
    else:
        assert made == expected


def test_all_of_the_book_store() -> None:
    books, bicycle = found(STORE, "$.store.*")
    assert (len(books), bicycle) == (4, {"color": "red", "price": 399})
    assert len(found(STORE, "$..*")) == 27


@pytest.mark.parametrize(
    ("document", "path", "expected"),
    [
        (QUOTED, "$.o['j j']", {"k.k": 3}),
        (QUOTED, "$.o['j j']['k.k']", 3),
        (QUOTED, '$.o["j j"]["k.k"]', 3),
        (QUOTED, """$["'"]["@"]""", 2),
        (WILD, "$[*]", [{"j": 1, "k": 2}, [5, 3]]),
        (WILD, "$.o[*]", [1, 2]),
        (WILD, "$.o[*, *]", [1, 2, 1, 2]),
        (WILD, "$.a[*]", [5, 3]),
        (LETTERS, "$[1]", "b"),
        (LETTERS, "$[-2]", "f"),
        (LETTERS, "$[1:3]", ["b", "c"]),
        (LETTERS, "$[5:]", ["f", "g"]),
        (LETTERS, "$[1:5:2]", ["b", "d"]),
        (LETTERS, "$[5:1:-2]", ["f", "d"]),
        (LETTERS, "$[::-1]", list("gfedcba")),
        (LETTERS, "$[0, 3]", ["a", "d"]),
        (LETTERS, "$[0:2, 5]", ["a", "b", "f"]),
        (LETTERS, "$[0, 0]", ["a", "a"]),
        (FILTERED, "$.a[?@.b == 'kilo']", [{"b": "kilo"}]),
        (FILTERED, "$.a[?(@.b == 'kilo')]", [{"b": "kilo"}]),
        (FILTERED, "$.a[?@>3.5]", [5, 4, 6]),
        (FILTERED, "$.a[?@.b]", [{"b": "j"}, {"b": "k"}, {"b": {}}, {"b": "kilo"}]),
        (FILTERED, "$[?@[?@.b]][0]", [3]),
        (FILTERED, "$.o[?@<3, ?@<3]", [1, 2, 1, 2]),
        (FILTERED, """$.a[?@<2 || @.b == "k"]""", [1, {"b": "k"}]),
        (FILTERED, "$.o[?@>1 && @<4]", [2, 3]),
        (FILTERED, "$.o[?@.u || @.x]", [{"u": 6}]),
        (DEEP, "$..j", [1, 4]),
        (DEEP, "$..[0]", [5, {"j": 4}]),
        (DEEP, "$..o", [{"j": 1, "k": 2}]),
        (DEEP, "$.o..[*, *]", [1, 2, 1, 2]),
        (DEEP, "$.a..[0, 1]", [5, 3, {"j": 4}, {"k": 6}]),
        (NULLS, "$.a", None),
        (NULLS, "$.a[0]", None),
        (NULLS, "$.a.d", None),
        (NULLS, "$.b[0]", None),
        (NULLS, "$.b[*]", [None]),
        (NULLS, "$.b[?@]", [None]),
        (NULLS, "$.b[?@==null]", [None]),
        (NULLS, "$.c[?@.d==null]", []),
        (NULLS, "$.null", 1),
    ],
)
def test_selectors_and_segments(document: bytes, path: str, expected: Any) -> None:
    assert found(document, path) == expected


def test_what_every_item_is() -> None:
    assert len(found(FILTERED, "$.a[?@ == @]")) == 10
    assert len(found(FILTERED, "$[?@.*]")) == 2
    for path in ("$..*", "$..[*]"):
        assert len(found(DEEP, path)) == 11


@pytest.mark.parametrize(
    ("comparison", "holds"),
    [
        ("@.absent1 == @.absent2", True),
        ("@.absent1 <= @.absent2", True),
        ("@.absent == 'g'", False),
        ("@.absent1 != @.absent2", False),
        ("@.absent != 'g'", True),
        ("1 <= 2", True),
        ("1 > 2", False),
        ("13 == '13'", False),
        ("'a' <= 'b'", True),
        ("'a' > 'b'", False),
        ("@.obj == @.arr", False),
        ("@.obj != @.arr", True),
        ("@.obj == @.obj", True),
        ("@.obj != @.obj", False),
        ("@.arr == @.arr", True),
        ("@.arr != @.arr", False),
        ("@.obj == 17", False),
        ("@.obj != 17", True),
        ("@.obj <= @.arr", False),
        ("@.obj < @.arr", False),
        ("@.obj <= @.obj", True),
        ("@.arr <= @.arr", True),
        ("1 <= @.arr", False),
        ("1 >= @.arr", False),
        ("1 > @.arr", False),
        ("1 < @.arr", False),
        ("true <= true", True),
        ("true > true", False),
        ("@.exact == 2.10", True),
        ("@.exact < 2.2", True),
        ("2.1e0 >= @.exact", True),
    ],
)
def test_comparisons(comparison: str, holds: bool) -> None:
    """Those of table 11, of an item instead of the whole document, and of numbers that are decoded exactly here."""
    items = found(b'[{"obj": {"x": "y"}, "arr": [2, 3], "exact": 2.1}]', f"$[?{comparison}].exact")
    assert len(items) == holds


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$[?length(@) < 3]", ["ab", [1, 2], {"k": "red"}]),
        ("$[?count(@.*) == 1]", [{"k": "red"}]),
        ('$[?value(@..k) == "red"]', [{"k": "red"}]),
    ],
)
def test_functions(path: str, expected: list[Any]) -> None:
    assert found(b'["ab", "abc", [1, 2], {"k": "red"}, 7]', path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "$[?length(@.*) < 3]",  # not one value
        "$[?count(1) == 1]",  # not nodes
        "$[?count(foo(@.*)) == 1]",  # no such function
        "$[?value(@..color)]",  # a value is not a test
        "$[?@.a[*] == 1]",  # several values are not compared
        "$[?1]",
        "$[?@.a = 1]",
        "$[01]",
        "$[1:2:3:4]",
        "$[9007199254740992,0]",  # no exact number in all languages
        "$.a[?match(@.b, '[jk]')]",  # here: regular expressions are left out
        "$.a[?search(@.b, '[jk]')]",
        "$.a[?@.b == $.x]",  # here: a filter looks at its item alone
    ],
)
def test_what_is_not_well_typed_or_could_take_for_ever_is_refused(path: str) -> None:
    with pytest.raises(RuleError):
        compile_path(path)
