"""What a site's records look like: issues, their history and comments, organizations, people.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3 and .../cloud/jira/service-desk/rest. Rows are kept
flat; `shown_issue` and the others give them the form of the API.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from unified.sandbox.data import company_name, person
from unified.sandbox.draw import IdCodec

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from unified.sandbox.tables.table import New, Record, Rows

SITE = "https://acme.atlassian.net"
FIELDS: tuple[tuple[str, str, str], ...] = (
    ("summary", "Summary", "string"), ("description", "Description", "string"),
    ("issuetype", "Issue Type", "issuetype"),
    ("project", "Project", "project"), ("status", "Status", "status"), ("priority", "Priority", "priority"),
    ("labels", "Labels", "array"), ("created", "Created", "datetime"), ("updated", "Updated", "datetime"),
    ("duedate", "Due date", "date"), ("resolution", "Resolution", "resolution"), ("assignee", "Assignee", "user"),
    ("reporter", "Reporter", "user"), ("creator", "Creator", "user"), ("comment", "Comment", "comments-page"),
    ("customfield_10002", "Organizations", "array"), ("customfield_10016", "Story Points", "number"),
    ("customfield_10020", "Severity", "option"), ("customfield_10021", "Root cause", "string"),
    ("customfield_10022", "Severity", "option"), ("customfield_10023", "Affected services", "array"),
)  # fmt: skip
"""Fields of a site: id, name, type. Two of them have the same name, as Jira allows."""

_STATUSES = (
    ("To Do", "new"), ("In Progress", "indeterminate"), ("Waiting for customer", "indeterminate"), ("Done", "done"),
)  # fmt: skip
_PRIORITIES = ("Highest", "High", "Medium", "Medium", "Low")
_KINDS = ("Bug", "Task", "Service Request", "Incident")
_SUMMARIES = (
    "Invoice shows the wrong address",
    "Export stops half way",
    "Please reset my password",
    "Slow search",
)


def text_of(*paragraphs: str) -> Record:
    """Paragraphs in Atlassian's document format."""
    content = [{"type": "paragraph", "content": [{"type": "text", "text": one}]} for one in paragraphs]
    return {"type": "doc", "version": 1, "content": content}


def written(seconds: float) -> str:
    """A time as Jira writes it, in UTC: `2026-09-21T14:13:20.000+0000`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def account_id(index: int, seed: int) -> str:
    """An id of a person, which means nothing."""
    return IdCodec("5b10", 20, seed).encode(index)


def issue(new: New) -> Record:
    """The fields of an issue."""
    draw, people, organizations = new.draw, new.account.rows["people"], new.account.rows["organizations"]
    status, category = draw.pick(_STATUSES)
    reporter = _person_of(people, draw.below(1 << 20))
    assigned = draw.chance(600)
    asked = draw.chance(400)
    return {
        "key": f"SUP-{new.index + 1}", "project": {"id": "10000", "key": "SUP", "name": "Support"},
        "issuetype": {"id": str(10_000 + new.index % 4), "name": draw.pick(_KINDS), "subtask": False},
        "summary": f"{draw.pick(_SUMMARIES)} ({new.index + 1})",
        "description": text_of("It began this morning.", "Nothing else was changed.") if draw.chance(800) else None,
        "status": {"id": "1", "name": status, "statusCategory": {"id": 2, "key": category, "name": status}},
        "priority": {"id": "3", "name": draw.pick(_PRIORITIES)}, "labels": ["billing"] if draw.chance(300) else [],
        "duedate": "2026-12-24" if draw.chance(200) else None,
        "resolution": {"id": "1", "name": "Done"} if category == "done" else None,
        "assignee": _person_of(people, draw.below(1 << 20)) if assigned else None,
        "reporter": reporter, "creator": reporter,
        "customfield_10002": [organizations.id_of(draw.below(5))] if asked else [],
        "customfield_10016": draw.pick((1.0, 2.0, 3.5)) if draw.chance(500) else None,
        "customfield_10020": {"id": "10010", "value": "High"} if draw.chance(300) else None,
        "customfield_10021": text_of("A missing index.") if draw.chance(100) else None,
        "customfield_10022": {"id": "10011", "value": "Major"} if draw.chance(100) else None,
        "customfield_10023": [{"id": "1", "value": "Web"}, {"id": "2", "value": "API"}] if draw.chance(200) else None,
    }  # fmt: skip


def organization(new: New) -> Record:
    """A JSM organization: https://developer.atlassian.com/cloud/jira/service-desk/rest/api-group-organization."""
    return {"name": f"{company_name(new.draw)} {new.index + 1}", "scimManaged": False}


