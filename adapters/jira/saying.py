"""What can be said at Jira: an issue is made in a project, or a comment is added to one.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3, api-group-issues and api-group-issue-comments. Jira
knows no idempotency keys: each is sent once, and where its answer is lost nothing is sent again.
"""

import re
from typing import Any
from urllib.parse import quote

import msgspec

from adapters.jira.adf import document_of
from unified.kit.errors import ConfigurationError
from unified.kit.http.client import HttpClient

_KIND = "Task"
_LONGEST_SUMMARY = 255
_LONGEST_TEXT = 30_000  # of 32,767, with room for what marks paragraphs
_ISSUE = re.compile(r"[A-Z][A-Z0-9_]+-[0-9]+|[0-9]+")
_PROJECT = re.compile(r"(?P<key>[A-Z][A-Z0-9_]+)(?::(?P<kind>[^:]{1,60}))?")


class _Made(msgspec.Struct):
    id: str


_MADE = msgspec.json.Decoder(_Made)


async def say(http: HttpClient, place: str, text: str, *, label: str) -> str:
    """Make an issue or a comment of a text.

    Args:
        http: The connection's client.
        place: An issue's key or id, for a comment; a project's key, for an issue, with the type of issue behind a colon
            (``SUP:Incident``) where that is not a task.
        text: The comment; or the issue's summary in the first line, with its description below.
        label: Names the connection in errors.

    Returns:
        The id of the comment or the issue.

    Raises:
        ConfigurationError: If the place is neither.
        ProviderError: If it was not made; an ``UndecidedError`` where it may have been.
    """
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
    if _ISSUE.fullmatch(place):
        return await _post(
            http, f"/rest/api/3/issue/{quote(place, safe='')}/comment", {"body": document_of(cut)}
        )
    project = _PROJECT.fullmatch(place)
    if project is None:
        raise ConfigurationError(
            f"{label}: {place!r:.80} is not a place in Jira; use an issue's key (SUP-12), or a project's (SUP, or "
            "SUP:Incident)"
        )
    first, _, rest = cut.strip().partition("\n")
    summary = first if len(first) <= _LONGEST_SUMMARY else f"{first[: _LONGEST_SUMMARY - 1]}…"
    fields: dict[str, Any] = {
        "project": {"key": project["key"]}, "issuetype": {"name": project["kind"] or _KIND}, "summary": summary,
    }  # fmt: skip
    described = rest if summary == first else cut
    if described.strip():
        fields["description"] = document_of(described)
    return await _post(http, "/rest/api/3/issue", {"fields": fields})


async def _post(http: HttpClient, path: str, body: dict[str, Any]) -> str:
    made: _Made = await http.request("POST", path, _MADE, json=body, limit="issues", effect="once")
    return made.id
