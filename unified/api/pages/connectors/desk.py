"""The builder's desk: a document that is being written, as the form carries it along, and what a form changes in it.

What a form shows of a document is in :mod:`unified.sync.connectors.building`; what buttons do, in ``building`` beside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from unified.api.management.problems import Problem
from unified.sync.connectors import building

# What the form's own fields are called, apart from those of other parts.
_SIDE, _PICK = "form.", "pick."


@dataclass(frozen=True, slots=True)
class Desk:
    """What lies on the builder's desk.

    Attributes:
        text: The document, as it was typed.
        exchanges: Its recorded exchanges.
        draft: The name of the draft that it was opened from; empty where it is new.
        revision: That draft's.
        stream: The stream that the form is about.
        connection: The connection that it is tried by; empty where secrets are typed.
    """

    text: str
    exchanges: str = ""
    draft: str = ""
    revision: int = 0
    stream: str = ""
    connection: str = ""


def desk_of(form: Mapping[str, str]) -> Desk:
    """The desk as a form carries it along."""
    revision = form.get("revision", "")
    return Desk(
        form.get("source", "").replace("\r\n", "\n"),
        form.get("exchanges", "").strip(),
        form.get("draft", ""),
        int(revision) if revision.isascii() and revision.isdigit() and len(revision) < 10 else 0,  # noqa: PLR2004
        form.get("shown_stream", ""),
        form.get("connection", ""),
    )


def with_form(desk: Desk, form: Mapping[str, str]) -> Desk:
    """With what was changed in the form.

    Raises:
        DocumentError: If the text is not YAML or JSON with keys.
    """
    value = building.read_text(desk.text)
    said = {name.removeprefix(_SIDE): text for name, text in form.items() if name.startswith(_SIDE)}
    stream = building.stream_of(value, desk.stream)
    return replace(desk, text=building.written(building.with_form(value, said, stream)))


def with_picks(desk: Desk, form: Mapping[str, str]) -> Desk:
    """With the list that was picked; or where that is the same, with what its fields fill.

    Raises:
        DocumentError: If the text is not YAML or JSON with keys.
        Problem: If there is no such stream, or the form does not say where the records are.
    """
    value = building.read_text(desk.text)
    stream = building.stream_of(value, desk.stream)
    records = keys_of(form["records"]) if "records" in form else None
    said = value["streams"][stream] if stream else None
    if not isinstance(said, dict):
        raise Problem(422, "Say first which stream this is about.")
    is_other = records is not None and records != said.get("records", [])
    picks = {} if is_other else picks_of(form)
    return replace(desk, text=building.written(building.with_picks(value, stream, records, picks)))


def picks_of(form: Mapping[str, str]) -> dict[str, str]:
    """What fields fill, by the fields' paths, as the part ``pickable`` of pages asks for it."""
    return {name.removeprefix(_PICK): target for name, target in form.items() if name.startswith(_PICK)}


def keys_of(text: str) -> list[str]:
    """Keys that lead to records, as a form has them.

    Raises:
        Problem: If they are something else.
    """
    try:
        return msgspec.json.decode(text, type=list[str])
    except (ValueError, RecursionError):
        raise Problem(422, "The form does not say where the records are.") from None
