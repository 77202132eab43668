"""Permissions: what each role may do in its workspace, and what an admin of the deployment may do beside it.

The one table of both. A scope of an API token is one of these names. Who is asked for which: the routes of `api`.
"""

from typing import Literal

Role = Literal["owner", "admin", "member", "viewer"]
ROLES: tuple[Role, ...] = ("owner", "admin", "member", "viewer")

_VIEWER = {"workspace:read", "connections:read", "webhooks:read", "members:read"}
_MEMBER = _VIEWER | {
    "connections:write",  # add, change, pause, remove
    "connections:sync",  # ask for a sync, test
    "credentials:write",
    "records:read",  # customers, invoices and the rest; what could not be used: rejects, dead letters
    "records:raw",  # records as providers sent them
    "webhooks:write",  # add, roll the secret, replay
}
_ADMIN = _MEMBER | {
    "workspace:write",
    "connections:approve",
    "connectors:write",  # install, upgrade and remove connector documents
    "members:write",
    "tokens:read",
    "tokens:write",
    "audit:read",
    "privacy:write",  # delete a person's data for good
}
_OWNER = _ADMIN | {"owners:write"}  # make an owner, or unmake one

PERMISSIONS: dict[Role, frozenset[str]] = {
    "owner": frozenset(_OWNER),
    "admin": frozenset(_ADMIN),
    "member": frozenset(_MEMBER),
    "viewer": frozenset(_VIEWER),
}
"""By role. Each has what those below it have."""

SCOPES = PERMISSIONS["owner"] - {"owners:write", "members:write", "tokens:write"}
"""What a token can be given: none gives rights to others."""

ADMIN_PERMISSIONS = frozenset(
    {"workspaces:create", "workspaces:list", "metrics:read", "connectors:deprecate"}
)
"""Of the whole deployment. None of them opens a workspace."""