def user(new: New) -> Record:
    """A person: a customer of the service desk, one of the staff, or an app. E-mail addresses are hidden from many."""
    who = person(new.draw)
    kind = "customer" if new.index % 10 < 6 else "atlassian" if new.index % 10 < 9 else "app"  # noqa: PLR2004
    return {
        "accountType": kind, "displayName": f"{who.first} {who.last}",
        "emailAddress": None if kind == "app" or new.draw.chance(300) else who.email,
        "active": new.index % 17 != 16,  # noqa: PLR2004
        "timeZone": "Europe/Rome" if kind == "atlassian" and new.draw.chance(500) else None, "locale": "en_US",
    }  # fmt: skip


def history(new: New) -> Record:
    """One step of an issue's changelog."""
    issues, people = new.account.rows["issues"], new.account.rows["people"]
    return {
        "issue": issues.id_of(_share(new)),
        "author": _person_of(people, new.draw.below(1 << 20)),
        "items": [changed("status", "To Do", "In Progress")],
    }


def comment(new: New) -> Record:
    """A comment on an issue."""
    issues, people = new.account.rows["issues"], new.account.rows["people"]
    return {
        "issue": issues.id_of(_share(new)),
        "author": _person_of(people, new.draw.below(1 << 20)),
        "body": text_of("We are looking into it."), "jsdPublic": True,
    }  # fmt: skip


def changed(field: str, before: Any, after: Any) -> Record:
    """An item of a history."""
    return {
        "field": field, "fieldtype": "jira", "fieldId": field, "from": None, "fromString": _words(before),
        "to": None, "toString": _words(after),
    }  # fmt: skip


def _words(value: Any) -> str | None:
    if isinstance(value, dict):
        return value.get("name") or value.get("value")
    return None if value is None else str(value)


def _share(new: New) -> int:
    """Rows spread evenly over the issues, two to each."""
    return new.index // 2 % max(1, sum(1 for _ in new.account.rows["issues"]))


def _person_of(people: Rows, number: int) -> str | None:
    count = sum(1 for _ in people)
    return people.id_of(number % count) if count else None


def shown_user(record: Record) -> Record:
    """A person; what is hidden is left out."""
    here = f"{SITE}/rest/api/3/user?accountId={record['accountId']}"
    shown = {name: value for name, value in record.items() if value is not None}
    return {"self": here, "avatarUrls": {"48x48": f"{SITE}/avatar/48"}, **shown}


def shown_organization(record: Record) -> Record:
    """With its links."""
    return {**record, "_links": {"self": f"{SITE}/rest/servicedeskapi/organization/{record['id']}"}}


def shown_issue(
    record: Record, people: Mapping[str, Record], organizations: Mapping[str, Record], wanted: Collection[str]
) -> Record:
    """An issue with some of its fields: by name, `*all`, and without those that begin with a minus."""
    if set(wanted) <= {"id"}:
        return {"id": record["id"]}
    if set(wanted) <= {"id", "key"}:
        return {"id": record["id"], "key": record["key"]}
    fields: Record = {name: value for name, value in record.items() if name not in ("id", "key")}
    for name in ("assignee", "reporter", "creator"):
        fields[name] = people.get(fields[name]) if fields[name] else None
    named = [organizations[one] for one in fields["customfield_10002"] if one in organizations]
    fields["customfield_10002"] = [shown_organization(one) for one in named]
    if not {"*all", "*navigable"} & set(wanted):
        fields = {name: value for name, value in fields.items() if name in wanted}
    fields = {name: value for name, value in fields.items() if f"-{name}" not in wanted}
    here = f"{SITE}/rest/api/3/issue/{record['id']}"
    shown = {"expand": "renderedFields,names,schema", "id": record["id"], "self": here, "key": record["key"]}
    return {**shown, "fields": fields}
