"""What a pull has cost so far, held against a document's budgets."""

import time
from typing import Any

from unified.kit.document.model import Budgets
from unified.kit.errors import ProviderError
from unified.kit.streams import Page


class Spent:
    """What a pull has cost so far, held against the document's budgets."""

    def __init__(self, budgets: Budgets, adapter: Any) -> None:
        """Count from now on what a connected adapter spends."""
        self._budgets = budgets
        self._http = adapter.http
        self._began, self._before = time.monotonic(), adapter.http.traffic.requests
        self._pages = self._bytes = 0

    def add(self, page: Page) -> None:
        """Count a page that was handed over.

        Raises:
            ProviderError: If a budget is used up.
        """
        self._pages += 1
        self._bytes += sum(len(record.body) for record in page.records)
        spent = {
            "pages": self._pages,
            "requests": self._http.traffic.requests - self._before,
            "bytes": self._bytes,
            "seconds": int(time.monotonic() - self._began),
        }
        for name, amount in spent.items():
            most = getattr(self._budgets, name)
            if amount > most and not page.refresh_done:
                raise ProviderError(
                    f"{self._http.label}: the pull took more than the {most:,} {name} of the document's budget. The "
                    f"next one goes on from here; raise budgets.{name} if so much is right"
                )
