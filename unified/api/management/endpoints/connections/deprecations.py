"""`/api/connectors/deprecations`: connector documents, and whole connectors, that an administrator advises against.

It holds for the whole deployment, so a permission of that is asked for. A workspace sees the reason with the document
(:mod:`unified.api.management.endpoints.connections.documents`).
"""

from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Identity, Rule
from unified.api.management.answers import json_answer, no_content
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.store.connectors import trust
from unified.store.connectors.trust import LONGEST_REASON, Deprecation
from unified.sync.connectors import marketplace

Administrator = Annotated[Identity, Depends(Rule("connectors:deprecate", in_workspace=False))]
Deprecated = Annotated[
    str,
    Path(
        pattern=r"^([0-9a-f]{64}|[a-z][a-z0-9_]{0,39})$",
        description="The hash of a document, or the name of a connector: all its versions.",
    ),
]

routes = router("/api/connectors/deprecations", "Connectors")


class WantedDeprecation(BaseModel):
    """Why something is deprecated."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=LONGEST_REASON,
            description="Why, and what to use instead; shown to all who have it or look at it.",
            examples=["the API is switched off in May; use desk_v2"],
        ),
    ]


@routes.get("", response_model=list[Deprecation])
async def list_deprecations(_: Administrator, services: Use) -> Response:
    """List all that is deprecated, the latest first."""
    return json_answer(list((await trust.deprecations(services.db)).values()))


@routes.put("/{deprecated}", status_code=204)
async def deprecate_connector(
    identity: Administrator, services: Use, deprecated: Deprecated, wanted: WantedDeprecation
) -> Response:
    """Advise against a document or a connector. It stays in use; a new installation needs an explicit word."""
    await marketplace.deprecate(services.db, deprecated, wanted.reason, actor=identity.actor)
    return no_content()


@routes.delete("/{deprecated}", status_code=204)
async def reinstate_connector(identity: Administrator, services: Use, deprecated: Deprecated) -> Response:
    """Take a deprecation back."""
    await trust.reinstate(services.db, deprecated, actor=identity.actor)
    return no_content()
