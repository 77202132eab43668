"""Dagster's code locations, loaded anew when a connector document was installed, upgraded or removed.

`unified dev` looks by itself, so it makes no difference who installed it: a command, the API, another machine.
"""

import time

import httpx
import psycopg

from unified.cli.output import say
from unified.cli.processes.kept import KeptConnection
from unified.cli.processes.local import local
from unified.store.connectors import installed
from unified.store.server.failures import clear_errors

LOOK_SECONDS = 3.0
# The code server imports everything anew before it answers.
_PATIENCE_SECONDS = 120.0
_RELOAD = """
mutation { reloadWorkspace { __typename ... on PythonError { message } ... on Workspace {
    locationEntries { locationOrLoadError { __typename ... on PythonError { message } } }
} } }
"""


class ReloadedLocations:
    """Looks at the installed documents, and has Dagster load its definitions anew when they are others."""

    def __init__(
        self, kept: KeptConnection, address: str, token: str | None, *, every: float = LOOK_SECONDS
    ) -> None:
        """Take what is installed now for what Dagster has loaded.

        Args:
            kept: Of the database.
            address: Of Dagster's UI.
            token: What the UI asks for, if it does.
            every: Seconds between two looks.

        Raises:
            StoreError: If the database fails.
        """
        self._kept = kept
        self._graphql = f"{address}/graphql"
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        with clear_errors("reading the connector documents"):
            self._loaded = installed.places(kept.open())
        self._every = every
        self._looked_at = time.monotonic()

    def follow(self) -> None:
        """Look, where it is time to; call it as often as you like."""
        if time.monotonic() - self._looked_at < self._every:
            return
        self._looked_at = time.monotonic()
        try:
            found = installed.places(self._kept.open())
        except psycopg.Error:
            return  # the next look finds out; what needs the database reports it
        if found == self._loaded:
            return
        names = sorted({place.connector for place in {*found} ^ {*self._loaded}})
        if reason := self._reload():
            say(f"Dagster can't load {', '.join(names)} yet ({reason}); it is tried again.")
            return
        say(f"Dagster has loaded {', '.join(names)} anew.")
        self._loaded = found

    def _reload(self) -> str | None:
        """Have Dagster load its code locations; why it can't, if so."""
        try:
            answer = local().post(
                self._graphql, json={"query": _RELOAD}, headers=self._headers, timeout=_PATIENCE_SECONDS
            )
            outcome = answer.raise_for_status().json()["data"]["reloadWorkspace"]
        except httpx.HTTPError as error:
            return type(error).__name__
        entries = [entry["locationOrLoadError"] for entry in outcome.get("locationEntries", [])]
        return next((one["message"] for one in (outcome, *entries) if one and "message" in one), None)
