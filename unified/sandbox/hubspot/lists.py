"""Lists of what is no object of the CRM: owners, and the schemas of custom objects.

Sources: https://developers.hubspot.com/docs/api-reference/latest/crm/owners/guide,
https://developers.hubspot.com/docs/api-reference/latest/crm/objects/schemas/guide. Not here: what is listed
(`unified.sandbox.hubspot.settings.owners`, `unified.sandbox.hubspot.settings.schemas`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.hubspot.answers import Answers, as_json, results
from unified.sandbox.hubspot.settings.schemas import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

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


class SchemasList:
    """`GET /crm-object-schemas/{version}/schemas`.

    Args:
        answers: words the answers.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def list(self, call: Call[HubSpotPortal]) -> Reply:
        """All that are defined, or those that were deleted; no pages."""
        self._answers.version(call.request)
        query, schemas = call.request.query_params, call.account.schemas
        is_archived = query.get("archived") == "true"
        shown = schemas.deleted if is_archived else schemas.defined - schemas.hidden
        with_properties = query.get("includePropertyDefinitions") == "true"
        with_associations = query.get("includeAssociationDefinitions") == "true"
        found = []
        for kind in sorted(shown):
            one = DEFINITIONS[kind]
            schema: dict[str, Any] = {
                "id": kind.partition("-")[2],
                "objectTypeId": kind,
                "name": one.name,
                "fullyQualifiedName": f"p{call.account.portal_id}_{one.name}",
                "labels": {"singular": one.name.capitalize(), "plural": one.plural},
                "primaryDisplayProperty": one.display,
                "archived": is_archived,
                "properties": [],
                "associations": [],
            }
            if with_properties:
                schema["properties"] = [
                    {"name": name, "type": "string", "hubspotDefined": name not in one.properties}
                    for name in call.account.property_names(kind)
                ]
            if with_associations:
                ends = [(kind, other) for other in one.associated] + [
                    (other, kind) for other in one.associated
                ]
                schema["associations"] = [
                    {"id": str(number), "fromObjectTypeId": source, "toObjectTypeId": target, "name": None}
                    for number, (source, target) in enumerate(ends)
                ]
            found.append(schema)
        return as_json({"results": found})

    def checked(
        self, answer: Callable[[Call[HubSpotPortal]], Reply]
    ) -> Callable[[Call[HubSpotPortal]], Reply]:
        """An endpoint that does not know the custom objects that a portal does not have."""

        def known(call: Call[HubSpotPortal]) -> Reply:
            if not call.account.schemas.has(self._answers.kind(call.request)):
                named = call.request.path_params["kind"]
                raise self._answers.invalid(f"Unable to infer object type from: {named}")
            return answer(call)

        return known
