"""How HubSpot takes requests apart and puts answers together, whatever they are about.

Source: https://developers.hubspot.com/docs/api-reference/error-handling. Not here: the endpoints (`objects`,
`associations`, `writing`).
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from unified.sandbox.clock import Clock, iso_ms
from unified.sandbox.draw import Draw
from unified.sandbox.hubspot.records import SINGULAR, Kind
from unified.sandbox.provider import ApiError, Reply, api_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from unified.sandbox.hubspot.portal import HubSpotPortal
    from unified.sandbox.hubspot.standing import State

VERSIONS = ("2026-03", "2026-09")
MAX_BATCH = 100

_NAMES: dict[str, Kind] = {
    **{kind: kind for kind in SINGULAR}, **{name: kind for kind, name in SINGULAR.items()},
    "0-1": "contacts", "0-2": "companies", "0-53": "invoices", "0-8": "line_items",
    "0-3": "deals", "0-5": "tickets", "0-7": "products", "0-14": "quotes",
}  # fmt: skip


class Answers:
    """Reads requests and words answers.

    Args:
        clock: dates batches.
        seed: chooses the correlation ids.
    """

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock = clock
        self._turns = count()
        self._ids = Draw(seed)

    # Requests ------------------------------------------------------------------------------------------

    def version(self, request: Request) -> None:
        """404 for a date that is not a version."""
        if request.path_params["version"] not in VERSIONS:
            raise self.unknown_path(request.method, api_path(request))

    def kind(self, request: Request, name: str = "kind") -> Kind:
        """The object that a path names, by its name or its type id."""
        self.version(request)
        kind = _NAMES.get(request.path_params[name])
        if kind is None:
            raise self.invalid(f"Unable to infer object type from: {request.path_params[name]}")
        return kind

    def decoded(self, body: bytes) -> dict[str, Any]:
        """The JSON object in a body."""
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError:
            raise self.invalid("Invalid input JSON") from None

    def inputs(self, query: dict[str, Any], most: int) -> list[str]:
        """The ids in a batch."""
        inputs = query.get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(one, dict) and "id" in one for one in inputs):
            raise self.invalid("inputs must be a list of objects with an id")
        if not 1 <= len(inputs) <= most:
            raise self.invalid(f"inputs must be between 1 and {most}")
        return [str(one["id"]) for one in inputs]

    def integer(self, name: str, value: str) -> int:
        """A parameter that is a number."""
        if not (value.isascii() and value.isdigit()):
            raise self.invalid(f"{name} must be an integer")
        return int(value)

    # Answers -------------------------------------------------------------------------------------------

    def encoded(
        self,
        portal: HubSpotPortal,
        kind: Kind,
        found: tuple[int, State],
        *,
        wanted: list[str],
        targets: Sequence[str] = (),
    ) -> bytes:
        """One record as JSON, kept until it changes."""
        index, state = found
        # Changes replace a record's state, also within one millisecond.
        # Real properties come in no order.
        is_backwards = next(self._turns) % 2 == 1
        key = (kind, index, state.modified_ms, state.archived_ms, state.version, is_backwards, *wanted)
        if not targets:
            known = portal.cache.get(key)
            if known is not None:
                return known
        record = portal.shown(kind, index, state, wanted)
        if is_backwards:
            record["properties"] = dict(reversed(record["properties"].items()))
        if not targets:
            return portal.cache.put(key, msgspec.json.encode(record))
        associations = {}
        for name in targets:
            target = _NAMES.get(name)
            if target is None:
                raise self.invalid(f"{name} is no object that {kind} can be associated with")
            links = portal.associations(kind, target, index) or []
            label = f"{SINGULAR[kind]}_to_{SINGULAR[target]}"
            if links:
                # The key of line items is written with a space here.
                associations[target.replace("_", " ")] = {
                    "results": [{"id": portal.record_id(target, link.index), "type": label} for link in links]
                }
        if associations:
            record["associations"] = associations
        return msgspec.json.encode(record)

    def batch(self, results: Sequence[Any], errors: Sequence[dict[str, Any]], status: int = 200) -> Reply:
        """`status`, or 207 where some inputs failed: a success that must be looked into."""
        now = iso_ms(int(self.clock.time() * 1000))
        document: dict[str, Any] = {
            "status": "COMPLETE",
            "results": results,
            "startedAt": now,
            "completedAt": now,
        }
        if errors:
            document |= {"numErrors": len(errors), "errors": errors}
        return Reply(msgspec.json.encode(document), 207 if errors else status)

    def invalid(self, message: str) -> ApiError:
        """400 for a request that is not as it should be."""
        return self.error(400, message, "VALIDATION_ERROR")

    def error(self, status: int, message: str, category: str) -> ApiError:
        """HubSpot's error envelope."""
        body = {
            "status": "error",
            "message": message,
            "correlationId": self.correlation_id(),
            "category": category,
        }
        return ApiError(status, body)

    def unknown_path(self, method: str, path: str) -> ApiError:
        """404 for an unknown URL."""
        return self.error(404, f"No resource at {method} {path}", "OBJECT_NOT_FOUND")

    def correlation_id(self) -> str:
        """What HubSpot's support asks for."""
        return str(UUID(int=self._ids.below(1 << 64) << 64 | self._ids.below(1 << 64), version=4))


def names(request: Request, parameter: str) -> list[str]:
    """A comma-separated parameter that may also be repeated."""
    return [name for value in request.query_params.getlist(parameter) for name in value.split(",") if name]


def results(records: list[bytes], paging: dict[str, Any] | None, *, total: int | None = None) -> Reply:
    """A page of records."""
    document: dict[str, Any] = {} if total is None else {"total": total}
    document["results"] = [msgspec.Raw(record) for record in records]
    if paging:
        document["paging"] = paging
    return as_json(document)


def as_json(document: dict[str, Any]) -> Reply:
    """An answer of 200."""
    return Reply(msgspec.json.encode(document))
