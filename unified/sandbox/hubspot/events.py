"""Events about changes in a portal, as its webhooks carry them.

Source: https://developers.hubspot.com/docs/api-reference/latest/webhooks/guide. A subscription to every kind of
change is taken for granted. Not here: deliveries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.sandbox.draw import Draw
from unified.sandbox.hubspot.records import CUSTOM, SINGULAR, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Record = dict[str, Any]

_APP_ID = 54_321
# Newer objects have events of a generic form; the ids are those of their types.
_GENERIC: dict[Kind, str] = {"invoices": "0-53", "quotes": "0-14", **{kind: kind for kind in CUSTOM}}


class EventMaker:
    """Makes the events of one portal. Their ids are not unique, as HubSpot warns."""

    def __init__(self, portal_id: int, seed: int) -> None:
        self._portal_id = portal_id
        self._draw = Draw(seed)

    def creation(self, kind: Kind, record_id: str, now_ms: int, source: str) -> Record:
        """A record is new."""
        return self._event(
            kind, "creation", now_ms, objectId=int(record_id), changeFlag="NEW", changeSource=source
        )

    def deletion(self, kind: Kind, record_id: str, now_ms: int, source: str) -> Record:
        """A record was archived."""
        return self._event(
            kind, "deletion", now_ms, objectId=int(record_id), changeFlag="DELETED", changeSource=source
        )

    def property_changes(
        self, kind: Kind, record_id: str, changed: dict[str, str | None], now_ms: int, source: str
    ) -> Iterator[Record]:
        """One event for each property."""
        for name, value in changed.items():
            yield self._event(
                kind,
                "propertyChange",
                now_ms,
                objectId=int(record_id),
                propertyName=name,
                propertyValue=value or "",
                isSensitive=False,
                changeSource=source,
            )

    def merge(self, kind: Kind, old_ids: Sequence[str], new_id: str, now_ms: int) -> Record:
        """Records became one, of which the first is the primary one."""
        primary, *others = map(int, old_ids)
        return self._event(
            kind,
            "merge",
            now_ms,
            objectId=primary,
            primaryObjectId=primary,
            mergedObjectIds=others,
            newObjectId=int(new_id),
            numberOfPropertiesMoved=0,
        )

    def _event(self, kind: Kind, change: str, now_ms: int, **fields: Any) -> Record:
        generic = {"objectTypeId": _GENERIC[kind]} if kind in _GENERIC else {}
        subscription = f"{'object' if generic else SINGULAR[kind]}.{change}"
        return {
            "eventId": self._draw.below(2**32),
            "subscriptionId": 1_000_000 + Draw(sum(subscription.encode())).below(1_000_000),
            "portalId": self._portal_id,
            "appId": _APP_ID,
            "occurredAt": now_ms,
            "subscriptionType": subscription,
            "changeSource": "CRM",
            "sourceId": "userId:1001",
            **generic,
            **fields,
        }
