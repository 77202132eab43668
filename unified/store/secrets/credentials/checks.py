"""Which secrets can be stored: of a known kind, each with a usable name, and none where a log could show it."""

import re
from collections.abc import Mapping
from datetime import datetime

from unified.kit.declarations import CredentialKind
from unified.kit.secrets import Referenced, Secret
from unified.store.secrets.credentials.errors import InvalidCredentialError

WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a kind, no secret
"""Kind of the secrets that sign what a webhook endpoint receives."""

_FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}")


def checked(kind: str, fields: Mapping[str, Secret], expires_at: datetime | None, *, is_webhook: bool) -> str:
    """The kind, once all of this can be stored.

    Raises:
        InvalidCredentialError: If the kind, a field's name or the expiry is not usable.
    """
    kinds = [WEBHOOK_SECRET] if is_webhook else [str(known) for known in CredentialKind]
    if kind not in kinds:
        raise InvalidCredentialError(f"there is no credential kind {kind!r}; use one of {', '.join(kinds)}")
    if not fields:
        raise InvalidCredentialError("no credential was given; give at least one field")
    for field, secret in fields.items():
        if not _FIELD.fullmatch(field):
            raise InvalidCredentialError(
                "a credential field's name has lower-case letters, digits and _ only, such as api_key"
            )
        if not isinstance(secret, Secret):
            raise InvalidCredentialError(f"the value of {field} must come as a Secret, which no log can show")
        if isinstance(secret, Referenced) and kind in (WEBHOOK_SECRET, CredentialKind.OAUTH_TOKEN):
            raise InvalidCredentialError(
                f"{field} is replaced here, so it can't be kept elsewhere; store it itself"
            )
    if expires_at is not None and expires_at.tzinfo is None:
        raise InvalidCredentialError("the expiry needs a time zone")
    return str(kind)
