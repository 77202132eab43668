"""What a process writes to its log: a line for people, or a JSON object for machines, with what the work is about.

Whatever is logged within :func:`about` carries its ids: run, workspace, connection, stream, request. They are names and
ids, never a record or a secret. Secrets are kept out of messages where those are made (:mod:`unified.kit.secrets`);
here nothing is added that was not in the message, the error or those ids. Standard `logging` alone.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

FORMAT_VARIABLE = "UNIFIED_LOG_FORMAT"
"""``text``, the default, or ``json``."""
FORMATS = ("text", "json")

_TEXT = "%(asctime)s %(levelname)s %(message)s"
_about: ContextVar[Mapping[str, str]] = ContextVar("unified_logs_about", default=MappingProxyType({}))


class LogFormatError(Exception):
    """UNIFIED_LOG_FORMAT names no format."""


@contextmanager
def about(**ids: str | None) -> Iterator[None]:
    """Say of each line that is logged within a block what it is about; tasks that begin in it say so too.

    Args:
        ids: By name, for example ``run``; those that are None are left out.
    """
    token = _about.set({**_about.get(), **{name: value for name, value in ids.items() if value is not None}})
    try:
        yield
    finally:
        # Dagster takes each step of an asset that yields into a context of its own, where nothing was said.
        with suppress(ValueError):
            _about.reset(token)


def note(**ids: str) -> None:
    """Say it until the current task ends, for its caller as well: whose request this turned out to be."""
    _about.set({**_about.get(), **ids})


def noted() -> Mapping[str, str]:
    """What is said at this place."""
    return _about.get()


class JsonLines(logging.Formatter):
    """One JSON object a line: time in UTC, level, logger, message, ids, fields that a record brings, error.

    A record with ``lines``, pairs of a message and all of its ids and fields, becomes as many.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The lines of a record."""
        common = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        said = {**_about.get(), **getattr(record, "fields", {}), **self._error(record)}
        lines = getattr(record, "lines", None) or [(record.getMessage(), said)]
        return "\n".join(
            json.dumps({**common, "message": message, **fields}, default=str) for message, fields in lines
        )

    def _error(self, record: logging.LogRecord) -> dict[str, Any]:
        if not record.exc_info or record.exc_info[0] is None:
            return {}
        return {"error": record.exc_info[0].__name__, "traceback": self.formatException(record.exc_info)}


def chosen() -> str:
    """The format that UNIFIED_LOG_FORMAT names.

    Raises:
        LogFormatError: If there is no such format.
    """
    name = os.environ.get(FORMAT_VARIABLE) or "text"
    if name not in FORMATS:
        raise LogFormatError(f"{FORMAT_VARIABLE} takes text or json, not {name!r}")
    return name


def formatter() -> logging.Formatter:
    """What writes the format that is chosen."""
    return JsonLines() if chosen() == "json" else logging.Formatter(_TEXT)


def configure(level: int = logging.INFO) -> None:
    """Have this process log to stderr, in the format that is chosen; the last call holds.

    Args:
        level: From which on.

    Raises:
        LogFormatError: If UNIFIED_LOG_FORMAT names no format.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
