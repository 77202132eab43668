"""What an upgrade of a connector document changes: where secrets go, what is asked for, which streams and rules.

Pure. Where hosts, scopes, secrets or what is written grow, a person has to agree; the others are shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from unified.kit.adapter import BaseAdapter
from unified.kit.document.model import Document

_GROWING = ("+ host", "+ scope", "+ secret", "+ write")

Connector = tuple[Document, type[BaseAdapter[Any]]]
"""A document, and the connector that it makes."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is there afterwards and was not before, and the other way round."""

    added: Sequence[str]
    removed: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)

    @classmethod
    def of(cls, before: Iterable[str], after: Iterable[str]) -> "Change":
        """The change from some names to others."""
        return cls(sorted(set(after) - set(before)), sorted(set(before) - set(after)))


@dataclass(frozen=True, slots=True)
class Difference:
    """An upgrade.

    Attributes:
        hosts: To which requests, and secrets, may go.
        scopes: That a connection is authorized for.
        secrets: That a connection needs.
        writes: What is written at the system, by stream: `customers.email`.
        streams: Their names.
        moved: Streams whose records would land in another table.
        rules: By stream, targets whose rule is another one.
        reread: Streams that are read otherwise, so that the next sync reads them anew.
    """

    hosts: Change
    scopes: Change
    secrets: Change
    writes: Change
    streams: Change
    moved: Sequence[str]
    rules: Mapping[str, Change]
    reread: Sequence[str]

    @property
    def grows(self) -> bool:
        """Whether it reaches further than before, so that a person has to agree."""
        return bool(self.hosts.added or self.scopes.added or self.secrets.added or self.writes.added)

    def growth(self) -> list[str]:
        """What it reaches further to, for people."""
        return [line.removeprefix("+ ") for line in self.lines() if line.startswith(_GROWING)]

    def lines(self) -> list[str]:
        """It, for people, one line each."""
        said = [
            f"{sign} {what} {one}"
            for what, change in (
                ("host", self.hosts),
                ("scope", self.scopes),
                ("secret", self.secrets),
                ("write", self.writes),
                ("stream", self.streams),
            )
            for sign, names in (("+", change.added), ("-", change.removed))
            for one in names
        ]
        for stream, change in self.rules.items():
            said += [f"+ rule {stream}: {one}" for one in change.added]
            said += [f"- rule {stream}: {one}" for one in change.removed]
        said += [
            f"  stream {stream} is read otherwise: the next sync reads it anew" for stream in self.reread
        ]
        return said


def difference(before: Connector | None, after: Connector) -> Difference:
    """What an upgrade changes.

    Args:
        before: What is installed; None where it can't be read, so that everything counts as new.
        after: What shall be.
    """
    tables_before, tables_after = _tables(before), _tables(after)
    readings_before, readings_after = _readings(before), _readings(after)
    rules_before, rules_after = _rules(before), _rules(after)
    both = tables_before.keys() & tables_after.keys()
    rules = {name: Change.of(rules_before[name], rules_after[name]) for name in sorted(both)}
    return Difference(
        hosts=Change.of(_hosts(before), _hosts(after)),
        scopes=Change.of(_scopes(before), _scopes(after)),
        secrets=Change.of(_secrets(before), _secrets(after)),
        writes=Change.of(_writes(before), _writes(after)),
        streams=Change.of(tables_before, tables_after),
        moved=sorted(name for name in both if tables_before[name] != tables_after[name]),
        rules={name: change for name, change in rules.items() if change},
        reread=sorted(name for name in both if readings_before[name] != readings_after[name]),
    )


def _hosts(connector: Connector | None) -> Sequence[str]:
    return connector[1].config_model.hosts if connector else ()


def _scopes(connector: Connector | None) -> Sequence[str]:
    return connector[1].oauth.scopes if connector and connector[1].oauth else ()


def _secrets(connector: Connector | None) -> Sequence[str]:
    return [field.name for field in connector[1].credential_fields] if connector else ()


def _writes(connector: Connector | None) -> list[str]:
    streams = connector[1].all_streams() if connector else ()
    return [f"{stream.name}.{field}" for stream in streams for field in stream.writable_fields]


def _tables(connector: Connector | None) -> dict[str, str]:
    """The table that each stream's records land in."""
    return {stream.name: stream.entity.table for stream in connector[1].all_streams()} if connector else {}


def _readings(connector: Connector | None) -> dict[str, str]:
    """How each stream is read."""
    return {stream.name: stream.reading for stream in connector[1].all_streams()} if connector else {}


def _rules(connector: Connector | None) -> dict[str, list[str]]:
    """The rules of each stream, in one line each."""
    if connector is None:
        return {}
    return {
        name: [
            *(msgspec.json.encode(rule.as_json()).decode() for rule in stream.mapping.rules),
            msgspec.json.encode(
                stream.mapping.model_dump(mode="json", exclude={"rules"}, exclude_unset=True)
            ).decode(),
        ]
        for name, stream in connector[0].said.streams.items()
    }
