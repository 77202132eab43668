"""Alerts: a message to the URL, and by the connection, that the environment names."""

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg
import httpx

from resources.store import CredentialStoreResource, DatabaseResource
from unified.kit.factory import AdapterFactory
from unified.store.connections.registry import Registry
from unified.sync.access.authorization import AuthorizedConnections
from unified.sync.bracket import reason_of

ALERT_URL_VARIABLE = "UNIFIED_ALERT_URL"
ALERT_CONNECTION_VARIABLE = "UNIFIED_ALERT_CONNECTION"
_SECONDS = 10.0


def alert(text: str, database: DatabaseResource, credentials: CredentialStoreResource) -> str:
    """Send a text to wherever the environment says: a URL, a connection, or both.

    ``UNIFIED_ALERT_URL`` gets ``{"text": …}``, the form that Slack's incoming webhooks take.
    ``UNIFIED_ALERT_CONNECTION`` is ``workspace/name:place``, such as ``ops/team:C0123ABCD``.

    Args:
        text: For people; no secret, no record.
        database: Where the connection is.
        credentials: Where its credentials are.

    Returns:
        Its outcome, in words. A message that can't be sent is not worth a failure. The URL is a secret, and not in it.
    """
    url, target = (os.environ.get(name, "") for name in (ALERT_URL_VARIABLE, ALERT_CONNECTION_VARIABLE))
    outcomes = [_by_url(url, text)] if url else []
    if target:
        outcomes.append(asyncio.run(_by_connection(target, text, database, credentials)))
    return "; ".join(outcomes) or (
        f"neither {ALERT_URL_VARIABLE} nor {ALERT_CONNECTION_VARIABLE} is set, so no alert was sent"
    )


async def _by_connection(
    target: str, text: str, database: DatabaseResource, credentials: CredentialStoreResource
) -> str:
    key, _, place = target.partition(":")
    if not place:
        return f"the alert could not be sent; {ALERT_CONNECTION_VARIABLE} must look like ops/team:C0123ABCD"
    try:
        async with asyncio.timeout(_SECONDS), database.open() as db:
            connection = await Registry(db).find(key)
            factory = AdapterFactory(AuthorizedConnections(db, credentials.open(db), actor="alerts"))
            adapter = await factory.create(connection.workspace_id, connection.id, purpose="alert")
            async with adapter:
                await adapter.notify(place, text)
    except TimeoutError:
        return f"the alert could not be sent by {key}: no answer in {_SECONDS:.0f} s"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not worth a failure
        return f"the alert could not be sent by {key}: {reason_of(error, f'{key}: an alert')}"
    return f"the alert was sent by {key}"


def _by_url(url: str, text: str) -> str:
    try:
        answer = httpx.post(url, json={"text": text}, timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"the alert could not be sent ({type(error).__name__}); look at {ALERT_URL_VARIABLE}"
    if not answer.is_success:
        return f"the alert was answered with {answer.status_code}; look at {ALERT_URL_VARIABLE}"
    return "the alert was sent"


def warn_daily(
    context: dg.SensorEvaluationContext,
    warnings: Mapping[str, str],
    summary: str,
    database: DatabaseResource,
    credentials: CredentialStoreResource,
) -> dg.SensorResult:
    """Log and send warnings, each once a day for as long as it holds.

    Args:
        context: The sensor's; its cursor remembers which warnings were given today.
        warnings: Texts by what they are about.
        summary: What the tick shows.
        database: For alerts by a connection.
        credentials: For alerts by a connection.
    """
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    known = json.loads(context.cursor or "{}")
    fresh = [text for name, text in warnings.items() if known.get(name) != today]
    outcome = ""
    if fresh:
        text = "\n".join(fresh)
        context.log.warning(text)
        outcome = f"; {alert(f'Unified Assets: {text}', database, credentials)}"
    return dg.SensorResult(
        cursor=json.dumps(dict.fromkeys(warnings, today)), skip_reason=f"{summary}{outcome}"
    )
