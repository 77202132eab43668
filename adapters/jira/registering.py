"""Webhooks that an OAuth app registers, which Jira forgets after thirty days: a sync renews them.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-webhooks. An app sees its own, and renews
them all. They lead to one URL for each app and person, and are delivered, for an app that is not public, only if its
owner registered them. Whether there are any is a person's to say (README).
"""

import logging
from datetime import datetime, timedelta

import msgspec

from unified.kit.errors import PayloadError, PermissionDeniedError, ProtocolError, RequestRefusedError
from unified.kit.http.client import HttpClient
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import Offset
from unified.kit.webhooks.payloads import read_time

_log = logging.getLogger(__name__)

EVERY = timedelta(days=1)
_WITHIN = timedelta(days=20)
_AT_ONCE = 100
_PATH = "/rest/api/3/webhook"
_EVENTS = tuple(
    f"{kind}_{done}" for kind in ("jira:issue", "comment") for done in ("created", "updated", "deleted")
)


class _Webhook(msgspec.Struct, rename="camel"):
    id: int
    # Milliseconds, or a time in text: Atlassian's own schema and its examples differ.
    expiration_date: int | str | None = None
    jql_filter: str = ""
    url: str = ""


class _Registered(msgspec.Struct, rename="camel"):
    """An id, or why there is none: both are answered with 200."""

    created_webhook_id: int | None = None
    errors: list[str] = []


class _Registration(msgspec.Struct, rename="camel"):
    webhook_registration_result: list[_Registered]


_WEBHOOK = msgspec.json.Decoder(_Webhook)
_REGISTRATION = msgspec.json.Decoder(_Registration)
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_LIST = ListEndpoint(_PATH, Offset("startAt", 100, size_parameter="maxResults", end=("isLast",)), ("values",))


async def register(http: HttpClient, url: str, jql: str) -> str:
    """Have the app's webhooks lead to a URL; what is registered for it with the same filter already is left.

    Args:
        http: The connection's client.
        url: Of an endpoint.
        jql: Which issues, in the part of JQL that Jira takes for this.

    Returns:
        The webhook's id.

    Raises:
        RequestRefusedError: If Jira takes no such webhook; with its reason.
        ProviderError: If Jira fails otherwise.
    """
    try:
        found = await _listed(http)
    except msgspec.MsgspecError as error:
        msg = f"{http.label}: a webhook that Jira lists has another form than documented: {error}"
        raise ProtocolError(msg) from error
    if known := next((one for one in found if (one.url, one.jql_filter) == (url, jql)), None):
        return str(known.id)
    asked = {"url": url, "webhooks": [{"jqlFilter": jql, "events": list(_EVENTS)}]}
    made = await http.request("POST", _PATH, _REGISTRATION, json=asked, effect="once")
    one = next(iter(made.webhook_registration_result), _Registered())
    if one.created_webhook_id is None:
        reasons = " ".join(" ".join(one.errors).split())[:300] or "it gave no reason"
        raise RequestRefusedError(f"{http.label}: Jira registered no webhook: {reasons}")
    return str(one.created_webhook_id)


async def renew(http: HttpClient, now: datetime) -> int:
    """Renew the app's webhooks that end within twenty days; how many that were.

    An app without the right to manage webhooks has none, and a sync is worth more than they are: that is logged.

    Raises:
        ProviderError: If Jira fails otherwise.
    """
    try:
        due = [one.id for one in await _listed(http) if _is_due(one, now)]
        for at in range(0, len(due), _AT_ONCE):
            await http.request(
                "PUT", f"{_PATH}/refresh", _ANYTHING, json={"webhookIds": due[at : at + _AT_ONCE]}
            )
    except (PermissionDeniedError, RequestRefusedError, msgspec.MsgspecError) as error:
        _log.warning("%s: the app's webhooks were not renewed: %s", http.label, error)
        return 0
    return len(due)


async def _listed(http: HttpClient) -> list[_Webhook]:
    """The app's webhooks.

    Raises:
        msgspec.MsgspecError: If one has another form than documented.
        ProviderError: If Jira fails.
    """
    return [_WEBHOOK.decode(one) async for part in _LIST.pages(http) for one in part.items]


def _is_due(webhook: _Webhook, now: datetime) -> bool:
    if webhook.expiration_date is None:
        return False
    try:
        return read_time(webhook.expiration_date, per_second=1000) - now <= _WITHIN
    except PayloadError:
        return True
