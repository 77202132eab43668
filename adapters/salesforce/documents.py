"""Credit memos and payments: of Salesforce's own objects, or of its older package.

Most orgs have neither. Where there is none that is said, and no empty stream pretends that there are no credits. Not
here: invoices (``invoices``), and what becomes of a record (``mapping``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from adapters.salesforce.api import Opened
from adapters.salesforce.objects import SObject
from adapters.salesforce.rows import EXACT, Head
from adapters.salesforce.sought import Sought
from unified.kit.declarations import Stream
from unified.kit.errors import PermissionDeniedError
from unified.kit.reading.raw import raw_record
from unified.kit.streams import RawRecord

# https://developer.salesforce.com/docs/platform/object-reference/references/standard-objects/ (object-creditmemo,
# object-payment), and the managed package Salesforce Billing.
OBJECTS = {
    "credit_memos": ("CreditMemo", "blng__CreditNote__c"),
    "payments": ("Payment", "blng__Payment__c"),
}
"""By stream, the objects that may hold its records; the first that is there does."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What reads one of these streams.

    Attributes:
        names: The objects that may hold its records.
    """

    names: tuple[str, ...]

    def __call__(self, adapter: Opened, stream: Stream) -> "Documents":
        """The source of a connected adapter."""
        return Documents(self.names, adapter, stream)


class Documents(Sought):
    """The records of whichever of some objects an org has."""

    def __init__(self, names: Sequence[str], adapter: Opened, stream: Stream) -> None:
        """Which one it is shows when they are first asked for."""
        super().__init__(adapter, stream, names[0])
        self._names, self._stream = names, stream.name
        self._is_found = False

    async def prepare(self) -> None:
        """Find out which object it is.

        Raises:
            PermissionDeniedError: If there is none, or the user may not see it.
        """
        for name in () if self._is_found else self._names:
            self.object = SObject(self._api, name)
            try:
                await self.object.described()
            except PermissionDeniedError:
                continue
            self._is_found = True
            return
        if not self._is_found:
            raise PermissionDeniedError(
                f"{self.label}: no object holds {self._stream.replace('_', ' ')}: neither {' nor '.join(self._names)} "
                f"is there, or the user may not see it; read the connection's other streams without {self._stream}"
            )

    async def completed(self, rows: Sequence[tuple[Head, msgspec.Raw]]) -> list[RawRecord]:
        """The records, with the digits of every number as text."""
        return [raw_record(head.id, _with_digits(raw)) for head, raw in rows]


def _with_digits(raw: msgspec.Raw) -> bytes | msgspec.Raw:
    try:
        return msgspec.json.encode(EXACT.decode(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return raw  # the mapping says what is wrong with it
