"""Invoices with all their lines, of whatever object holds them (``invoice_objects``).

Lines are read by queries of their own: a subquery in the invoice's has pages that are easily missed. The digits of
every number are kept as text, so that no amount goes through a double.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from adapters.salesforce.api import Opened, listed, literal, selected
from adapters.salesforce.invoice_objects import InvoiceObject, found
from adapters.salesforce.objects import number_of
from adapters.salesforce.pull import Records
from adapters.salesforce.rows import EXACT, Head, written
from adapters.salesforce.sought import Sought
from unified.kit.declarations import Stream
from unified.kit.errors import ProtocolError
from unified.kit.reading.changes import Step
from unified.kit.reading.raw import raw_record
from unified.kit.reading.windows import side_by_side
from unified.kit.streams import Page, RawRecord
from unified.schema.reading import first_of

LINES = "lines"
TOTAL = "total"
"""Where a raw invoice has its lines, and a copy of its total; no field of Salesforce's begins with a small letter."""

# Ids of invoices in one query for lines, so that it fits into a URL.
_INVOICES = 200


class Invoices(Sought):
    """The invoices of an org."""

    def __init__(self, adapter: Opened, stream: Stream) -> None:
        """Which object they are in is found out when they are first asked for."""
        super().__init__(adapter, stream, "Invoice")
        self._opened, self._stream = adapter, stream
        self._invoices: InvoiceObject | None = None
        self._lines: Records | None = None

    async def prepare(self) -> InvoiceObject:
        """Find out which object they are in.

        Raises:
            ConfigurationError: If the settings do not say enough of it.
            PermissionDeniedError: If there is none, or the user may not see it.
        """
        if self._invoices is None:
            self._invoices, self.object = await found(self._api, self._opened.config)
            if self._invoices.line_name:
                self._lines = Records(self._opened, self._stream, self._invoices.line_name)
        return self._invoices

    async def completed(self, rows: Sequence[tuple[Head, msgspec.Raw]]) -> list[RawRecord]:
        """Invoices with their lines, in the order of the lines' ids."""
        invoices = await self.prepare()
        ids = [head.id for head, _ in rows if head.number is not None]
        chunks = (ids[at : at + _INVOICES] for at in range(0, len(ids), _INVOICES))
        lines: dict[str, list[Any]] = defaultdict(list)
        for some in await side_by_side(self._lines_of(chunk) for chunk in chunks):
            for parent, line in some:
                lines[parent].append(line)
        made = []
        for head, raw in rows:
            try:
                body = EXACT.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                made.append(raw_record(head.id, raw))  # the mapping says what is wrong with it
                continue
            total = first_of(body, *invoices.fields["total"])
            body |= {TOTAL: total, LINES: lines.get(head.id, [])}
            made.append(raw_record(head.id, msgspec.json.encode(body)))
        return made

    async def _lines_of(self, ids: Sequence[str]) -> list[tuple[str, Any]]:
        invoices = await self.prepare()
        if self._lines is None or invoices.line_parent is None:
            return []
        where = [f"{invoices.line_parent} IN {listed(ids)}"]
        found: list[tuple[str, Any]] = []
        async with aclosing(self._lines.by_key(where)) as pages:
            async for rows, _ in pages:
                for raw in rows.records:
                    line = _decoded(self.label, raw)
                    found.append((str(line.get(invoices.line_parent)), line))
        return found

    async def steps(self, since: datetime) -> dict[str, Step]:
        """A line may change without its invoice."""
        return {"lines": partial(self._lines_changed, written(since))} if self._lines else {}

    async def _lines_changed(self, since: str, at: str | None) -> AsyncGenerator[Page, None]:
        invoices = await self.prepare()
        parent, more = str(invoices.line_parent), True
        while more:
            behind = [f"Id > {literal(at)}"] if at else []
            where = [f"SystemModstamp >= {since}", *behind]
            query = selected(["Id", parent], str(invoices.line_name), where, order="Id", limit=_INVOICES)
            answer = await self._api.query(query, deleted=True)
            lines = [_decoded(self.label, raw) for raw in answer.records]
            more = not answer.done or len(lines) == _INVOICES
            last = next(
                (line["Id"] for line in reversed(lines) if number_of(line.get("Id")) is not None), None
            )
            if more and (last is None or last == at):
                raise self._api.fault("returned no readable line, yet more follow")
            at = last
            ids = dict.fromkeys(line[parent] for line in lines if isinstance(line.get(parent), str))
            async with aclosing(self.fetch(list(ids))) as pages:
                async for page in pages:
                    yield replace(page, cursor=None if not more else {"at": at})
        yield Page((), self._clock(), None)


def _decoded(label: str, raw: msgspec.Raw) -> dict[str, Any]:
    try:
        return EXACT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{label}: a line of an invoice can't be read: {error}") from None
