"""What looks odd in records that rules made: amounts that do not add up, cents taken for euros, times long ago.

None of it refuses anything: a source may well have such records. A person decides.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from unified.kit.errors import counted
from unified.kit.mapping import readings, steps
from unified.kit.mapping.refusals import UNREADABLE
from unified.kit.mapping.rules import Rule
from unified.schema.base import UnifiedBase
from unified.schema.invoice import UnifiedInvoice
from unified.schema.money import exponent

_TWO_DIGITS = 2
_ENOUGH = 5
"""Amounts from which on a pattern in them says something."""
_EARLIEST_YEAR = 1990
_YEARS_AHEAD = 10
_WRITTEN = msgspec.json.Encoder(order="deterministic")


class Amounts:
    """The amounts that one rule read, as their source wrote them."""

    def __init__(self, rule: Rule) -> None:
        """Begin with none."""
        units = {step.unit for step in rule.steps if isinstance(step, steps.Money)}
        self._is_minor = "minor" in units
        self._read = self._whole = self._large = 0

    def see(self, value: Any) -> None:
        """Look at one more."""
        try:
            amount = readings.number(value)
        except UNREADABLE:
            return
        if amount is not None:
            self._read += 1
            self._whole += isinstance(value, int) or (
                isinstance(value, str) and value.strip().lstrip("+-").isdigit()
            )
            self._large += abs(amount) >= 100  # noqa: PLR2004 - a whole unit of most currencies

    def remarks(self) -> list[str]:
        """Whether cents may be taken for whole units, or the other way round."""
        if not self._is_minor and self._read >= _ENOUGH and self._whole == self._read and self._large:
            return ["every amount is a whole number; does the source count cents? Then say `unit`: `minor`"]
        if self._is_minor and self._whole < self._read:
            return [f"{self._read - self._whole} amounts have a fraction; does the source count whole units?"]
        return []


class Oddities:
    """What looks odd across records."""

    def __init__(self, now: datetime) -> None:
        """Begin without records; times far from ``now`` look odd."""
        self._years = range(_EARLIEST_YEAR, now.year + _YEARS_AHEAD + 1)
        self._hashes: dict[str, int] = {}
        self._shared: set[str] = set()
        self._codes: set[str] = set()
        self._sums: Counter[str] = Counter()
        self._wrong_sums: Counter[str] = Counter()
        self._times: Counter[str] = Counter()

    def see(self, record: UnifiedBase) -> None:
        """Look at one more record."""
        # The same record may come twice, as where neighbouring spans of time share their edge.
        hashed = hash(_WRITTEN.encode(record.raw_data))
        if self._hashes.setdefault(record.source_id, hashed) != hashed:
            self._shared.add(record.source_id)
        for name, value in record:
            if isinstance(value, datetime) and value.year not in self._years:
                self._times[name] += 1
        if not isinstance(record, UnifiedInvoice):
            return
        if record.currency:
            self._codes.add(record.currency)
        for words, add_up in _SUMS:
            total = add_up(record)
            self._sums[words] += total is not None
            self._wrong_sums[words] += total is not None and total != record.total

    def remarks(self) -> list[str]:
        """What looked odd, or was not seen, in words."""
        found = [
            f"in {wrong} of {self._sums[words]} invoices {words}"
            for words, wrong in self._wrong_sums.items()
            if wrong
        ]
        if self._shared:
            found.append(f"{counted(len(self._shared), 'id')} of more than one record")
        if self._codes and all(exponent(code) == _TWO_DIGITS for code in self._codes):
            found.append(
                "no sample is in a currency without two digits, such as JPY or KWD: nothing is known of those"
            )
        return found + [
            f"{name} is before {self._years[0]} or after {self._years[-1]} in {counted(count, 'record')}; "
            "is the unit of `moment` right?"
            for name, count in sorted(self._times.items())
        ]


def _of_parts(one: UnifiedInvoice) -> Decimal | None:
    if one.total is None or one.subtotal is None:
        return None
    return one.subtotal + (one.tax or 0) - (one.discount or 0)


def _of_payments(one: UnifiedInvoice) -> Decimal | None:
    if one.total is None or one.amount_paid is None or one.amount_remaining is None:
        return None
    return one.amount_paid + one.amount_remaining


_SUMS: tuple[tuple[str, Callable[[UnifiedInvoice], Decimal | None]], ...] = (
    ("subtotal + tax - discount is not the total", _of_parts),
    ("amount_paid + amount_remaining is not the total", _of_payments),
)
