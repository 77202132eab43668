"""A portal's owners: people and queues, some of them archived.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/owners/guide. Not here: what is assigned to them
(`unified.sandbox.hubspot.records`), and HTTP (`unified.sandbox.hubspot.lists`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from unified.sandbox.clock import DAY, Clock, iso_ms
from unified.sandbox.data import person
from unified.sandbox.draw import Draw

_USERS_FROM = 9_586_504
# Of each eight owners.
_ARCHIVED, _QUEUE = 2, 4


class Owners:
    """The owners of one portal, by id.

    Args:
        seed: same seed, same owners.
        count: how many; the third of each eight is archived, the fifth a queue.
        until: Unix milliseconds before which they were made.
        clock: dates changes.
    """

    def __init__(self, seed: int, count: int, until: int, clock: Clock) -> None:
        self._seed = seed
        self._until = until
        self._clock = clock
        self._count = count

    @cached_property
    def _owners(self) -> dict[str, dict[str, Any]]:
        """Made when somebody asks for one: few tests do, and most have a portal."""
        return {one["id"]: one for one in map(self._generated, range(self._count))}

    def listed(self, *, archived: bool = False) -> list[dict[str, Any]]:
        """Those that are active, or those that are archived, in the order in which they were made."""
        return [one for one in self._owners.values() if one["archived"] == archived]

    def create(self, **fields: Any) -> dict[str, Any]:
        """Add an owner; fields override the generated ones."""
        made = {**self._generated(len(self._owners)), "archived": False, **fields}
        made["createdAt"] = made["updatedAt"] = self._now()
        self._owners[made["id"]] = made
        return made

    def update(self, owner_id: str, **fields: Any) -> dict[str, Any]:
        """Change fields of an owner."""
        self._owners[owner_id] = {**self._owners[owner_id], **fields, "updatedAt": self._now()}
        return self._owners[owner_id]

    def archive(self, owner_id: str) -> None:
        """Archive an owner, whose user is inactive from then on."""
        self.update(owner_id, archived=True, userId=None)

    def _now(self) -> str:
        return iso_ms(int(self._clock.time() * 1000))

    def _generated(self, index: int) -> dict[str, Any]:
        who = person(Draw(self._seed, index), no_email=0, shared_mailbox=0)
        is_archived, is_queue, user = index % 8 == _ARCHIVED, index % 8 == _QUEUE, _USERS_FROM + index
        made = iso_ms(self._until - (700 - index % 600) * DAY * 1000)
        owner: dict[str, Any] = {
            "id": str(index + 1),
            "email": None if is_queue else who.email,
            "type": "QUEUE" if is_queue else "PERSON",
            "firstName": f"Queue {index}" if is_queue else who.first,
            "lastName": "" if is_queue else who.last,
            "userId": None if is_archived or is_queue else user,
            "userIdIncludingInactive": None if is_queue else user,
            "createdAt": made,
            "updatedAt": made,
            "archived": is_archived,
        }
        if index % 3 == 0:
            owner["teams"] = [{"id": "178588", "name": "West Coast Sales", "primary": True}]
        return owner
