"""What records are associated with.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/associations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unified.sandbox.hubspot.answers import Answers, as_json
from unified.sandbox.hubspot.records import SINGULAR, Kind

if TYPE_CHECKING:
    from unified.sandbox.hubspot.portal import HubSpotPortal
    from unified.sandbox.provider import Call, Reply

MAX_ASSOCIATION_INPUTS = 1000


class Associations:
    """The endpoints for associations.

    Args:
        answers: words the answers.
        page_size: associations of one record on one page.
    """

    def __init__(self, answers: Answers, page_size: int) -> None:
        self._answers = answers
        self._page_size = page_size

    def get(self, call: Call[HubSpotPortal]) -> Reply:
        """`GET …/{id}/associations/{target}`."""
        source, target = self._answers.kind(call.request), self._answers.kind(call.request, "target")
        index = call.account.find(source, call.request.path_params["id"])
        links = None if index is None else call.account.associations(source, target, index)
        if links is None:
            raise self._answers.error(404, "resource not found", "OBJECT_NOT_FOUND")
        page = self._page(
            call.account,
            target,
            links,
            self._answers.integer("after", call.request.query_params.get("after") or "0"),
        )
        return as_json({"results": page.pop("to"), **page})

    def batch_read(self, call: Call[HubSpotPortal]) -> Reply:
        """`POST …/{target}/batch/read`."""
        source, target = self._answers.kind(call.request), self._answers.kind(call.request, "target")
        query = self._answers.decoded(call.body)
        results, errors = [], []
        cursors = {
            str(one.get("id")): one.get("after") or "0"
            for one in query.get("inputs", [])
            if isinstance(one, dict)
        }
        for record_id in self._answers.inputs(query, MAX_ASSOCIATION_INPUTS):
            index = call.account.find(source, record_id)
            links = [] if index is None else call.account.associations(source, target, index)
            if links is None:
                raise self._answers.invalid(f"{source} and {target} cannot be associated")
            if links:
                page = self._page(
                    call.account, target, links, self._answers.integer("after", cursors[record_id])
                )
                results.append({"from": {"id": record_id}, **page})
            else:
                errors.append(
                    {
                        "status": "error",
                        "category": "OBJECT_NOT_FOUND",
                        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                        "message": f"No {SINGULAR[target]} belongs to {SINGULAR[source]} {record_id}.",
                        "context": {
                            "fromObjectId": [record_id],
                            "fromObjectType": [SINGULAR[source]],
                            "toObjectType": [SINGULAR[target]],
                        },
                    }
                )
        return self._answers.batch(results, errors)

    def _page(self, portal: HubSpotPortal, target: Kind, links: list[Any], after: int) -> dict[str, Any]:
        end = after + self._page_size
        page: dict[str, Any] = {
            "to": [
                {"toObjectId": portal.record_id(target, link.index), "associationTypes": link.types}
                for link in links[after:end]
            ]
        }
        if end < len(links):
            page["paging"] = {"next": {"after": str(end)}}
        return page
