"""What a provider says about a credential. How it is asked: :mod:`unified.sync.access.trials`."""

from dataclasses import dataclass
from typing import Any

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import Account
from unified.kit.errors import AdapterError
from unified.store.connections.registry import presentable
from unified.sync.access.trials import account_of
from unified.sync.errors import CredentialRefusedError


@dataclass(frozen=True, slots=True)
class Trial:
    """What a provider said about a credential.

    Attributes:
        account: Whose account it opens; None if it opens none, or that can't be said now.
        reason: Why not, and what to do, without a secret.
    """

    account: Account | None
    reason: str | None = None


async def tried(adapter: BaseAdapter[Any]) -> Trial:
    """Ask the provider. A refusal is an answer like any other."""
    try:
        return Trial(await account_of(adapter))
    except AdapterError as error:
        return Trial(None, presentable(str(error)))


async def accepted(adapter: BaseAdapter[Any]) -> Trial:
    """Ask the provider before anything is stored.

    Raises:
        CredentialRefusedError: If the credential opens no account, or that can't be said now.
    """
    trial = await tried(adapter)
    if trial.account is None:
        raise CredentialRefusedError(f"nothing was stored: {trial.reason}")
    return trial
