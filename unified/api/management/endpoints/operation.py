"""`/healthz`, `/readyz`, `/metrics`: for probes and for Prometheus."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from unified.api.management.access.callers import deployment_allowed
from unified.api.management.problems import RETRY_SECONDS
from unified.api.management.route import router
from unified.api.management.services import Use
from unified.api.metrics import MEDIA_TYPE
from unified.store.errors import NotMigratedError, StoreError

# A probe that waits longer has its answer.
_PROBE_SECONDS = 2.0

probes = APIRouter(tags=["Operation"])  # open to everybody
routes = router("", "Operation")


@probes.get("/healthz", response_class=PlainTextResponse)
async def is_running() -> Response:
    """Whether the process answers at all."""
    return PlainTextResponse("running\n")


@probes.get("/readyz", response_class=PlainTextResponse)
async def is_ready(services: Use) -> Response:
    """Whether requests can be served and deliveries stored now."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS), services.db.scheduler() as conn:
            await conn.execute("SELECT 1")
    except (StoreError, TimeoutError) as error:
        headers = {"retry-after": str(RETRY_SECONDS)}
        is_other = isinstance(error, NotMigratedError)
        reason = "the database is not of this release" if is_other else "the database does not answer"
        return PlainTextResponse(f"{reason}\n", 503, headers)
    return PlainTextResponse("ready\n")


@routes.get("/metrics", response_class=PlainTextResponse, dependencies=[deployment_allowed("metrics:read")])
async def read_metrics(request: Request) -> Response:
    """Counters and gauges for Prometheus, of this process and of the whole deployment."""
    return Response(await request.app.state.metrics.text(), media_type=MEDIA_TYPE)
