#!/usr/bin/env bash
# svix 2.9.1 and standardwebhooks 1.1.0: what they sign at an aware time of another zone, no receiver accepts.
#
# Guess: `sign(id, timestamp, body)` takes a datetime, so two datetimes of one instant give one signature, and a naive
# one is local time, as `datetime.timestamp()` reads it.
# Seen: the time's zone is thrown away and its digits are read as UTC. At 12:00 in Berlin the signature is of 12:00
# UTC, while the header that its sender writes holds the instant: "No matching signature found", each time, for a
# sender whose clock is not in UTC.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check svix==2.9.1 standardwebhooks==1.1.0 tzdata
TZ=Europe/Berlin "$folder/venv/bin/python" - <<'PYTHON'
import base64
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import standardwebhooks
import svix

secret = "whsec_" + base64.b64encode(b"not a secret of anyone's").decode()
now = datetime.now(UTC)
for library in (standardwebhooks, svix):
    webhook = library.Webhook(secret)
    outcomes = {}
    for name, sent in {
        "UTC": now,
        "Berlin": now.astimezone(ZoneInfo("Europe/Berlin")),
        "naive local": now.astimezone().replace(tzinfo=None),
    }.items():
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(sent.timestamp())),
            "webhook-signature": webhook.sign("msg_1", sent, "{}"),
        }
        try:
            webhook.verify("{}", headers)
            outcomes[name] = "accepted"
        except library.WebhookVerificationError as error:
            outcomes[name] = str(error)
    print(f"{library.__name__}: {outcomes}")
    refused = "No matching signature found"
    assert outcomes == {"UTC": "accepted", "Berlin": refused, "naive local": refused}
PYTHON
