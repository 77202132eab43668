"""What a stream's cursor was made with: the account, its mode, the settings that say what is read, and how it is read.

A cursor is good for these alone. The account is the connection's: it is asked for again once credentials or settings
were changed (:mod:`unified.store.connections.accounts`). The rest is each stream's: its cursor keeps it, and the stream
is read anew where settings were changed, or a connector document was upgraded, so that it is another one.
"""

import hashlib
import json
import logging
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import UNKNOWN_ACCOUNT, Account, AdapterConfig
from unified.kit.errors import NotFoundError, PermissionDeniedError
from unified.kit.secrets import Referenced
from unified.store.connections import accounts
from unified.store.connections.accounts import KnownAccount
from unified.store.connections.rows import ConnectionSummary
from unified.store.database import Database
from unified.store.records.cursors import StoredCursor

_log = logging.getLogger(__name__)
# Its place among the settings, none of which has such a name.
_READING = "(reading)"


async def known_account(db: Database, connection: ConnectionSummary) -> KnownAccount:
    """What is known of a connection's account; read before its credentials are, so that no change is overlooked."""
    async with db.workspace(connection.workspace_id) as conn:
        return await accounts.known(conn, connection.id)


async def settled_account(
    db: Database, adapter: BaseAdapter[Any], connection: ConnectionSummary, before: KnownAccount
) -> KnownAccount:
    """Make sure whose account an open adapter reads, by asking where that is in doubt.

    Records of another account are buried, and its streams begin anew.

    Raises:
        ProviderError: If the provider does not answer as documented.
        StoreError: If the database fails.
    """
    # One that is kept elsewhere may be another one each time.
    is_elsewhere = any(isinstance(one, Referenced) for one in adapter.credentials.values())
    if before.is_settled and not is_elsewhere:
        return before
    account_id, livemode = identity(adapter, await _asked(adapter, before))
    settled = await accounts.settle(
        db, connection, account_id, livemode=livemode, doubts=before.doubts, actor="sync"
    )
    if before.epoch != settled.epoch:
        _log.warning(
            "%s: it opens account %s now; the records of %s count as deleted, and all is read anew",
            connection.key,
            settled,
            before,
        )
    return settled


def identity(adapter: BaseAdapter[Any], account: Account) -> tuple[str, bool | None]:
    """What tells an account from others: its id, and its mode.

    A credential that may not say whose it is stands for itself: another one may open another account.
    """
    if account.id != UNKNOWN_ACCOUNT:
        return account.id, account.livemode
    revealed = [adapter.credentials[name].reveal() for name in sorted(adapter.credentials)]
    digest = hashlib.sha256(json.dumps([adapter.connection.id.hex, revealed]).encode()).hexdigest()
    return f"{UNKNOWN_ACCOUNT}:{digest[:8]}", account.livemode


def scope_of(config: AdapterConfig, reading: str = "") -> str:
    """What says which records are read, as a cursor keeps it: equal where the same is read.

    Args:
        config: Settings of the connection.
        reading: How the stream is read (:attr:`unified.kit.declarations.Stream.reading`).
    """
    told = config.model_dump(mode="json", include=set(config.reads))
    told["base_url"] = config.base_url.rstrip("/")
    if reading:
        told[_READING] = reading
    return json.dumps(
        {name: sorted(value) if isinstance(value, list) else value for name, value in told.items()}
    )


def usable(stored: StoredCursor | None, scope: str, what: str) -> StoredCursor | None:
    """A stored cursor, or None where it was made with other settings or another document: then all is read anew."""
    if stored is None or stored.scope in (None, scope):
        return stored
    _log.warning(
        "%s: settings or a document that say what is read were changed, so all of it is read anew", what
    )
    return None


async def _asked(adapter: BaseAdapter[Any], before: KnownAccount) -> Account:
    """Whose account it is, or nobody's where the credential may not say.

    A server that knows the records but not the account, such as a proxy, is taken as it is. One that has answered
    before is not: then it is another server, and what is stored stays until somebody has looked at its address.
    """
    try:
        return await adapter.account()
    except PermissionDeniedError:
        return Account(UNKNOWN_ACCOUNT)
    except NotFoundError:
        if before.id is not None:
            raise
        return Account(UNKNOWN_ACCOUNT)
