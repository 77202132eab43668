"""The app that Celery workers run: ``celery -A resources.celery_app worker -Q syncs,drains``.

dagster-celery's own command writes the broker's URL with its password into a file for each start, takes AMQP without a
word where its YAML is nested otherwise, and does not pass SIGTERM on. Here the URL comes from the environment alone.
Workers need all that a run needs: DAGSTER_HOME, DAGSTER_POSTGRES_URL, DATABASE_URL and the master keys.
"""

import os

from celery import Celery
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

from resources.celery_broker import SETTINGS, use_outcomes, with_checked_certificate
from resources.celery_names import BROKER_VARIABLE


def worker_app() -> Celery:
    """The app of a worker.

    Raises:
        RuntimeError: If no broker is named.
    """
    url = os.environ.get(BROKER_VARIABLE)
    if not url:
        raise RuntimeError(f"{BROKER_VARIABLE} has to name the broker: redis://:password@host:6379/0")
    url = with_checked_certificate(url)
    settings = {
        **SETTINGS,
        "task_track_started": True,
        # It waits for its broker for as long as it takes, when it starts as well, and goes on with what it has.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # A task that it can't begin yet stays in the queue: another worker may, and it is not lost with a connection.
        "worker_disable_prefetch": True,
    }
    made = make_app({"broker": url, "backend": url, "config_source": settings})  # type: ignore[no-untyped-call]
    use_outcomes(made)
    # A run is begun once; Dagster itself tries again what was lost.
    create_execute_job_task(made)
    create_resume_job_task(made)
    return made


app = worker_app()
