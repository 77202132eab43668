"""How launcher and workers speak with Celery's broker: for how long they wait for it, and what is wrong with it.

The launcher is :mod:`resources.celery_runs`, the workers' app :mod:`resources.celery_app`.
"""

import logging
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from dagster_celery.config import DEFAULT_CONFIG
from dagster_celery.defaults import broker_transport_options
from kombu.exceptions import OperationalError
from redis import RedisError

from resources.celery_names import QUEUES

BROKER_ERRORS = (OperationalError, RedisError)
"""What a broker raises that is away, hangs or refuses."""

_ANSWER_SECONDS = 5.0

WORKER_SECONDS = 3.0
"""How long a worker may take to answer."""

SETTINGS: dict[str, Any] = {
    **DEFAULT_CONFIG,
    # By default a broker that hangs is waited for without an end.
    "broker_transport_options": {
        **broker_transport_options,
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _ANSWER_SECONDS,
        # A worker whose connection leads nowhere answers again within 29 s. By the default, 25, it takes 105 s, and its
        # runs would be given up.
        "health_check_interval": 5,
    },
    "redis_socket_timeout": _ANSWER_SECONDS,
    "redis_socket_connect_timeout": _ANSWER_SECONDS,
    # A task that is sent once more because no answer came would be two of one run.
    "task_publish_retry": False,
}

log = logging.getLogger(__name__)


class Outcomes(RedisBackend):  # type: ignore[misc]
    """Where it is said how tasks stand. No run depends on that: what came of it, Dagster's storage says."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing when a task is sent, as nobody waits for what it returns."""

    def store_result(self, task_id: str, result: Any, state: str, *args: Any, **kwargs: Any) -> Any:
        """Say it, or log that the broker is away: the task begins all the same, and its process is free again."""
        try:
            return super().store_result(task_id, result, state, *args, **kwargs)
        except BROKER_ERRORS as error:
            log.warning("The broker was not told that task %s is %s: %s", task_id, state, error)
            return result


def with_checked_certificate(url: str) -> str:
    """The broker's URL: by TLS its certificate is checked, unless the URL says something else of it.

    Celery takes no ``rediss://`` that says nothing.
    """
    if not url.startswith("rediss://") or "ssl_cert_reqs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required"


def use_outcomes(app: Celery) -> None:
    """Have an app say by :class:`Outcomes` how tasks stand."""
    app.loader.override_backends = dict.fromkeys(("redis", "rediss"), f"{__name__}:{Outcomes.__name__}")


def client_app(url: str) -> Celery:
    """An app that only asks."""
    url = with_checked_certificate(url)
    return Celery(broker=url, backend=url, config_source=SETTINGS, set_as_current=False)


def trouble(app: Celery) -> str | None:
    """Why the broker of an app can't be used, in a line without its password. None where it can."""
    try:
        app.backend.client.ping()
    except RedisError as error:
        said = str(error).rstrip(".") or type(error).__name__
        return f"the Celery broker {app.backend.as_uri()} does not answer ({said})"
    except ValueError:  # it may quote a part of the password
        return "the Celery broker's URL can't be read: a password in it needs its %, /, : and @ as %25, %2F, %3A, %40"
    return None


def idle_queues(app: Celery) -> list[str]:
    """The queues from which no worker takes anything."""
    answers = app.control.inspect(timeout=WORKER_SECONDS).active_queues() or {}
    taken = {queue["name"] for queues in answers.values() for queue in queues}
    return [queue for queue in QUEUES if queue not in taken]
