"""Secrets that nothing else looks like, and what each may look like where it was left."""

import base64
import json
import re
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import uuid4

from unified.store.secrets.keys import generate_key


def canary(prefix: str) -> str:
    """A secret that nothing else looks like, with characters that encodings change."""
    return f"{prefix}{uuid4().hex}/+=?&{uuid4().hex}"


@dataclass
class Canaries:
    """The secrets, by what they are."""

    stripe_key: str = field(default_factory=lambda: canary("sk_test_fake_"))
    refused_key: str = field(default_factory=lambda: canary("sk_test_fake_"))
    unsendable_key: str = field(default_factory=lambda: canary("sk_test_fake_") + "\nx")
    typed_key: str = field(default_factory=lambda: canary("sk_test_fake_"))
    sent_key: str = field(default_factory=lambda: canary("sk_test_fake_"))
    form_key: str = field(default_factory=lambda: canary("sk_test_fake_"))
    form_secret: str = field(default_factory=lambda: canary("whsec_fake_"))
    access_token: str = field(default_factory=lambda: canary("pat-fake-"))
    refresh_token: str = field(default_factory=lambda: canary("refresh-fake-"))
    password: str = field(default_factory=lambda: canary("password-fake-"))
    bearer_token: str = field(default_factory=lambda: canary("bearer-fake-"))
    webhook_secret: str = field(default_factory=lambda: canary("whsec_fake_"))
    stray_token: str = field(default_factory=lambda: canary("uat_fake_"))
    jwt_secret: str = field(default_factory=lambda: canary("jwt-fake-"))
    vault_token: str = field(default_factory=lambda: canary("root-fake-"))
    master_key: str = field(default_factory=generate_key)
    wrong_master_key: str = field(default_factory=generate_key)
    api_token: str = ""
    session: str = ""
    link: str = ""


CONTROL = f"control{uuid4().hex}"
"""The word that is leaked on purpose."""


def forms(secret: str) -> dict[str, str]:
    """What a secret may look like: as it is, in hex, URL-encoded, in base64 at any place of a longer text."""
    plain = secret.encode()
    found = {
        "plain": secret,
        "URL": quote(secret, safe=""),
        "hex": plain.hex(),
        "JSON": json.dumps(secret)[1:-1],
    }
    found |= {f"half {number}": part for number, part in enumerate(re.findall(r"[0-9a-f]{32}", secret))}
    for start in range(3):
        # The last characters of either end depend on what stands beside.
        encoded = base64.b64encode(plain[start:])[4:-4].decode()
        found |= {
            f"base64 {start}": encoded,
            f"base64url {start}": encoded.replace("+", "-").replace("/", "_"),
        }
    return found
