"""Records written over the API, a hundred a request: create, update, upsert, archive.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/batch (create-contacts,
update-contacts, upsert-contacts, delete-contacts); for partial success
https://developers.hubspot.com/docs/api-reference/error-handling; for rules that a portal makes
https://developers.hubspot.com/changelog/crm-api-write-validation-enforcement.
Not here: how a change happens (`unified.sandbox.hubspot.portal`).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.hubspot.answers import MAX_BATCH, Answers
from unified.sandbox.hubspot.records import SINGULAR, Kind, Properties
from unified.sandbox.provider import ApiError, Call, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.hubspot.portal import HubSpotPortal

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_API = "INTEGRATION"
"""What events say about the source of a change that came over the API."""


class _RefusedError(Exception):
    """One input can't be written."""

    def __init__(self, status: int, category: str, message: str, **context: list[str]) -> None:
        super().__init__(message)
        self.status = status
        self.category = category
        self.context = context


class Writes:
    """The writing endpoints under `/crm/objects`.

    Args:
        answers: words the answers.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def create(self, call: Call[HubSpotPortal]) -> Reply:
        """`POST …/batch/create`."""

        def one(kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
            return _create(call.account, kind, _properties(call.account, kind, given))

        return self._each(call, one, HTTPStatus.CREATED)

    def update(self, call: Call[HubSpotPortal]) -> Reply:
        """`POST …/batch/update`."""

        def one(kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
            index = call.account.find(kind, str(given.get("id")))
            return _update(call.account, kind, index, given)

        return self._each(call, one, HTTPStatus.OK)

    def upsert(self, call: Call[HubSpotPortal]) -> Reply:
        """`POST …/batch/upsert`, by a property with unique values."""

        def one(kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
            name, value = given.get("idProperty"), str(given.get("id"))
            if name is None or not call.account.is_unique(kind, name):
                raise _RefusedError(400, "VALIDATION_ERROR", f"{name} is no property with unique values")
            index = call.account.owner(kind, name, value)
            if index is not None:
                return {**_update(call.account, kind, index, given), "new": False}
            properties = {name: value, **_properties(call.account, kind, given)}
            return {**_create(call.account, kind, properties), "new": True}

        return self._each(call, one, HTTPStatus.OK)

    def archive(self, call: Call[HubSpotPortal]) -> Reply:
        """`POST …/batch/archive`: 204, whether or not the records were there."""
        kind, portal = self._answers.kind(call.request), call.account
        for record_id in self._answers.inputs(self._answers.decoded(call.body), MAX_BATCH):
            index = portal.find(kind, record_id)
            if index is not None and portal.is_listed(portal.state(kind, index)):
                portal.archive(kind, record_id, source=_API)
        return Reply(b"", HTTPStatus.NO_CONTENT)

    def _each(
        self, call: Call[HubSpotPortal], one: Callable[[Kind, dict[str, Any]], dict[str, Any]], status: int
    ) -> Reply:
        """Write each input by itself where all of them carry a trace id; else all of them or none."""
        kind = self._answers.kind(call.request)
        inputs = self._answers.decoded(call.body).get("inputs")
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= MAX_BATCH:
            raise self._answers.invalid(f"inputs must be a list of 1 to {MAX_BATCH}")
        traces = [given.get("objectWriteTraceId") for given in inputs]
        by_itself = None not in traces
        if by_itself and len(set(traces)) < len(traces):
            raise self._answers.invalid("each objectWriteTraceId must be unique")
        results, errors = [], []
        with call.account.all_or_none(keep=by_itself):
            for given, trace in zip(inputs, traces, strict=True):
                try:
                    result = one(kind, given)
                except _RefusedError as refused:
                    if not by_itself:
                        raise self._error(refused) from None
                    errors.append(
                        {
                            "status": "error",
                            "category": refused.category,
                            "message": str(refused),
                            "context": {"objectWriteTraceId": [trace], **refused.context},
                        }
                    )
                else:
                    results.append({**result, **({"objectWriteTraceId": trace} if trace else {})})
        # In no particular order: nobody may rely on one.
        return self._answers.batch(results[::-1], errors, status)

    def _error(self, refused: _RefusedError) -> ApiError:
        return self._answers.error(refused.status, str(refused), refused.category)


def _create(portal: HubSpotPortal, kind: Kind, properties: Properties) -> dict[str, Any]:
    _check_unique(portal, kind, None, properties)
    _check_rules(portal, kind, properties)
    empty: Properties = dict.fromkeys(portal.property_names(kind))
    record = portal.create(kind, {**empty, **properties}, companies=[], source=_API)
    return _shown(record, properties)


def _update(portal: HubSpotPortal, kind: Kind, index: int | None, given: dict[str, Any]) -> dict[str, Any]:
    if index is None or not portal.is_listed(portal.state(kind, index)):
        ids = {"ids": [str(given.get("id"))]}
        raise _RefusedError(404, "OBJECT_NOT_FOUND", f"{SINGULAR[kind]} not found", **ids)
    properties = _properties(portal, kind, given)
    before = portal.properties(kind, index, portal.state(kind, index))
    changed = {name: value for name, value in properties.items() if (before.get(name) or None) != value}
    _check_unique(portal, kind, index, changed)
    _check_rules(portal, kind, {**before, **changed})
    record_id = portal.record_id(kind, index)
    record = portal.update(kind, record_id, changed, source=_API) if changed else portal.full(kind, index)
    return _shown(record, properties)


def _properties(portal: HubSpotPortal, kind: Kind, given: dict[str, Any]) -> Properties:
    """The properties of an input, as HubSpot keeps them; an empty text empties one."""
    properties: Properties = {}
    known = portal.property_names(kind)
    for name, value in (given.get("properties") or {}).items():
        if name not in known:
            raise _invalid_property(name, f'Property "{name}" does not exist', "PROPERTY_DOESNT_EXIST")
        if not isinstance(value, str):
            raise _invalid_property(name, f"{value!r} is no text", "INVALID_STRING")
        if name == "email" and value and not _EMAIL.fullmatch(value):
            raise _invalid_property(name, f"Email address {value} is invalid", "INVALID_EMAIL")
        properties[name] = (value.lower() if "email" in name else value) or None
    return properties


def _check_unique(portal: HubSpotPortal, kind: Kind, index: int | None, properties: Properties) -> None:
    for name, value in properties.items():
        if value is None or not portal.is_unique(kind, name):
            continue
        owner = portal.owner(kind, name, value)
        if owner not in (None, index):
            message = f"{SINGULAR[kind].capitalize()} already exists. Existing ID: {portal.record_id(kind, owner or 0)}"
            raise _RefusedError(409, "CONFLICT", message)


def _check_rules(portal: HubSpotPortal, kind: Kind, properties: Properties) -> None:
    for name, pattern in portal.rules(kind).items():
        if not re.fullmatch(pattern, properties.get(name) or ""):
            raise _invalid_property(name, f"{name} breaks a rule of this account", "VALIDATION_RULE")


def _invalid_property(name: str, message: str, error: str) -> _RefusedError:
    details = [{"isValid": False, "message": message, "error": error, "name": name}]
    listed = msgspec.json.encode(details).decode()
    return _RefusedError(400, "VALIDATION_ERROR", f"Property values were not valid: {listed}")


def _shown(record: dict[str, Any], written: Properties) -> dict[str, Any]:
    """A record as the answer to a write shows it: what was written, and what comes with every record."""
    always = {
        name: value
        for name, value in record["properties"].items()
        if name in ("hs_object_id", "createdate", "hs_createdate", "lastmodifieddate", "hs_lastmodifieddate")
    }
    return {**record, "properties": {**always, **written}}
