"""What can be exported, by name: the lists, lines of invoices, former states, and each stream that lands in records."""

from typing import NamedTuple

from unified.kit.errors import did_you_mean
from unified.kit.registry import discover_adapters
from unified.schema.entities import RECORDS
from unified.store.lists.declared import HISTORIES, LISTS, RecordList
from unified.sync.exports.errors import ExportError

LINES = "invoice_lines"


class Exported(NamedTuple):
    """What a name stands for.

    Attributes:
        which: The list.
        lines: Whether the lines of invoices are meant.
        stream: The one stream of the list; None for all.
    """

    which: RecordList
    lines: bool = False
    stream: str | None = None


def names() -> list[str]:
    """All names."""
    return [*LISTS, LINES, *HISTORIES, *sorted(_streams() - {*LISTS, LINES, *HISTORIES})]


def find(name: str) -> Exported:
    """What a name stands for.

    Raises:
        ExportError: If there is nothing of that name, with the names that there are.
    """
    if name in LISTS:
        return Exported(LISTS[name])
    if name in HISTORIES:
        return Exported(HISTORIES[name])
    if name == LINES:
        return Exported(LISTS["invoices"], lines=True)
    if name in _streams():
        return Exported(LISTS["records"], stream=name)
    known = names()
    raise ExportError(
        f"there is no stream {name!r} to export; there are {', '.join(known)}{did_you_mean(name, known)}"
    )


def _streams() -> set[str]:
    adapters = discover_adapters().values()
    return {
        stream.name for adapter in adapters for stream in adapter.all_streams() if stream.entity is RECORDS
    }
