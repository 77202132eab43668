"""Adapters as a Dagster resource: from a connection to its adapter, with credentials that nobody else sees."""

import dagster as dg

from resources.store import CredentialStoreResource
from unified.kit.factory import AdapterFactory
from unified.store.database import Database
from unified.sync.access.authorization import AuthorizedConnections


class AdaptersResource(dg.ConfigurableResource["AdaptersResource"]):
    """Makes adapters of stored connections."""

    credentials: dg.ResourceDependency[CredentialStoreResource]

    def factory(self, db: Database, *, actor: str) -> AdapterFactory:
        """A factory for the connections in ``db``.

        Args:
            db: Where connections and credentials are.
            actor: Who asks, for the audit log; a run names itself.
        """
        return AdapterFactory(AuthorizedConnections(db, self.credentials.open(db), actor=actor))
