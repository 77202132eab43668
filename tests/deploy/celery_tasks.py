"""A worker's app with a task that tests hold open: ``celery -A tests.deploy.celery_tasks worker``."""

import time

from resources.celery_app import app


@app.task(name="tests.hold")  # type: ignore[untyped-decorator]
def hold() -> None:
    """Last until it is killed."""
    time.sleep(3_600)
