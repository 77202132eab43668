"""Issues as unified records. Pure functions only.

A site's own fields are custom fields under the names that people gave them, which the raw record carries beside their
ids (``names``); where two have one name, the second is followed by its id. Text in Atlassian's document format becomes
plain text; what is chosen from a list becomes its name.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from adapters.jira.adf import is_document, text_of
from unified.kit.streams import Origin
from unified.schema.reading import text
from unified.schema.record import UnifiedRecord
from unified.schema.unusable import Unusable

# Jira's own fields by our names; what stands in them is said by its name, or its key where that is what people use.
_FIELDS = {
    "issue_type": "issuetype", "status": "status", "priority": "priority", "resolution": "resolution",
    "labels": "labels", "components": "components", "fix_versions": "fixVersions", "due_date": "duedate",
    "resolved_at": "resolutiondate", "environment": "environment",
}  # fmt: skip
_PEOPLE = {"assignee": "assignee", "reporter": "reporter", "creator": "creator"}
_UNKNOWN = "unknown"
_NAMES = ("value", "name", "displayName", "title", "key")


def to_issue(raw: dict[str, Any], origin: Origin) -> UnifiedRecord:
    """Map an issue."""
    unusable = Unusable()
    fields = _object(raw.get("fields"))
    return unusable.record(
        UnifiedRecord,
        **origin.identify(raw["id"]),
        created_at=unusable.time("created_at", fields.get("created")),
        updated_at=unusable.time("updated_at", fields.get("updated")),
        custom_fields=dict(_custom(raw, fields)),
        raw_data=raw,
        name=unusable.read("name", text, fields.get("summary")),
    )


def _custom(raw: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The site's own fields first: one of them must not take the place of Jira's."""
    yield from _own(_object(raw.get("names")), fields)
    found = {ours: _shown(fields.get(theirs)) for ours, theirs in _FIELDS.items()}
    found |= {f"{ours}_id": _person(fields.get(theirs)) for ours, theirs in _PEOPLE.items()}
    found["key"] = raw.get("key")
    found["description"] = text_of(fields.get("description"))
    found["project"] = _object(fields.get("project")).get("key")
    found["parent"] = _object(fields.get("parent")).get("key")
    found["status_category"] = _object(_object(fields.get("status")).get("statusCategory")).get("key")
    yield from ((name, value) for name, value in found.items() if value not in (None, "", []))


def _own(names: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    met: set[str] = set()
    for field, name in sorted((one for one in names.items() if isinstance(one[1], str)), key=_number):
        value = _shown(fields.get(field))
        if value in (None, "", []):
            continue
        yield f"{name} ({field})" if name in met else name, value
        met.add(name)


def _number(field: tuple[str, Any]) -> tuple[int, str]:
    """Older fields first, whatever the order of an answer."""
    digits = field[0].rpartition("_")[2]
    return int(digits) if digits.isdecimal() else 0, field[0]


def _shown(value: Any) -> Any:
    """What people see of a field: text, a number by its digits, the name of what was chosen, a list of these."""
    if is_document(value):
        return text_of(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [shown for one in value if (shown := _shown(one)) not in (None, "")]
    if not isinstance(value, dict):
        return value
    if "accountId" in value:
        return _person(value)
    name = next((value[one] for one in _NAMES if isinstance(value.get(one), str)), None)
    child = _object(value.get("child")).get("value")  # of a cascading choice
    return f"{name} - {child}" if name and child else name


def _person(value: Any) -> str | None:
    """The account's id; of somebody whose account was erased nothing is left."""
    found = _object(value).get("accountId")
    return found if isinstance(found, str) and found != _UNKNOWN else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
