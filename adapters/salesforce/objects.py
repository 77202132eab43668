"""Which fields of an object are read: those that ``describe`` shows, as there is no ``*`` in SOQL.

What field security hides is not there, and what was deleted since makes a query fail: then the object is described
anew. Not here: the requests (``api``) and their order (``pull``).
"""

import asyncio
import re
from typing import Any

from adapters.salesforce.api import Described, SalesforceApi
from unified.kit.errors import NotFoundError, PermissionDeniedError

# Compound fields repeat their parts, and none of these can be asked for everywhere. By their type alone: a name may be
# named as its own compound field, and has to stay.
_NOT_READ = frozenset(("address", "location", "base64", "anyType", "complexvalue"))

# How somebody paid, which no table of ours is for.
_MEANS = re.compile(r"blng__(BankAccount|BankRouting|BankName|Card|PaymentGatewayToken|RequestCreditCard)")

_DIGITS = {
    digit: value
    for value, digit in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
}
_SIGNIFICANT = 15
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?")


class SObject:
    """One object of an org, described when it is first asked for."""

    def __init__(self, api: SalesforceApi, name: str) -> None:
        """Nothing is sent yet."""
        self.name = name
        self._api = api
        self._described: Described | None = None
        # Ranges of ids are read side by side, and all of them need it first.
        self._describing = asyncio.Lock()

    async def described(self, *, anew: bool = False) -> Described:
        """Its fields and relationships.

        Args:
            anew: Ask again, as a field is gone.

        Raises:
            PermissionDeniedError: If the user may not see the object.
        """
        async with self._describing:
            if self._described is None or anew:
                try:
                    self._described = await self._api.describe(self.name)
                except NotFoundError as error:
                    raise PermissionDeniedError(
                        f"{self._api.label}: the object {self.name} does not exist, or the user may not see it; give "
                        "its permission set the right to read it",
                        status=error.status,
                        code=error.code,
                    ) from None
            return self._described

    async def fields(self) -> list[str]:
        """Names of the fields to read, the id first."""
        names = [
            one.name
            for one in (await self.described()).fields
            if one.type not in _NOT_READ and not _MEANS.match(one.name)
        ]
        return sorted(names, key=lambda name: name != "Id")

    async def has(self, *names: str) -> bool:
        """Whether it has all of these fields, as far as the user may see."""
        return set(names) <= {one.name for one in (await self.described()).fields}

    async def relationship(self, field: str) -> str | None:
        """The name by which a query follows a reference; None where the user may not see it."""
        found = (one for one in (await self.described()).fields if one.name == field)
        return next((one.relationship_name for one in found), None)


def number_of(record_id: Any) -> int | None:
    """The place of an id in the order of all ids; None for what is not one.

    An id has fifteen digits to the base of 62, in the order of ASCII. The last three of eighteen only say which of them
    are capitals.
    """
    if not isinstance(record_id, str) or not _ID.fullmatch(record_id):
        return None
    number = 0
    for digit in record_id[:_SIGNIFICANT]:
        number = number * len(_DIGITS) + _DIGITS[digit]
    return number


def id_at(number: int) -> str:
    """The id at a place, of fifteen characters."""
    digits: list[str] = []
    known = list(_DIGITS)
    for _ in range(_SIGNIFICANT):
        number, digit = divmod(number, len(known))
        digits.append(known[digit])
    return "".join(reversed(digits))


def full_id(record_id: str) -> str:
    """An id of eighteen characters, as answers have it, of one that may have fifteen.

    https://help.salesforce.com/s/articleView?id=000385008: each of the last three stands for five of the others, and
    counts in binary which of those are capitals.
    """
    if len(record_id) != _SIGNIFICANT:
        return record_id
    fives = (record_id[at : at + 5] for at in range(0, _SIGNIFICANT, 5))
    bits = (sum(one.isupper() << place for place, one in enumerate(five)) for five in fives)
    return record_id + "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[one] for one in bits)
