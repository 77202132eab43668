"""A connector as a document, in several versions, and what was recorded of it; served on loopback too."""

from __future__ import annotations

import json
from typing import Any

from unified.sync.connectors.files import Files

KEY = "desk_fake_key"
PEOPLE = [
    {"id": 1, "name": "Ann", "mail": "ann@example.com", "spent": 19.90},
    {"id": 2, "name": "Bob", "mail": "bob@example.com", "deleted": True},
]


def said(version: str = "1.0.0", **changed: Any) -> dict[str, Any]:
    """What the document says."""
    rules = [{"target": "name", "source": "name"}, {"target": "custom_fields.spent", "source": "spent"}]
    customers = {
        "entity": "customers",
        "path": "/people",
        "records": ["data"],
        "paging": {"kind": "token", "parameter": "page", "token": ["next"]},
        "mapping": {"id": {"paths": ["id"]}, "tombstone": {"path": "deleted"}, "rules": rules},
    }
    tickets = {
        "entity": "records",
        "path": "/teams/{{ settings.team }}/tickets",
        "mapping": {"id": {"paths": ["id"]}, "rules": [{"target": "name", "source": "title"}]},
    }
    return {
        "engine": 1,
        "id": "desk",
        "version": version,
        "title": "Desk",
        "hosts": ["api.desk.example"],
        "base_url": "https://api.desk.example",
        "settings": {"team": {"description": "Whose tickets.", "pattern": "[a-z /]+", "default": "all"}},
        "auth": {"kind": "bearer", "secret": {"label": "API key", "hint": "begins with desk_"}},
        "requests_per_second": 200,
        "test": {"path": "/me", "id": ["id"], "name": ["name"]},
        "streams": {"customers": customers, "tickets": tickets},
        **changed,
    }


def with_emails(version: str = "1.1.0", **changed: Any) -> dict[str, Any]:
    """Another version, with a further rule."""
    document = said(version, **changed)
    document["streams"]["customers"]["mapping"]["rules"].append({"target": "email", "source": "mail"})
    return document


def recorded(**changed: Any) -> dict[str, Any]:
    """What was recorded of it."""
    url = "https://api.desk.example/people"
    sends = {"authorization": f"Bearer {KEY}"}
    pull = {
        "exchanges": [
            {"url": url, "sends": sends, "body": {"data": PEOPLE[:1], "next": "p2"}},
            {"url": f"{url}?page=p2", "sends": sends, "body": {"data": PEOPLE[1:]}},
        ],
        "records": {"1": {"name": "Ann", "custom_fields": {"spent": 19.9}}},
        "deleted": ["2"],
    }
    return {
        "now": "2026-11-28T12:00:00Z",
        "secrets": {"api_key": KEY},
        "streams": {"customers": [{**pull, **changed}]},
    }


def files(
    document: dict[str, Any], exchanges: dict[str, Any] | None = None, signature: bytes | None = None
) -> Files:
    """The files of a document."""
    text = None if exchanges is None else json.dumps(exchanges).encode()
    return Files("desk.json", json.dumps(document).encode(), text, signature)


def answers(path: str) -> Any:
    """What the system answers, by path."""
    return {
        "/me": {"id": 7, "name": "Acme"},
        "/people": {"data": PEOPLE},
        "/teams/all/tickets": [{"id": "t1", "title": "Broken"}],
    }[path]
