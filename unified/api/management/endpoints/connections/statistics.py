"""`/api/statistics`: how a workspace's syncs go and what they brought, by connector or of one connection."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from unified.api.management.answers import json_answer
from unified.api.management.endpoints.connections.connections import Reader
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.store.connections import statistics
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.connections.statistics import Statistics

Days = Annotated[int, Query(ge=1, le=366, description="Count syncs of so many days up to now.")]

routes = router("/api", "Statistics")


@routes.get("/statistics", response_model=list[Statistics])
async def list_statistics(caller: Reader, services: Use, days: Days = 30) -> Response:
    """Successes and failures, the last error, rows and rejects, by connector."""
    async with services.db.workspace(caller.workspace_id) as conn:
        return json_answer(await statistics.by_connector(conn, _since(days)))


@routes.get("/connectors/configs/{connection_id}/statistics", response_model=Statistics)
async def get_connection_statistics(
    caller: Reader, services: Use, connection_id: UUID, days: Days = 30
) -> Response:
    """The same of one connection."""
    async with services.db.workspace(caller.workspace_id) as conn:
        found = await statistics.by_connector(conn, _since(days), connection_id=connection_id)
    if not found:
        raise ConnectionNotFoundError(connection_id)
    return json_answer(found[0])


def _since(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)
