"""One workspace of the stand-in: what a change does to it, and what a complete copy of it holds.

Not here: HTTP (`unified.sandbox.slack.api`), and how a change is announced (`unified.sandbox.slack.events`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.sandbox.draw import seed_of
from unified.sandbox.slack.records import BOT, CHANNELS, MESSAGES, USERS
from unified.sandbox.tables.account import TableAccount

if TYPE_CHECKING:
    from unified.sandbox.tables.table import Record, Row


def workspace_of(key: str) -> str:
    """The id of the workspace that a token opens."""
    return f"T{seed_of(key) % 36**8:09d}"[:11]


class SlackAccount(TableAccount):
    """One workspace. People are deactivated, and may come back."""

    def __init__(self, key: str, **how: Any) -> None:
        self.workspace = workspace_of(key)
        super().__init__(key, **how)

    def create(self, table: str, /, **fields: Any) -> Record:
        """Create a record; a message is sent now."""
        if table == MESSAGES:
            fields = {"ts": f"{int(self._clock.time())}.{len(list(self.rows[MESSAGES])):06d}", **fields}
        elif table == USERS:
            fields = {"is_bot": False, **fields}
        elif table == CHANNELS:
            public = {"is_channel": True, "is_group": False, "is_im": False, "is_private": False}
            fields = {**public, "is_archived": False, **fields}
        return super().create(table, **fields)

    def reactivate(self, user_id: str) -> Record:
        """Take a deactivation back."""
        row = self.rows[USERS].find(user_id)
        if row is None or not row.is_deleted:
            raise KeyError(f"{user_id} is not deactivated")
        row.is_deleted = False
        return self.update(USERS, user_id)

    def uninstall(self) -> None:
        """Remove the app: its tokens are revoked."""
        self._tell({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [BOT]}})
        self._tell({"type": "app_uninstalled"})

    def limit_events(self) -> None:
        """Send too many events: from now on Slack drops some, and says so once."""
        minute = int(self._clock.time()) // 60 * 60
        self._announce([{"type": "app_rate_limited", "minute_rate_limited": minute}])

    def all(self, table: str) -> dict[str, Record]:
        """What is read by default: humans and guests, public channels, messages outside of threads."""
        found = super().all(table)
        wanted = {USERS: self._is_human, CHANNELS: _is_public, MESSAGES: self._is_listed}.get(table)
        return found if wanted is None else {name: one for name, one in found.items() if wanted(one)}

    def source_counts(self) -> dict[str, int]:
        """How many records a complete copy holds, by table."""
        return {name: len(self.all(name)) for name in (USERS, CHANNELS, MESSAGES)}

    def messages_of(self, channel: str) -> list[Row]:
        """A channel's messages, oldest first."""
        return [row for row in self.rows[MESSAGES].live() if row.fields["channel"] == channel]

    def _tell(self, event: Record) -> None:
        feed = self.rows["events"]
        row = feed.add({"type": "event_callback", "event": event}, self._clock.time())
        self._announce([feed.shown(row)])

    @staticmethod
    def _is_human(one: Record) -> bool:
        return not one["is_bot"]

    def _is_listed(self, one: Record) -> bool:
        public = self.all(CHANNELS)
        is_member = public.get(one["channel"], {}).get("is_member", False)
        return bool(is_member) and one.get("thread_ts", one["ts"]) == one["ts"]


def _is_public(one: Record) -> bool:
    return not one["is_private"]
