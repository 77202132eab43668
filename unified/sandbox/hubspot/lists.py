"""Lists of what is no object of the CRM: owners.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/owners/guide. Not here: what is listed
(`unified.sandbox.hubspot.owners`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from unified.sandbox.hubspot.answers import Answers, results

if TYPE_CHECKING:
    from unified.sandbox.hubspot.portal import HubSpotPortal
    from unified.sandbox.provider import Call, Reply

MAX_OWNERS_PAGE = 500
_DEFAULT_PAGE = 100


class OwnersList:
    """`GET /crm/owners/{version}`.

    Args:
        answers: words the answers.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def list(self, call: Call[HubSpotPortal]) -> Reply:
        """Active owners, or archived ones, page by page."""
        self._answers.version(call.request)
        query = call.request.query_params
        limit = self._answers.integer("limit", query.get("limit", str(_DEFAULT_PAGE)))
        after = self._answers.integer("after", query.get("after") or "0")
        if not 1 <= limit <= MAX_OWNERS_PAGE:
            raise self._answers.invalid(f"limit must be between 1 and {MAX_OWNERS_PAGE}")
        listed = call.account.owners.listed(archived=query.get("archived") == "true")
        end = after + limit
        page = listed[after:end]
        paging = {"next": {"after": str(end)}} if end < len(listed) else None
        return results([msgspec.json.encode(one) for one in page], paging)
