"""What becomes of links and outbox by the answers to pushes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from unified.kit.writing.changes import Written
from unified.store.connections.registry import presentable
from unified.store.routes import outbox
from unified.store.routes.links import Link, LinkEnd
from unified.store.routes.outbox import Entry
from unified.store.routes.sides import SIDES, Side
from unified.sync.identities import normalize
from unified.sync.routes.end import RouteEnd

# A push whose outcome no system knows after so long waits for a person.
_GIVE_UP_AFTER = timedelta(hours=24)


def due(entry: Entry, **changes: Any) -> Entry:
    """An entry to be planned anew; what a person decided about it stays."""
    known = {"decision": entry.decision, "attempts": entry.attempts}
    return Entry(side=entry.side, record_id=entry.record_id, state="due", **{**known, **changes})


@dataclass(slots=True)
class Settlement:
    """What becomes of links and outbox by the answers to some pushes. Pure."""

    end: RouteEnd
    now: datetime
    recreates: bool
    taken: Mapping[str, Link]
    links: list[Link] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    done: list[tuple[Side, str]] = field(default_factory=list)
    unknown: set[tuple[Side, str]] = field(default_factory=set)
    created: list[tuple[Entry, Link]] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)

    def add(self, entry: Entry, one: Written, link: Link | None) -> None:
        """Settle one push."""
        match one.outcome:
            case "applied":
                became = self._applied(entry, one, link)
            case "missing":
                became = self._missing(entry, link)
            case "refused":
                became = self._wait_for(entry, "refused", one.reason)
            case "conflict":
                became = self._conflict(entry, one)
            case "unknown":
                became = self._unknown(entry, one)
        self.outcomes[str(entry.idempotency_key)] = became

    def _applied(self, entry: Entry, one: Written, link: Link | None) -> str:
        here, there = entry.side, self.end.side
        agreed = {side: dict((entry.agreed or {}).get(side, {})) for side in SIDES}
        self.done.append((here, entry.record_id))
        if entry.operation == "delete":
            return self._gone(link, "it was deleted, and so was its counterpart", "deleted")
        if link is None or entry.operation == "create":
            if link is not None:
                self.forgotten.append(link.source.id)
            if one.source_id is None:
                return self._wait_for(entry, "review", "the system did not say which record it created")
            made = LinkEnd(one.source_id)
            mine = LinkEnd(entry.record_id)
            version = link.version if link else 0
            link = Link(mine, made, "created") if here == "source" else Link(made, mine, "created")
            link.version = version
            self.created.append((entry, link))
        link.end(here).base |= agreed[here]
        link.end(there).base |= self.end.answered(one.raw, agreed[there])
        link.version += 1
        self.links.append(link)
        return "created" if entry.operation == "create" else "updated"

    def give_way(self, rivals: Sequence[Link]) -> None:
        """What was created is a record that is linked already: a system may take two that are alike for one.

        Args:
            rivals: Links that can't be.
        """
        for entry, link in self.created:
            if any(link is rival for rival in rivals):
                there = link.end(self.end.side).id
                self.done.remove((entry.side, entry.record_id))
                reason = f"{there} is it, which is linked with another record"
                became = self._wait_for(entry, "review", reason, candidates=[{"id": there}])
                self.outcomes[str(entry.idempotency_key)] = became

    def _gone(self, link: Link | None, reason: str, became: str) -> str:
        if link is not None:
            link.reason = reason
            link.version += 1
            self.links.append(link)
        return became

    def _missing(self, entry: Entry, link: Link | None) -> str:
        if entry.operation != "delete" and self.recreates and link is not None:
            self.forgotten.append(link.source.id)
            self.entries.append(due(entry, decision="create", attempts=link.version + 1))
            return "waiting"
        self.done.append((entry.side, entry.record_id))
        reason = f"its counterpart {entry.other_id} at {self.end.connection.key} was deleted"
        return self._gone(link, reason, "deleted" if entry.operation == "delete" else "left_out")

    def _wait_for(self, entry: Entry, state: outbox.State, reason: str | None, **more: Any) -> str:
        reason = presentable(reason or "no reason was given")
        attempts = entry.attempts + 1
        waiting = Entry(
            side=entry.side,
            record_id=entry.record_id,
            state=state,
            reason=reason,
            # Refused, it is another one still; what is to be reviewed is to be decided anew.
            decision=entry.decision if state == "refused" else None,
            attempts=attempts,
            **more,
        )
        self.entries.append(waiting)
        return "refused" if state == "refused" else "waiting"

    def _conflict(self, entry: Entry, one: Written) -> str:
        """The record to create exists. Found by its e-mail address, it is the one, unless that proves nothing."""
        email = (entry.agreed or {}).get(entry.side, {}).get("email")
        address = normalize.email(email) if isinstance(email, str) else None
        if one.source_id and one.source_id not in self.taken and address and not address.is_role:
            self.entries.append(due(entry, decision="link", other_id=one.source_id, reason="existing"))
            return "waiting"
        candidates = [{"id": one.source_id}] if one.source_id else []
        return self._wait_for(entry, "review", one.reason, candidates=candidates)

    def _unknown(self, entry: Entry, one: Written) -> str:
        """It stays in the outbox as it is, and the next run asks again. Where nothing will show it, a person decides.

        Until then the outbox keeps what was sent, as what comes from the other side may be what it created.
        """
        self.unknown.add((entry.side, entry.record_id))
        is_old = entry.sent_at is not None and self.now - entry.sent_at > _GIVE_UP_AFTER
        if one.is_final or is_old:
            return self._wait_for(
                entry,
                "review",
                one.reason,
                candidates=entry.candidates,
                # An update may be sent again, so it is planned anew when the record changes.
                **({"operation": "create", "agreed": entry.agreed} if entry.operation == "create" else {}),
            )
        return "waiting"
