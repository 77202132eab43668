"""Webhooks that an OAuth app registered, which Jira forgets after thirty days: a sync renews them.

Source: https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-webhooks. An app sees its own, and renews
them all. Who registers them, and for which URL, is a person's to say (README).
"""

import logging
from datetime import UTC, datetime, timedelta

import msgspec

from unified.kit.errors import PermissionDeniedError, RequestRefusedError
from unified.kit.http.client import HttpClient
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import Offset

_log = logging.getLogger(__name__)

EVERY = timedelta(days=1)
_WITHIN = timedelta(days=20)
_AT_ONCE = 100
_PATH = "/rest/api/3/webhook"


class _Webhook(msgspec.Struct, rename="camel"):
    id: int
    expiration_date: int | None = None


_WEBHOOK = msgspec.json.Decoder(_Webhook)
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_LIST = ListEndpoint(_PATH, Offset("startAt", 100, size_parameter="maxResults", end=("isLast",)), ("values",))


async def renew(http: HttpClient, now: datetime) -> int:
    """Renew the app's webhooks that end within twenty days; how many that were.

    An app without the right to manage webhooks has none, and a sync is worth more than they are: that is logged.

    Raises:
        ProviderError: If Jira fails otherwise.
    """
    try:
        found = [_WEBHOOK.decode(one) async for part in _LIST.pages(http) for one in part.items]
        due = [one.id for one in found if _is_due(one, now)]
        for at in range(0, len(due), _AT_ONCE):
            await http.request(
                "PUT", f"{_PATH}/refresh", _ANYTHING, json={"webhookIds": due[at : at + _AT_ONCE]}
            )
    except (PermissionDeniedError, RequestRefusedError, msgspec.MsgspecError) as error:
        _log.warning("%s: the app's webhooks were not renewed: %s", http.label, error)
        return 0
    return len(due)


def _is_due(webhook: _Webhook, now: datetime) -> bool:
    ends = webhook.expiration_date
    return ends is not None and datetime.fromtimestamp(ends / 1000, UTC) - now <= _WITHIN
