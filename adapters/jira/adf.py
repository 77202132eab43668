"""Text of Atlassian's document format, in which Jira's version 3 writes what people wrote; and text as such a document.

Source: https://developer.atlassian.com/cloud/jira/platform/apis/document/structure. Marks (bold, links) are left out;
what has no text, as a picture, is as well. Documents nest a few levels deep; what nests deeper than any is cut.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

_DEEPEST = 60
_BLOCKS = frozenset(
    (
        "paragraph", "heading", "codeBlock", "blockquote", "panel", "listItem", "taskItem", "decisionItem", "tableRow",
        "rule", "expand", "nestedExpand", "blockCard",
    )
)  # fmt: skip


def text_of(document: Any) -> str | None:
    """A document as plain text, a line for each block; None where it holds none. Text stays as it is.

    Args:
        document: A node with all below it; any JSON value, as nobody but Jira checks it.
    """
    if isinstance(document, str):
        return document.strip() or None
    lines = "".join(_pieces(document, 0)).split("\n")
    return "\n".join(line.strip() for line in lines if line.strip()) or None


def document_of(text: str) -> dict[str, Any]:
    """A document that holds a text, a paragraph for each line with something in it."""
    lines = [line for line in text.split("\n") if line.strip()]
    content = [{"type": "paragraph", "content": [{"type": "text", "text": line}]} for line in lines]
    return {"type": "doc", "version": 1, "content": content}


def is_document(value: Any) -> bool:
    """Whether a value is such a document."""
    return isinstance(value, dict) and value.get("type") == "doc"


def _pieces(node: Any, depth: int) -> Iterator[str]:
    if not isinstance(node, dict) or depth > _DEEPEST:
        return
    kind = node.get("type")
    yield _own(kind, node)
    content = node.get("content")
    for number, child in enumerate(content if isinstance(content, list) else ()):
        if kind == "tableRow" and number:
            yield " | "
        # The cells of a row stay in one line.
        parts = _pieces(child, depth + 1)
        yield from (part.replace("\n", " ") for part in parts) if kind == "tableRow" else parts
    if kind in _BLOCKS:
        yield "\n"


def _own(kind: Any, node: dict[str, Any]) -> str:
    """What a node says itself, without those in it."""
    attributes = node.get("attrs")
    said = attributes if isinstance(attributes, dict) else {}
    match kind:
        case "text":
            return _word(node.get("text"))
        case "hardBreak":
            return "\n"
        case "mention" | "status" | "placeholder":
            return _word(said.get("text"))
        case "emoji":
            return _word(said.get("text") or said.get("shortName"))
        case "inlineCard" | "blockCard" | "embedCard":
            return _word(said.get("url"))
        case "date":
            return _day(said.get("timestamp"))
        case "listItem":
            return "- "
    return ""


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _day(milliseconds: Any) -> str:
    try:
        return f"{datetime.fromtimestamp(int(milliseconds) / 1000, UTC):%Y-%m-%d}"
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
