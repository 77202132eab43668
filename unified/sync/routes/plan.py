"""What a route is about to do about one record, and the push that it would send. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import xxhash

from unified.store.routes.links import Link, content_hash
from unified.store.routes.outbox import Entry, Operation
from unified.store.routes.rows import Route
from unified.store.routes.sides import Side, other

Outcome = Literal["write", "unchanged", "left_out", "waiting", "refused"]


@dataclass(slots=True)
class Plan:
    """What to do about one record.

    Attributes:
        side: Where the record is.
        record_id: Its id there.
        outcome: Whether anything is written, or why not.
        reason: For people, where it is not obvious.
        pushes: What to send, as the outbox keeps it.
        entry: What the outbox is to say instead; None takes out what it says.
        link: A new link, or a newer version of one, that holds whatever becomes of the pushes.
        former: The link whose place the new one takes, as its other record is gone.
        name: What people know the record by.
        changes: For each push, field by field, what is there and what would be.
    """

    side: Side
    record_id: str
    outcome: Outcome = "unchanged"
    reason: str | None = None
    pushes: list[Entry] = field(default_factory=list)
    entry: Entry | None = None
    link: Link | None = None
    former: Link | None = None
    name: str | None = None
    changes: list[dict[str, tuple[Any, Any]]] = field(default_factory=list)

    def ask(
        self,
        reason: str,
        candidates: Sequence[Mapping[str, Any]] = (),
        entry: Entry | None = None,
        *,
        sent_for: str | None = None,
    ) -> None:
        """Have a person decide about the record.

        Args:
            reason: Why.
            candidates: What it may be the same as.
            entry: What the outbox says of it.
            sent_for: The record of the other side whose push may have created it.
        """
        self.outcome, self.reason, self.link = "waiting", reason, None
        self.pushes, self.changes = [], []
        self.entry = Entry(
            side=self.side,
            record_id=self.record_id,
            state="review",
            other_id=sent_for,
            reason=reason,
            candidates=candidates,
            attempts=entry.attempts if entry else 0,
        )

    def give_way(self) -> None:
        """Its link can't be: another run or an answer has linked the other record meanwhile."""
        if self.link is not None:
            there = self.link.end(other(self.side)).id
            self.ask(
                f"{there} is linked with another record",
                [{"id": there}],
                self.pushes[0] if self.pushes else None,
            )

    def refuse(self, reason: str, entry: Entry | None) -> None:
        """Leave the record alone until it changes: the other side can't hold it.

        Args:
            reason: Why.
            entry: What the outbox says of it.
        """
        self.outcome, self.reason = "refused", reason
        self.entry = Entry(
            side=self.side,
            record_id=self.record_id,
            state="refused",
            reason=reason,
            decision=entry.decision if entry else None,
            other_id=entry.other_id if entry else None,
            attempts=entry.attempts if entry else 0,
        )

    def unlink(self, link: Link, at: str) -> None:
        """Push nothing along a link any more: its other record was deleted.

        Args:
            link: Which.
            at: The key of the connection where that was.
        """
        link.reason = f"its counterpart {link.end(other(self.side)).id} at {at} was deleted"
        self.outcome, self.link, self.reason = "left_out", link, link.reason

    def push(
        self,
        route: Route,
        operation: Operation,
        link: Link | None,
        other_id: str | None,
        body: Mapping[str, Any],
        agreed: Mapping[Side, Mapping[str, Any]],
        *,
        to: Side | None = None,
        attempts: int = 0,
    ) -> Entry:
        """The intent to send something about the record, under a key that the same intent has again.

        Args:
            route: Along which.
            operation: What is sent.
            link: The record's link, if it has one.
            other_id: The record to change, on the side that is written to.
            body: What is sent.
            agreed: What both sides will have agreed on.
            to: The side that is written to; the other one by default.
            attempts: How often it was refused.
        """
        to = to or other(self.side)
        origin = other(to)
        record_id = link.end(origin).id if link else self.record_id
        version = (link.version if link else 0, attempts)
        parts = (str(route.id), to, record_id, operation, version, content_hash(body))
        return Entry(
            side=origin,
            record_id=record_id,
            state="sending",
            operation=operation,
            other_id=other_id,
            idempotency_key=f"route-{xxhash.xxh3_128_hexdigest(repr(parts).encode())}",
            body=body,
            agreed=agreed,
            attempts=attempts,
        )
