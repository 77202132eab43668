"""Waiting for something that may be slow, for as long as it gets on."""

import time
from collections.abc import Callable


class Patience:
    """Runs out once nothing has happened for a while, however long the whole may take."""

    def __init__(self, seconds: float, progress: Callable[[], object]) -> None:
        """Begin to wait.

        Args:
            seconds: How long nothing may happen.
            progress: Shows how far it is: anything that differs from before once something has happened.
        """
        self.seconds = seconds
        self._progress = progress
        self._seen = progress()
        self._since = time.monotonic()

    def is_out(self) -> bool:
        """Look again; whether nothing has happened for too long."""
        now = self._progress()
        if now != self._seen:
            self._seen, self._since = now, time.monotonic()
        return time.monotonic() - self._since > self.seconds
