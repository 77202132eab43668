"""Deterministic choices and ids, cheap enough to generate records while they are being served.

Here: a random stream per (seed, index), and ids that can be turned back into the index they came from, so
that a million records need no table of ids. Not here: words and amounts (`unified.sandbox.data`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS = [a + b for a in _BASE62 for b in _BASE62]
_DIGITS = frozenset(_BASE62)
_TAIL = 10
"""Digits of an id that hold the index."""


def seed_of(*parts: object) -> int:
    """A 64-bit seed that depends on every part: `seed_of(7, "sk_test_fake_acme", "invoice")`."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Draw:
    """A stream of choices, a pure function of (seed, index): splitmix64, which is cheap to start anew."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, index: int = 0) -> None:
        self._state = _mix((seed + index * 0xD1342543DE82EF95) & _MASK)

    def below(self, bound: int) -> int:
        """An integer in 0..bound-1."""
        self._state = state = (self._state + _STEP) & _MASK
        return _mix(state) % bound

    def between(self, low: int, high: int) -> int:
        """An integer in low..high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, per_mille: int) -> bool:
        """True in `per_mille` of 1,000 cases."""
        return self.below(1000) < per_mille

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, each as likely as its share of the sequence."""
        return choices[self.below(len(choices))]


class IdCodec:
    """Ids that look random yet decode to an index.

    As at Stripe, the first digits are the account's; the last ten are a multiplicative permutation of the
    index, in base 62.

    Args:
        prefix: what the provider puts first, such as `cus_`.
        length: number of digits after the prefix, at least 10.
        seed: stands for the account.
    """

    _MODULUS: int = 62**_TAIL

    def __init__(self, prefix: str, length: int, seed: int) -> None:
        own = Draw(seed_of(seed, prefix))
        self._start = prefix + "".join(own.pick(_BASE62) for _ in range(length - _TAIL))
        factor = own.below(self._MODULUS)
        # To be invertible the factor must share no divisor with 62 = 2 * 31.
        while factor % 2 == 0 or factor % 31 == 0:
            factor += 1
        self._factor = factor
        self._inverse: int = pow(factor, -1, self._MODULUS)
        self._shift: int = own.below(self._MODULUS)

    def encode(self, index: int) -> str:
        """The id of record `index`."""
        value = (index * self._factor + self._shift) % self._MODULUS
        value, last = divmod(value, 3844)
        value, fourth = divmod(value, 3844)
        value, third = divmod(value, 3844)
        first, second = divmod(value, 3844)
        return f"{self._start}{_PAIRS[first]}{_PAIRS[second]}{_PAIRS[third]}{_PAIRS[fourth]}{_PAIRS[last]}"

    def decode(self, record_id: str) -> int | None:
        """The index behind an id, or None where it is not of our form; whether it exists is not checked."""
        digits = record_id.removeprefix(self._start)
        if not record_id.startswith(self._start) or len(digits) != _TAIL or not set(digits) <= _DIGITS:
            return None
        value = 0
        for digit in digits:
            value = value * 62 + _BASE62.index(digit)
        return (value - self._shift) * self._inverse % self._MODULUS
