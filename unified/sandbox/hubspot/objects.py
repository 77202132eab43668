"""Records of any object, read: lists, single ones, batches, searches.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/objects. Not here: how a search is evaluated
(`unified.sandbox.hubspot.search`).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from unified.sandbox.hubspot.answers import MAX_BATCH, Answers, names, results
from unified.sandbox.hubspot.records import CUSTOM, SINGULAR, Kind
from unified.sandbox.hubspot.search import MAX_BODY, SearchError, search
from unified.sandbox.provider import Call, Reply, api_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.hubspot.portal import HubSpotPortal

MAX_LIST_PAGE = 100
MAX_URL = 8192
"""Bytes of path and query; a list request that names hundreds of properties goes over it."""

_DEFAULTS: dict[Kind, list[str]] = {
    "contacts": ["email", "firstname", "lastname"],
    "companies": ["name", "domain"],
    "invoices": [],
    "line_items": [],
    "deals": ["dealname", "amount", "closedate", "pipeline", "dealstage"],
    "tickets": ["subject", "content", "hs_pipeline", "hs_pipeline_stage"],
    "products": ["name", "price"],
    "quotes": ["hs_title"],
    **{kind: [] for kind in CUSTOM},
}
_SEARCH_DEFAULTS: dict[Kind, list[str]] = {**_DEFAULTS, "line_items": ["quantity", "amount", "price"]}


class Objects:
    """The reading endpoints under `/crm/objects`.

    Args:
        answers: words the answers.
        search_lag: returns how many seconds old a change must be before search shows it.
    """

    def __init__(self, answers: Answers, search_lag: Callable[[], float]) -> None:
        self._answers = answers
        self._search_lag = search_lag

    def list(self, call: Call[HubSpotPortal]) -> Reply:
        """`GET /crm/objects/{version}/{kind}`."""
        kind, portal, query = self._answers.kind(call.request), call.account, call.request.query_params
        if len(call.request.url.path) + len(call.request.url.query) > MAX_URL:
            raise self._answers.error(414, f"The URL is longer than {MAX_URL} bytes", "VALIDATION_ERROR")
        limit = self._answers.integer("limit", query.get("limit", "10"))
        after = self._answers.integer("after", query.get("after") or "0")
        if not 1 <= limit <= MAX_LIST_PAGE:
            raise self._answers.invalid(f"limit must be between 1 and {MAX_LIST_PAGE}")
        archived = query.get("archived") == "true"
        states = (
            (index, portal.state(kind, index))
            for index in portal.indexes(kind, portal.first_after(kind, after))
        )
        listed = (one for one in states if portal.is_listed(one[1], archived=archived))
        # One more than the page shows whether there is a next one.
        found = list(islice(listed, limit + 1))
        wanted = names(call.request, "properties") or _DEFAULTS[kind]
        targets = names(call.request, "associations")
        records = [
            self._answers.encoded(portal, kind, one, wanted=wanted, targets=targets) for one in found[:limit]
        ]
        paging = None
        if len(found) > limit:
            last = portal.record_id(kind, found[limit - 1][0])
            link = f"https://api.hubapi.com{api_path(call.request)}?limit={limit}&after={last}"
            paging = {"next": {"after": last, "link": link}}
        return results(records, paging)

    def get(self, call: Call[HubSpotPortal]) -> Reply:
        """`GET …/{id}`."""
        kind, portal = self._answers.kind(call.request), call.account
        archived = call.request.query_params.get("archived") == "true"
        index = portal.find(kind, call.request.path_params["id"])
        if index is None or not portal.is_listed(portal.state(kind, index), archived=archived):
            raise self._answers.error(404, "resource not found", "OBJECT_NOT_FOUND")
        wanted = names(call.request, "properties") or _DEFAULTS[kind]
        targets = names(call.request, "associations")
        state = portal.state(kind, index)
        return Reply(self._answers.encoded(portal, kind, (index, state), wanted=wanted, targets=targets))

    def search(self, call: Call[HubSpotPortal]) -> Reply:
        """`POST …/search`."""
        kind = self._answers.kind(call.request)
        if len(call.body) > MAX_BODY:
            raise self._answers.invalid(f"The request body is longer than {MAX_BODY} characters")
        query = self._answers.decoded(call.body)
        try:
            found = search(call.account, kind, query, self._answers.clock.time() - self._search_lag())
        except SearchError as error:
            raise self._answers.invalid(str(error)) from None
        wanted = query.get("properties") or _SEARCH_DEFAULTS[kind]
        records = [self._answers.encoded(call.account, kind, one, wanted=wanted) for one in found.page]
        return results(records, {"next": {"after": found.after}} if found.after else None, total=found.total)

    def batch_read(self, call: Call[HubSpotPortal]) -> Reply:
        """`POST …/batch/read`, by id or by a property with unique values (`idProperty`)."""
        portal = call.account
        kind, query = self._answers.kind(call.request), self._answers.decoded(call.body)
        archived = call.request.query_params.get("archived") == "true"
        wanted = query.get("properties") or _DEFAULTS[kind]
        by = query.get("idProperty")
        if by is not None and not portal.is_unique(kind, by):
            raise self._answers.invalid(f"{by} is no property with unique values")
        records: dict[int, bytes] = {}
        missing: list[str] = []
        for record_id in self._answers.inputs(query, MAX_BATCH):
            index = portal.find(kind, record_id) if by is None else portal.owner(kind, by, record_id)
            if index is None or not portal.is_listed(state := portal.state(kind, index), archived=archived):
                missing.append(record_id)
            else:
                records[index] = self._answers.encoded(portal, kind, (index, state), wanted=wanted)
        errors = []
        if missing:
            message = (
                f"Could not get some {SINGULAR[kind].upper()} objects, they may be deleted or not exist."
            )
            errors = [
                {
                    "status": "error",
                    "category": "OBJECT_NOT_FOUND",
                    "message": message,
                    "context": {"ids": missing},
                }
            ]
        return self._answers.batch([msgspec.Raw(record) for record in records.values()], errors)
