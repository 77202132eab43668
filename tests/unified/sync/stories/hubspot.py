"""A HubSpot portal as HubSpot's reference describes it: searches, batches, addresses that are unique."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from tests.unified.sync.stories.exchange import Answer, Record, Request, said


@dataclass
class HubSpot:
    """One portal: https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide."""

    contacts: dict[str, Record] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(501))

    def create(self, **properties: str | None) -> Record:
        number, now = str(next(self.numbers)), _now()
        contact = {"id": number, "createdAt": now, "updatedAt": now, "archived": False, "properties": {}}
        self.contacts[number] = contact
        return self.update(number, hs_object_id=number, createdate=now, **properties)

    def update(self, contact_id: str, **properties: str | None) -> Record:
        """HubSpot keeps e-mail addresses in lower case."""
        contact, now = self.contacts[contact_id], _now()
        if email := properties.get("email"):
            properties["email"] = email.lower()
        contact["properties"] |= properties | {"lastmodifieddate": now}
        contact["updatedAt"] = now
        return contact

    def answer(self, asked: Request) -> Answer:
        body = json.loads(asked.body or b"{}")
        match asked.path[1:]:
            case ["account-info", *_]:
                return said({"portalId": 77, "accountType": "STANDARD", "uiDomain": "app.hubspot.com"})
            case ["crm", _, _, "contacts", "batch", "create"]:
                return self._created(body["inputs"])
            case ["crm", _, _, "contacts", "batch", "update"]:
                changed = [
                    _traced(self.update(one["id"], **one["properties"]), one) for one in body["inputs"]
                ]
                return said({"status": "COMPLETE", "results": changed})
            case ["crm", _, _, kind, "batch", "read"]:
                return self._read(body, self.contacts if kind == "contacts" else {})
            case ["crm", _, _, "contacts", "search"]:
                return self._search(body)
        if asked.method == "POST":
            return said({"status": "COMPLETE", "results": [], "total": 0})
        return said({"results": []})

    def _created(self, inputs: list[Record]) -> Answer:
        """One e-mail address in use refuses the whole batch: 409, naming the contact that has it."""
        for one in inputs:
            address = (one["properties"].get("email") or "").lower()
            for contact in self.contacts.values():
                if address and contact["properties"].get("email") == address:
                    message = f"Contact already exists. Existing ID: {contact['id']}"
                    return said({"status": "error", "message": message, "category": "CONFLICT"}, 409)
        made = [_traced(self.create(**one["properties"]), one) for one in inputs]
        return said({"status": "COMPLETE", "results": made}, 201)

    def _read(self, body: Record, rows: dict[str, Record]) -> Answer:
        by = body.get("idProperty", "hs_object_id")
        held = {one["properties"].get(by): one for one in rows.values()}
        wanted = [one["id"].lower() if by == "email" else one["id"] for one in body["inputs"]]
        missing = [one for one in wanted if one not in held]
        error = {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": "Could not get some objects",
            "context": {"ids": missing},
        }
        return said(
            {
                "status": "COMPLETE",
                "results": [_with(held[one], body["properties"]) for one in wanted if one in held],
                "numErrors": len(missing[:1]),
                "errors": [error] if missing else [],
            },
            207 if missing else 200,
        )

    def _search(self, body: Record) -> Answer:
        """Pages by ``after``, of at most 200; filters of one group hold together."""
        found = [
            one
            for one in self.contacts.values()
            if not body.get("filterGroups")
            or any(all(_holds(one, by) for by in group["filters"]) for group in body["filterGroups"])
        ]
        for sort in reversed(body.get("sorts", [])):
            name, down = sort["propertyName"], sort["direction"] == "DESCENDING"
            found.sort(key=lambda one, name=name: _comparable(one, name), reverse=down)  # type: ignore[misc]
        begin, limit = int(body.get("after", 0)), int(body.get("limit", 10))
        answer: Record = {
            "total": len(found),
            "results": [_with(one, body["properties"]) for one in found[begin : begin + limit]],
        }
        if begin + limit < len(found):
            answer["paging"] = {"next": {"after": str(begin + limit)}}
        return said(answer)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traced(contact: Record, asked: Record) -> Record:
    trace = asked.get("objectWriteTraceId")
    return contact | ({"objectWriteTraceId": trace} if trace else {})


def _with(contact: Record, properties: list[str]) -> Record:
    shown = {name: contact["properties"].get(name) for name in ("hs_object_id", *properties)}
    return {**contact, "properties": shown}


def _comparable(contact: Record, name: str) -> int | str:
    value = contact["properties"].get(name) or ""
    if name == "hs_object_id":
        return int(value)
    return int(datetime.fromisoformat(value).timestamp() * 1000) if "date" in name else value


def _holds(contact: Record, asked: Record) -> bool:
    found = _comparable(contact, asked["propertyName"])
    if asked["operator"] == "IN":
        return str(found) in asked["values"]
    if asked["operator"] == "CONTAINS_TOKEN":
        return str(asked["value"]).lower() in str(found)
    operand = type(found)(asked["value"])
    return {
        "GTE": found >= operand,  # type: ignore[operator]
        "GT": found > operand,  # type: ignore[operator]
        "LTE": found <= operand,  # type: ignore[operator]
        "LT": found < operand,  # type: ignore[operator]
        "EQ": found == operand,
    }[asked["operator"]]
