"""How a list is asked for and divided: conditions in brackets, an order, and the kinds of paging.

Not here: what a page looks like, which each provider says for itself.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Record = dict[str, Any]
Key = tuple[Any, str]
"""Where a record stands in an order: the value that is ordered by, then its id."""
Entry = tuple[Key, Record]


class BadParameterError(Exception):
    """A parameter that the API refuses.

    Attributes:
        parameter: its name.
    """

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(message)
        self.parameter = parameter


def number(parameter: str, text: str) -> int:
    """A parameter that is a number. Raises BadParameterError for anything else."""
    try:
        return int(text)
    except ValueError:
        raise BadParameterError(parameter, f"{parameter} : should be an integer") from None


def bracketed(parameters: Mapping[str, str], fields: Mapping[str, type]) -> Callable[[Record], bool]:
    """A test for conditions such as `updated_at[after]=1790000000` or `id[in]=["a","b"]`; all of them have to hold.

    Args:
        parameters: nothing but conditions.
        fields: what can be asked for, and whether it is a number or a text.

    Raises:
        BadParameterError: for another field or operator, and a value that does not fit.
    """
    tests = []
    for name, text in parameters.items():
        field, _, operator = name.removesuffix("]").partition("[")
        if field not in fields or operator not in _OPERATORS:
            raise BadParameterError(name, f"{name} : is not a parameter of this list")
        many = operator in ("in", "not_in", "between")
        try:
            values = [fields[field](one) for one in (_listed(text) if many else [text])]
        except ValueError:
            raise BadParameterError(name, f"{name} : {text[:80]} is not a value for it") from None
        tests.append((field, _OPERATORS[operator], values))
    return lambda record: all(
        record.get(field) is not None and holds(record[field], values) for field, holds, values in tests
    )


def _listed(text: str) -> list[Any]:
    """JSON, or as clients write it: single quotes or none."""
    try:
        return msgspec.json.decode(text, type=list[str | int])
    except msgspec.MsgspecError:
        return [one.strip(" '\"") for one in text.strip("[]").split(",")]


_OPERATORS: dict[str, Callable[[Any, Sequence[Any]], bool]] = {
    "is": lambda value, wanted: value == wanted[0],
    "is_not": lambda value, wanted: value != wanted[0],
    "in": lambda value, wanted: value in wanted,
    "not_in": lambda value, wanted: value not in wanted,
    "after": lambda value, wanted: value > wanted[0],
    "before": lambda value, wanted: value < wanted[0],
    "between": lambda value, wanted: wanted[0] <= value <= wanted[-1],
    "starts_with": lambda value, wanted: value.startswith(wanted[0]),
}


@dataclass(frozen=True)
class Paging(ABC):
    """One kind of dividing a list.

    Attributes:
        parameter: what asks for the next page.
        limit: parameter for the size of a page.
        default: size of a page without it.
        most: greatest size.
    """

    parameter: str
    limit: str = "limit"
    default: int = 10
    most: int = 100

    def cut(
        self, ordered: Sequence[Entry], parameters: Mapping[str, str], *, descending: bool = False
    ) -> tuple[list[Record], str | None]:
        """The page that is asked for, and how the next one is asked for; None at the end.

        Raises:
            BadParameterError: for a size that is not allowed, and a place that does not exist.
        """
        size, asked = (
            number(self.limit, parameters.get(self.limit, str(self.default))),
            parameters.get(self.parameter),
        )
        if not 1 <= size <= self.most:
            raise BadParameterError(self.limit, f"{self.limit} : should be between 1 and {self.most}")
        rest = ordered if asked is None else self.behind(ordered, asked, size, descending=descending)
        page = rest[:size]
        return [record for _, record in page], self.next(page[-1][0], asked) if len(rest) > size else None

    @abstractmethod
    def behind(self, ordered: Sequence[Entry], asked: str, size: int, *, descending: bool) -> Sequence[Entry]:
        """What the page that is asked for begins with, and all behind it."""

    @abstractmethod
    def next(self, last: Key, asked: str | None) -> str:
        """How the page behind `last` is asked for."""

    def refused(self) -> BadParameterError:
        """The place that is asked for does not exist."""
        return BadParameterError(self.parameter, f"{self.parameter} : invalid value")


class Token(Paging):
    """A token that means nothing outside. It keeps its place when records before it change."""

    def behind(self, ordered: Sequence[Entry], asked: str, size: int, *, descending: bool) -> Sequence[Entry]:  # noqa: ARG002
        """What comes behind the place that the token holds."""
        try:
            place = msgspec.json.decode(base64.urlsafe_b64decode(asked), type=tuple[int | str, str])
        except (msgspec.MsgspecError, ValueError):
            raise self.refused() from None
        return [entry for entry in ordered if (entry[0] < place if descending else entry[0] > place)]

    def next(self, last: Key, asked: str | None) -> str:  # noqa: ARG002 - the place says it all
        """The place of the last record."""
        return base64.urlsafe_b64encode(msgspec.json.encode(last)).decode()


class PageNumber(Paging):
    """Pages counted from 1. When a record goes away meanwhile, another slips past the reader."""

    def behind(self, ordered: Sequence[Entry], asked: str, size: int, *, descending: bool) -> Sequence[Entry]:  # noqa: ARG002
        """What comes behind the pages before."""
        page = number(self.parameter, asked)
        if page < 1:
            raise self.refused()
        return ordered[(page - 1) * size :]

    def next(self, last: Key, asked: str | None) -> str:  # noqa: ARG002 - pages are counted
        """The next number."""
        return str(int(asked or "1") + 1)


class AfterId(Paging):
    """The id of the last record seen, which has to be listed still."""

    def behind(self, ordered: Sequence[Entry], asked: str, size: int, *, descending: bool) -> Sequence[Entry]:  # noqa: ARG002
        """What comes behind that record."""
        for at, ((_, record_id), _) in enumerate(ordered):
            if record_id == asked:
                return ordered[at + 1 :]
        raise self.refused()

    def next(self, last: Key, asked: str | None) -> str:  # noqa: ARG002 - its id is the place
        """That id."""
        return last[1]
