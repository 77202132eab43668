"""Alerts: a message to the webhook or Slack URL that the environment names."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg
import httpx

ALERT_URL_VARIABLE = "UNIFIED_ALERT_URL"
_SECONDS = 10.0


def alert(text: str) -> str:
    """Post ``{"text": …}``, the form that Slack's incoming webhooks take, if there is a URL to post to.

    Args:
        text: For people; no secret, no record.

    Returns:
        Its outcome, in words. A message that can't be sent is not worth a failure. The URL is a secret, and not in it.
    """
    url = os.environ.get(ALERT_URL_VARIABLE)
    if not url:
        return f"{ALERT_URL_VARIABLE} is not set, so no alert was sent"
    try:
        answer = httpx.post(url, json={"text": text}, timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"the alert could not be sent ({type(error).__name__}); look at {ALERT_URL_VARIABLE}"
    if not answer.is_success:
        return f"the alert was answered with {answer.status_code}; look at {ALERT_URL_VARIABLE}"
    return "the alert was sent"


def warn_daily(
    context: dg.SensorEvaluationContext, warnings: Mapping[str, str], summary: str
) -> dg.SensorResult:
    """Log and send warnings, each once a day for as long as it holds.

    Args:
        context: The sensor's; its cursor remembers which warnings were given today.
        warnings: Texts by what they are about.
        summary: What the tick shows.
    """
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    known = json.loads(context.cursor or "{}")
    fresh = [text for name, text in warnings.items() if known.get(name) != today]
    outcome = ""
    if fresh:
        text = "\n".join(fresh)
        context.log.warning(text)
        outcome = f"; {alert(f'Unified Assets: {text}')}"
    return dg.SensorResult(
        cursor=json.dumps(dict.fromkeys(warnings, today)), skip_reason=f"{summary}{outcome}"
    )
