"""The part of SOQL that integrations use: read as a query, and run over records.

Source: https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql.htm. Not here:
which objects and fields an org has (`unified.sandbox.salesforce.objects`), and how answers are divided into pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Record(Protocol):
    """Whatever a query looks at: something with fields, of which one may be another record."""

    def get(self, name: str, /) -> Any:
        """A field's value, None where there is none."""
        ...


Found = TypeVar("Found", bound=Record)

_TOKENS = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_][\w.]*)|(?P<sign><=|>=|!=|[=<>(),]))"
)
_ESCAPED = re.compile(r"\\(.)")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda found, asked: found == asked,
    "!=": lambda found, asked: found != asked,
    "<": lambda found, asked: found is not None and found < asked,
    "<=": lambda found, asked: found is not None and found <= asked,
    ">": lambda found, asked: found is not None and found > asked,
    ">=": lambda found, asked: found is not None and found >= asked,
}


class MalformedError(Exception):
    """A query that is not SOQL, or not a part of it that is understood here."""


@dataclass
class Query:
    """A query as it was read.

    Attributes:
        fields: What is asked of each record, in the query's own spelling; nothing where records are only counted.
        source: The object.
        test: Whether a record is meant.
        named: Every field that the query names.
        bounds: Conditions on the id that all records meet which are meant: sign and id of fifteen characters.
        order: Fields to order by, each with whether it goes downwards.
        limit: Records at most.
        offset: Records to pass over.
    """

    fields: list[str] = field(default_factory=list)
    source: str = ""
    test: Callable[[Record], bool] = lambda _: True
    named: list[str] = field(default_factory=list)
    bounds: list[tuple[str, str]] = field(default_factory=list)
    order: list[tuple[str, bool]] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    @property
    def by_id(self) -> bool:
        """Whether it asks for the order of ids alone, in which records may be had without looking at all of them."""
        return [name for name, _ in self.order] == ["Id"]

    def of(self, records: Iterator[Found]) -> list[Found]:
        """The records that are meant, in their order; as they come where none is asked for, or that of ids."""
        found = (record for record in records if self.test(record))
        end = None if self.limit is None else self.offset + self.limit
        if not self.order or self.by_id:
            return list(islice(found, self.offset, end))
        ordered = list(found)
        for name, descending in reversed(self.order):
            ordered.sort(key=lambda record: comparable(value_at(record, name)), reverse=descending)
        return ordered[self.offset : end]


def value_at(record: Record, name: str) -> Any:
    """What a field of a record holds; `Account.Name` leads into the record that it names."""
    value: Any = record
    for part in name.split("."):
        value = None if value is None else value.get(part)
    return value


def comparable(value: Any) -> tuple[bool, Any]:
    """A key to sort by: null comes first, text is ordered by its characters, an id by its fifteen."""
    return value is not None, value if isinstance(value, int | float) else _folded(value or "")


def _folded(value: str) -> str:
    moment = _moment(value)
    return value if moment is None else moment


def _moment(value: str) -> str | None:
    """A time in UTC, so that different spellings of it are equal; None for any other text."""
    if len(value) < 20 or value[4] != "-" or value[10] != "T":  # noqa: PLR2004 - 2026-11-28T00:00:00Z
        return None
    try:
        return f"{datetime.fromisoformat(value).timestamp():017.3f}"
    except ValueError:
        return None


def read(text: str) -> Query:
    """Read a query. Raises MalformedError where it can't be."""
    return _Reader(text).query()


class _Reader:
    """Recursive descent over the tokens of one query."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        self._at, place = 0, 0
        stripped = text.rstrip()
        while place < len(stripped):
            found = _TOKENS.match(stripped, place)
            if found is None or found.lastgroup is None:
                raise MalformedError(f"unexpected token: '{stripped[place : place + 20]}'")
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()
        self._query = Query()
        self._all_hold = True

    def query(self) -> Query:
        self._word("select")
        if self._is("count") and self._peek(1) == ("sign", "("):
            for _ in range(3):
                self._take()
        else:
            self._query.fields = [self._name()]
            while self._sign(","):
                self._query.fields.append(self._name())
        self._word("from")
        self._query.source = self._take()[1]
        if self._is("where"):
            self._take()
            self._query.test = self._either()
            if not self._all_hold:
                self._query.bounds.clear()
        if self._is("order"):
            self._order()
        for name in ("limit", "offset"):
            if self._is(name):
                self._take()
                setattr(self._query, name, int(self._take()[1]))
        if self._at < len(self._tokens):
            raise MalformedError(f"unexpected token: '{self._take()[1]}'")
        return self._query

    def _order(self) -> None:
        self._take()
        self._word("by")
        while True:
            name, descending = self._name(), False
            if self._is("asc") or self._is("desc"):
                descending = self._take()[1].lower() == "desc"
            self._query.order.append((name, descending))
            if not self._sign(","):
                return

    def _either(self) -> Callable[[Record], bool]:
        tests = [self._both()]
        while self._is("or"):
            self._all_hold = False
            self._take()
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda record: any(test(record) for test in tests)

    def _both(self) -> Callable[[Record], bool]:
        tests = [self._one()]
        while self._is("and"):
            self._take()
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda record: all(test(record) for test in tests)

    def _one(self) -> Callable[[Record], bool]:
        if self._sign("("):
            inner = self._either()
            self._expect(")")
            return inner
        if self._is("not"):
            self._all_hold = False
            self._take()
            test = self._one()
            return lambda record: not test(record)
        name = self._name()
        if self._is("in"):
            self._take()
            self._expect("(")
            wanted = {self._value()}
            while self._sign(","):
                wanted.add(self._value())
            self._expect(")")
            return lambda record: _same(value_at(record, name)) in wanted
        sign = self._take()[1]
        compare = _COMPARED.get(sign)
        if compare is None:
            raise MalformedError(f"unexpected token: '{name}'")
        value = self._value()
        if name == "Id" and sign != "!=":
            self._query.bounds.append((sign, value))
        return lambda record: compare(_same(value_at(record, name)), value)

    def _value(self) -> Any:
        kind, text = self._take()
        if kind == "text":
            plain = _ESCAPED.sub(lambda found: _CONTROLS.get(found[1], found[1]), text[1:-1])
            return _same(plain)
        if kind == "number":
            return float(text)
        if kind in ("time", "date"):
            return _same(text)
        constant = {"true": True, "false": False, "null": None}
        if kind == "word" and text.lower() in constant:
            return constant[text.lower()]
        raise MalformedError(f"unexpected token: '{text}'")

    def _name(self) -> str:
        kind, text = self._take()
        if kind != "word":
            raise MalformedError(f"unexpected token: '{text}'")
        self._query.named.append(text)
        return text

    def _peek(self, ahead: int = 0) -> tuple[str, str]:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ("end", "<EOF>")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _is(self, word: str) -> bool:
        kind, text = self._peek()
        return kind == "word" and text.lower() == word

    def _word(self, word: str) -> None:
        if not self._is(word):
            raise MalformedError(f"unexpected token: '{self._peek()[1]}'")
        self._at += 1

    def _sign(self, sign: str) -> bool:
        found = self._peek() == ("sign", sign)
        self._at += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._sign(sign):
            raise MalformedError(f"unexpected token: '{self._peek()[1]}'")


_ID = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?")


def _same(value: Any) -> Any:
    """A value as it is compared: times by what they mean, ids by their first fifteen characters, other text by case."""
    if not isinstance(value, str):
        return value
    if _ID.fullmatch(value) and value[0] in "035a":
        return value[:15]
    return _moment(value) or value.lower()
