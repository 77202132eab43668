"""The job that delivers what changes to all subscriptions of all workspaces.

As a drain does, a run stays for a while when nothing is left: what changes in that time is delivered at once. The
sensor that asks for these runs is in `sensors.subscriptions`.
"""

import time
from typing import Any

import dagster as dg
from pydantic import Field

from resources.store import CredentialStoreResource, DatabaseResource
from unified.sync.subscriptions.deliver import LEASE, Deliveries, deliver
from unified_assets.interrupts import interruptible
from unified_assets.sources import failures

JOB = "subscriptions_deliver"

# Dagster does not repeat a run that crashed: the sensor sees that changes still wait.
_TAGS = {"dagster/priority": "10", "dagster/max_retries": "0", "dagster-celery/queue": "drains"}


class DeliverConfig(dg.Config):
    """How long a run stays; the launchpad shows these."""

    linger_seconds: float = Field(
        default=30.0,
        ge=0,
        description="End once nothing has changed for so long; 0 ends when nothing is left.",
    )
    time_limit_minutes: float = Field(
        default=10.0, gt=0, description="End then, even if changes keep coming; the next run goes on."
    )


def deliver_job() -> dg.JobDefinition:
    """The job."""

    @dg.op(description="Send what changed, until nothing has changed for a while.")
    async def deliver_changes(
        context: dg.OpExecutionContext,
        config: DeliverConfig,
        database: DatabaseResource,
        credentials: CredentialStoreResource,
    ) -> None:
        limit = config.time_limit_minutes * 60
        started = time.monotonic()
        results: list[Deliveries] = []
        with interruptible(context.run.run_id), failures():
            async with database.open() as db, db.exclusive(LEASE) as is_ours:
                if is_ours:
                    results = await deliver(
                        db, credentials.open(db), linger=config.linger_seconds, time_limit=limit
                    )
                else:
                    context.log.info("another run delivers; nothing to do here")
        for one in results:
            line = f"{one.name}: {one.taken} delivered, {one.refused} refused"
            if one.error:
                context.log.warning("%s; %s", line, one.error)
            else:
                context.log.info(line)
        context.add_output_metadata(_metadata(results, time.monotonic() - started))

    @dg.job(
        name=JOB,
        executor_def=dg.in_process_executor,
        tags=_TAGS,
        description="Deliver what changed to the URLs that subscribed to it.",
    )
    def deliver_all() -> None:
        deliver_changes()

    return deliver_all


def _metadata(results: list[Deliveries], seconds: float) -> dict[str, Any]:
    return {
        "subscriptions": len(results),
        "delivered": sum(one.taken for one in results),
        "refused": sum(one.refused for one in results),
        "waiting": sum(one.error is not None for one in results),
        "seconds": round(seconds, 2),
    }
