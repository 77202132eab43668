"""What each request for a manifest's stream holds, as a document's stream says it: query, body, and who takes what.

Each function gives the document's part, or raises :class:`Unconvertible` with the reason.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unified.kit.importing.airbyte.expressions import Translator, Unconvertible
from unified.kit.importing.airbyte.manifest import PARAMETERS

Said = dict[str, Any]
Taker = str | list[str]
"""What takes a value: a parameter of the query, or keys to a place in the body."""

_BOUND = re.compile(
    r"""\{\{\s*stream_(?:interval|slice)(?:\.|\[['"]|\.get\(['"])([A-Za-z_]\w*)['"\])]*\s*\}\}"""
)
_TOKEN = re.compile(
    r"""\{\{\s*next_page_token(?:\.|\[\s*['"]|\.get\(['"])next_page_token['"\s\])]*"""
    r"""(?:\s+if\s+next_page_token(?:\s+is\s+not\s+none)?(?:\s+else\s+(?:''|""|none|None|\d+))?|\s+or\s+(?:''|""|none|None|\d+))?\s*\}\}"""
)
_BODIES = {
    "RequestBodyJsonObject": "json",
    "RequestBodyGraphQL": "json",
    "RequestBodyUrlEncodedForm": "form",
}


@dataclass
class Asked:
    """What each request holds.

    Attributes:
        method: GET or POST.
        parameters: Of the query.
        body: The document's body; None where none is sent.
        bounds: What takes the begin and the end of a window of time, by the names that the cursor gives them.
        token: What takes the next page's token, where a parameter or the body says so.
    """

    method: str
    parameters: Said = field(default_factory=dict)
    body: Said | None = None
    bounds: dict[str, Taker] = field(default_factory=dict)
    token: Taker | None = None

    def taker(self, option: Any, what: str) -> Taker:
        """What takes the value of an option; a body that it needs is there from now on."""
        option = option if isinstance(option, dict) else {}
        place = option.get("inject_into")
        keys = option.get("field_path") or [option.get("field_name")]
        if not isinstance(keys, list) or not all(
            isinstance(one, str) and one and "{{" not in one for one in keys
        ):
            raise Unconvertible(f"{what} is asked for by what has no fixed name")
        if place == "request_parameter" and len(keys) == 1:
            return str(keys[0])
        kind = {"body_json": "json", "body_data": "form"}.get(str(place))
        if kind is None:
            raise Unconvertible(f"{what} is asked for neither by a parameter of the query nor in the body")
        self.send(kind)
        return list(keys)

    def hold(self, option: Any, value: Any, what: str) -> None:
        """Put a value where an option says, unless something is there."""
        taker = self.taker(option, what)
        if isinstance(taker, str):
            self.parameters.setdefault(taker, str(value))
            return
        place = self.fields()
        for key in taker[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise Unconvertible(f"{what} lies below a value of the body")
        is_form = self.body is not None and self.body.get("kind") == "form"
        place.setdefault(taker[-1], str(value) if is_form else value)

    def said(self) -> Said:
        """It, as the stream's keys."""
        found: Said = {}
        if self.method == "POST":
            found["method"] = self.method
        if self.parameters:
            found["parameters"] = self.parameters
        return found if self.body is None else {**found, "body": self.body}

    def send(self, kind: str) -> None:
        """Have a body, of JSON or a form."""
        if self.method != "POST":
            raise Unconvertible(f"its requests have a body and are sent by {self.method}")
        if self.body is None:
            self.body = {"kind": kind, "fields": {}}
        if self.body["kind"] != kind:
            raise Unconvertible("its body is a form in one place and JSON in another")

    def fields(self) -> Said:
        """What the body holds."""
        fields: Said = self.body["fields"] if self.body else {}
        return fields


def asked_of(requester: Said, translator: Translator) -> Asked:
    """What a requester says of its requests."""
    method = str(requester.get("http_method", "GET")).upper()
    if method not in ("GET", "POST"):
        raise Unconvertible("it is asked for by another method than GET and POST")
    asked = Asked(method)
    found = requester.get("request_parameters") or {}
    if not isinstance(found, dict):
        raise Unconvertible("its parameters are one expression, not an object")
    given = requester.get(PARAMETERS, {})
    for key, value in found.items():
        if value is None or value == "" or _is_taken(asked, value, key):
            continue
        asked.parameters[key] = translator.text(value, given, what=f"the parameter {key}")
    _body(asked, requester, translator)
    return asked


def _body(asked: Asked, requester: Said, translator: Translator) -> None:
    kind, fields = said_body(requester)
    if fields is None:
        return
    if not isinstance(fields, dict):
        raise Unconvertible("its body is one expression or text, not an object")
    asked.send(kind)
    given = requester.get(PARAMETERS, {})

    def filled(value: Any, place: list[str]) -> Any:
        if isinstance(value, dict):
            made = {key: filled(one, [*place, key]) for key, one in value.items()}
            return {key: one for key, one in made.items() if one is not _TAKEN}
        if isinstance(value, list):
            if any(_is_named(one) for one in value):
                raise Unconvertible("a window of time or a page's token stands in a list of its body")
            return [filled(one, []) for one in value]
        if _is_taken(asked, value, place):
            return _TAKEN
        if not isinstance(value, str):
            return str(value) if kind == "form" and value is not None else value
        return translator.text(value, given, what=f"the body's {'.'.join(place)}")

    asked.fields().update(filled(fields, []))


_TAKEN: Any = object()


def said_body(requester: Said) -> tuple[str, Any]:
    """The kind of a requester's body and its fields; None where it sends none."""
    for key, kind in (("request_body_json", "json"), ("request_body_data", "form")):
        if requester.get(key):
            return kind, requester[key]
    found = requester.get("request_body")
    if not found:
        return "json", None
    said = found if isinstance(found, dict) else {}
    if said.get("type") not in _BODIES:
        raise Unconvertible(f"{said.get('type')}: documents send JSON and forms")
    value = said.get("value")
    if isinstance(value, dict):
        value = {key: one for key, one in value.items() if key not in (PARAMETERS, "type")}
    return _BODIES[said["type"]], value


def _is_named(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_is_named(one) for one in value.values())
    if isinstance(value, list):
        return any(_is_named(one) for one in value)
    return isinstance(value, str) and bool(_BOUND.fullmatch(value.strip()) or _TOKEN.fullmatch(value.strip()))


def _is_taken(asked: Asked, value: Any, taker: Taker) -> bool:
    """Whether a value is where a window begins or ends, or the next page's token; who takes it is noted then."""
    if not isinstance(value, str) or not taker:
        return False
    if bound := _BOUND.fullmatch(value.strip()):
        asked.bounds[bound[1]] = taker
        return True
    if _TOKEN.fullmatch(value.strip()):
        asked.token = taker
        return True
    return False


def fixed_headers(requester: Mapping[str, Any], translator: Translator) -> dict[str, str]:
    """The headers of each request, without those that the client sends itself."""
    found = requester.get("request_headers") or {}
    if not isinstance(found, dict):
        raise Unconvertible("its headers are one expression, not an object")
    given = requester.get(PARAMETERS, {})
    return {
        key: translator.text(value, given, what=f"the header {key}")
        for key, value in found.items()
        if key.casefold() not in _OWN_HEADERS
    }


_OWN_HEADERS = frozenset(("accept", "content-type", "user-agent", "accept-encoding"))
