"""Jobs of which one run works at a time: whether one is under way, as its lease and Dagster say.

Drains, rounds and deliveries are such jobs. Their runs hold a lease (`Database.exclusive`) while they live, so that a
second one ends at once, and a sensor or schedule does not ask for one in vain.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import dagster as dg

from unified.store.database import Database

# A run that failed as a whole may fail again; connections in trouble have pauses of their own.
_AFTER_FAILURE = timedelta(seconds=30)
# A run that starts takes the lease within this time. One that is older and has none was killed with its machine.
_START = timedelta(seconds=60)


def last_run(
    instance: dg.DagsterInstance, job: str, tags: Mapping[str, str] | None = None
) -> dg.RunRecord | None:
    """The run of a job that was asked for last, of those with these tags."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=1)
    return records[0] if records else None


async def is_under_way(db: Database, lease: str, last: dg.RunRecord | None, now: datetime) -> bool:
    """Whether the last run of a job works still, or will.

    Args:
        db: Where the lease is.
        lease: Its name.
        last: From :func:`last_run`.
        now: The time, with a time zone.
    """
    if last is None or last.dagster_run.is_finished:
        return False
    if last.dagster_run.status is dg.DagsterRunStatus.QUEUED or now - last.update_timestamp < _START:
        return True
    async with db.exclusive(lease) as is_free:
        return not is_free


async def obstacle_of(db: Database, lease: str, last: dg.RunRecord | None, now: datetime) -> str:
    """Why no run is to be asked for now, where a run that failed is repeated soon; empty if nothing is in the way.

    Args:
        db: Where the lease is.
        lease: Its name.
        last: From :func:`last_run`.
        now: The time, with a time zone.
    """
    if last is None:
        return ""
    has_failed = last.dagster_run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
    if has_failed and now - last.update_timestamp < _AFTER_FAILURE:
        return "the last run did not succeed; it is tried again half a minute after its end"
    return "a run is asked for or under way" if await is_under_way(db, lease, last, now) else ""


def next_run_key(name: str, last: dg.RunRecord | None) -> str:
    """Named after the run before it: a run is asked for once, however often that is seen, and anew if it fails."""
    return f"{name}:{last.dagster_run.run_id if last else 'first'}"
