"""Warns of credentials that expire soon and of authorizations that are gone, each once a day."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import dagster as dg

from resources.store import CredentialStoreResource, DatabaseResource
from sensors.alerts import warn_daily
from unified.kit.declarations import CredentialKind
from unified.kit.registry import discover_adapters
from unified.store.connections.registry import Registry
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.secrets.authorizations import Authorizations
from unified.store.secrets.rows import CredentialInfo

WARN_WITHIN = timedelta(days=7)


def expiry_sensor() -> dg.SensorDefinition:
    """The sensor of all connections' credentials."""

    @dg.sensor(
        name="expiring_credentials",
        minimum_interval_seconds=3600,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Warns once a day of each credential and each consent that ends within a week, and of each "
        "connection that has to be authorized again, also by an alert.",
    )
    def warn(
        context: dg.SensorEvaluationContext,
        database: DatabaseResource,
        credentials: CredentialStoreResource,
    ) -> dg.SensorResult:
        expiring = database.ask(partial(_expiring, credentials))
        return warn_daily(
            context,
            expiring,
            f"{len(expiring)} credential(s) expire within a week or have expired",
            database,
            credentials,
        )

    return warn


async def _expiring(credentials: CredentialStoreResource, db: Database) -> dict[str, str]:
    """Warnings by connection and field; of a connection that waits for a person, also that."""
    store = credentials.open(db)
    there = await Registry(db).all_connections()
    infos = await store.expiring(there, WARN_WITHIN)
    consents = await Authorizations(db, store, actor="sensor").consented(there)
    connections = {connection.id: connection for connection in there}
    found = [(connections[info.connection_id].key, info) for info in infos]
    waiting = {
        f"{connection.key} authorization": connection.error_message
        or f"{connection.key} needs to be authorized again: `unified connections authorize {connection.key}`"
        for connection in connections.values()
        if connection.needs_reauth
    }
    given = [(connections[one], at) for one, at in consents.items()]
    return {**_warnings(found), **_ending(given), **waiting}


def _ending(given: Sequence[tuple[ConnectionSummary, datetime]]) -> dict[str, str]:
    """Warnings of consents that are about to end for good, of connectors whose consents do."""
    oauth = {name: adapter.oauth for name, adapter in discover_adapters().items()}
    now = datetime.now(UTC)
    ends = {
        connection.key: at + declared.lasts
        for connection, at in given
        if (declared := oauth.get(connection.connector)) is not None and declared.lasts is not None
    }
    return {
        f"{key} consent": (
            f"the consent to {key} {'ended' if end <= now else 'ends'} on {end:%Y-%m-%d}, however often its tokens are "
            f"replaced; `unified connections authorize {key}` asks for another one"
        )
        for key, end in ends.items()
        if end - now <= WARN_WITHIN
    }


def _warnings(found: Sequence[tuple[str, CredentialInfo]]) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        f"{key} {info.field}": (
            f"{info.field} of {key} {'expired' if info.expires_at <= now else 'expires'} on "
            f"{info.expires_at:%Y-%m-%d at %H:%M %Z}; {_advice(key, info.kind)}"
        )
        for key, info in found
        if info.expires_at
    }


def _advice(key: str, kind: str) -> str:
    if kind == CredentialKind.OAUTH_TOKEN:
        return f"`unified connections authorize {key}` makes a new one"
    return f"`unified connections update {key} --secret` replaces it"
