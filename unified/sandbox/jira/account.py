"""One site of the stand-in: what a change does to its tables, and what it announces.

Not here: HTTP (`unified.sandbox.jira.api`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.sandbox.jira.records import changed, shown_issue, shown_user
from unified.sandbox.tables.account import TableAccount

if TYPE_CHECKING:
    from unified.sandbox.tables.table import Record, Row, Rows

_WORDS = {"create": "created", "update": "updated", "delete": "deleted"}


class JiraAccount(TableAccount):
    """One site. Each change of an issue is a step in its history; a comment changes its issue."""

    def update(self, table: str, record_id: str, /, **fields: Any) -> Record:
        """Change fields; of an issue its history says so."""
        if table == "issues":
            before = self._live(table, record_id).fields
            items = [changed(name, before.get(name), value) for name, value in fields.items()]
            self.rows["histories"].add(
                {"issue": record_id, "author": before["reporter"], "items": items}, self._clock.time()
            )
        return super().update(table, record_id, **fields)

    def delete(self, table: str, record_id: str, /) -> Record:
        """Delete; an issue takes its history and its comments with it."""
        if table == "issues":
            for name in ("histories", "comments"):
                for row in self.of_issue(name, record_id):
                    self.rows[name].remove(row, self._clock.time())
        return super().delete(table, record_id)

    def of_issue(self, table: str, issue: str) -> list[Row]:
        """The history or the comments of an issue, oldest first."""
        found = [row for row in self.rows[table].live() if row.fields["issue"] == issue]
        return sorted(found, key=lambda row: (row.created, int(row.id)))

    def members(self, organization: str) -> list[Record]:
        """The customers of an organization."""
        rows = self.rows["organizations"]
        row, count = rows.find(organization), sum(1 for _ in rows)
        people = self.rows["people"].live()
        return [
            self.person(one.id)
            for one in people
            if row is not None and one.fields["accountType"] == "customer" and one.index % count == row.index
        ]

    def person(self, account_id: str | None) -> Record:
        """A person as others see them; of one who was erased no more than that (accountId `unknown`)."""
        row = None if account_id is None else self.rows["people"].find(account_id)
        if row is None or row.is_deleted:
            return {"accountId": "unknown", "displayName": "Former user", "active": False}
        return shown_user(self.rows["people"].shown(row))

    def named(self, account_id: str | None) -> Record:
        """A person as others' records name them, without the language."""
        return {name: value for name, value in self.person(account_id).items() if name != "locale"}

    def issue(self, row: Row, wanted: Any = ("*all",)) -> Record:
        """An issue as the API shows it, with some of its fields."""
        rows = self.rows["issues"]
        record = rows.shown(row)
        ids = filter(None, (record["assignee"], record["reporter"], record["creator"]))
        organizations = self.rows["organizations"]
        found = {one: organizations.find(one) for one in record["customfield_10002"]}
        named = {one: organizations.shown(it) for one, it in found.items() if it is not None}
        return shown_issue(
            {**record, "comment": self.comments(row.id)},
            {one: self.named(one) for one in ids},
            named,
            wanted,
        )

    def comments(self, issue: str, *, start: int = 0, most: int = 5) -> Record:
        """The comments of an issue, of which a field holds the first only."""
        rows = self.of_issue("comments", issue)
        shown = [self.comment(row) for row in rows[start : start + most]]
        return {"comments": shown, "startAt": start, "maxResults": most, "total": len(rows)}

    def comment(self, row: Row) -> Record:
        """A comment as the API shows it."""
        shown = {name: value for name, value in self.rows["comments"].shown(row).items() if name != "issue"}
        author = self.named(row.fields["author"])
        return {**shown, "author": author, "updateAuthor": author}

    def history(self, row: Row) -> Record:
        """A step of a changelog as the bulk endpoint shows it: its time in milliseconds."""
        return {
            "id": row.id, "author": self.named(row.fields["author"]), "created": int(row.created * 1000),
            "items": row.fields["items"],
        }  # fmt: skip

    def _changed(self, change: str, rows: Rows, row: Row) -> Record:
        record = rows.shown(row)
        if rows.table.name == "comments":
            self._touch(row.fields["issue"])
        event = self._event(change, rows, row)
        if event is not None:
            self._announce([event])
        return record

    def _touch(self, issue: str) -> None:
        found = self.rows["issues"].find(issue)
        if found is not None:
            found.updated = self._clock.time()

    def _event(self, change: str, rows: Rows, row: Row) -> Record | None:
        """https://developer.atlassian.com/cloud/jira/platform/webhooks; JSM organizations announce nothing."""
        said: Record = {"timestamp": int(self._clock.time() * 1000)}
        match rows.table.name:
            case "issues":
                said |= {"webhookEvent": f"jira:issue_{_WORDS[change]}", "issue": self.issue(row)}
                said |= {
                    "issue_event_type_name": f"issue_{_WORDS[change]}",
                    "user": self.person(row.fields["reporter"]),
                }
                if change == "update":
                    step = self.of_issue("histories", row.id)[-1]
                    said["changelog"] = {"id": step.id, "items": step.fields["items"]}
            case "comments":
                issue = self.rows["issues"].find(row.fields["issue"])
                said |= {"webhookEvent": f"comment_{_WORDS[change]}", "comment": self.comment(row)}
                said |= {
                    "issue": None if issue is None else self.issue(issue, ("summary", "status", "project"))
                }
            case "people":
                said |= {"webhookEvent": f"user_{_WORDS[change]}", "user": shown_user(rows.shown(row))}
            case _:
                return None
        return said
