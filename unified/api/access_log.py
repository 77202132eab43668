"""The access log: a line for each request, and no secret in it."""

import asyncio
import hashlib
import logging
from typing import Any

from unified import logs

LOGGER = "unified.access"

_log = logging.getLogger(LOGGER)


class AccessLog:
    """Writes the lines of one round of the event loop as one record: making a record costs more than a signature."""

    def __init__(self) -> None:
        """Write to the logger ``unified.access``, at INFO."""
        self._lines: list[tuple[str, dict[str, Any]]] = []

    def add(self, method: str, connector: str, endpoint_path: str, status: int, seconds: float) -> None:
        """Note a delivery that was answered.

        Args:
            method: Of HTTP.
            connector: As in the URL; empty where the URL could be no endpoint's, and is not shown.
            endpoint_path: As in the URL. It is a secret, so it shows as the beginning of its hash.
            status: Of the answer.
            seconds: From the head of the request to the answer.
        """
        name = (
            f"{connector}/{hashlib.sha256(endpoint_path.encode()).hexdigest()[:8]}"
            if connector
            else "elsewhere"
        )
        self.line(method, name, status, seconds)

    def line(self, method: str, what: str, status: int, seconds: float, suffix: str = "") -> None:
        """Note a request that was answered.

        Args:
            method: Of HTTP.
            what: The endpoint or the route, in words that hold neither an id nor a secret.
            status: Of the answer.
            seconds: From the head of the request to the answer.
            suffix: Put behind the text; fields have what :func:`unified.logs.about` says in its place.
        """
        if not _log.isEnabledFor(logging.INFO):
            return
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        milliseconds = round(seconds * 1000, 1)
        text = f"{method} {what} {status} {milliseconds} ms{suffix}"
        fields = {"method": method, "endpoint": what, "status": status, "milliseconds": milliseconds}
        self._lines.append((text, {**logs.noted(), **fields}))

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        _log.info("\n".join(text for text, _ in lines), extra={"lines": lines})
