"""Who asks, and whether they may: from the headers of a request to a :class:`Caller`.

A caller shows an API token (``uat_…``, or ``uad_…`` of the deployment) or a JWT. A token opens its own workspace. A
JWT says who somebody is; that they are a member, and in which role, is asked of the database for each request.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Request

from unified import logs
from unified.api.management import headers
from unified.api.management.access.jwts import BadJwtError, JwtVerifier, KeysAwayError
from unified.api.management.problems import RETRY_SECONDS, Problem
from unified.store.database import Database
from unified.store.workspaces import members
from unified.store.workspaces.permissions import ADMIN_PERMISSIONS, PERMISSIONS
from unified.store.workspaces.tokens import TokenLookup


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody known, in no workspace yet.

    Attributes:
        actor: How the audit log names them: ``user:<subject>`` or ``token:<id>``.
        subject: The JWT's ``sub``; None for a token.
        permissions: Of the whole deployment, see :data:`unified.store.workspaces.permissions.ADMIN_PERMISSIONS`.
        method: How they proved it.
        claimed: Slugs or ids of the only workspaces that the JWT is good for; None where it names none.
        home: The caller in the token's workspace; None for a JWT or a token of the deployment.
    """

    actor: str
    subject: str | None
    permissions: frozenset[str]
    method: Literal["jwt", "token"]
    claimed: frozenset[str] | None = None
    home: "Caller | None" = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody known, in one workspace.

    Attributes:
        actor: How the audit log names them: ``user:<subject>`` or ``token:<id>``.
        subject: The JWT's ``sub``; None for a token.
        workspace_id: The workspace.
        workspace: Its slug.
        role: Their role in it; None for a token.
        permissions: What they may do there: their role's permissions, or the token's scopes.
        method: How they proved who they are.
    """

    actor: str
    subject: str | None
    workspace_id: UUID
    workspace: str
    role: str | None
    permissions: frozenset[str]
    method: Literal["jwt", "token"]


class Access:
    """Finds out who asks."""

    def __init__(
        self, db: Database, tokens: TokenLookup, jwts: JwtVerifier | None, admin_subjects: frozenset[str]
    ) -> None:
        """Know members of ``db``, tokens and JWTs; some subjects are admins of the deployment."""
        self._db = db
        self._tokens = tokens
        self._jwts = jwts
        self._admin_subjects = admin_subjects

    async def identify(self, authorization: str | None) -> Identity:
        """Who the header ``Authorization`` proves somebody to be.

        Raises:
            Problem: 401 where it proves nobody; 503 where that can't be said now.
        """
        scheme, _, credential = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not credential:
            raise _unknown("Send Authorization: Bearer with an API token or a JWT.")
        if credential.startswith(("uat_", "uad_")):
            return await self._identify_token(credential)
        if self._jwts is None:
            raise _unknown("This installation takes API tokens only.", error="invalid_token")
        try:
            claims = await self._jwts.verify(credential)
        except BadJwtError as error:
            raise _unknown(str(error), error="invalid_token") from None
        except KeysAwayError as error:
            raise Problem(503, str(error), headers={"retry-after": str(RETRY_SECONDS)}) from None
        return Identity(
            members.user(claims.subject),
            claims.subject,
            ADMIN_PERMISSIONS if claims.subject in self._admin_subjects else frozenset(),
            "jwt",
            claims.workspaces,
        )

    async def enter(self, identity: Identity, workspace: str | None) -> Caller:
        """The caller in the workspace that is meant.

        Args:
            identity: From :meth:`identify`.
            workspace: Slug or id that the request names; None where it names none.

        Raises:
            Problem: 403 where they may not enter it or there is no such; 400 where it is not clear which is meant.
        """
        if identity.home is not None:
            logs.note(workspace=identity.home.workspace)
            if workspace is not None and workspace not in (
                identity.home.workspace,
                str(identity.home.workspace_id),
            ):
                raise Problem(403, "This token is another workspace's.")
            return identity.home
        if identity.subject is None:
            raise Problem(403, "A token of the deployment opens no workspace; use one of the workspace.")
        if workspace is None and identity.claimed is not None and len(identity.claimed) == 1:
            (workspace,) = identity.claimed
        found = await members.memberships(self._db, identity.subject, _slug_or_id(workspace))
        if workspace is None and len(found) > 1:
            raise Problem(400, f"You are a member of several workspaces: name one by {headers.WORKSPACE}.")
        if not found:
            which = "of any workspace" if workspace is None else "of such a workspace"
            raise Problem(403, f"You are not a member {which}.")
        membership = found[0]
        logs.note(workspace=membership.workspace)
        names = {membership.workspace, str(membership.workspace_id)}
        if identity.claimed is not None and not names & identity.claimed:
            raise Problem(403, "This JWT is good for another workspace only.")
        return Caller(
            identity.actor,
            identity.subject,
            membership.workspace_id,
            membership.workspace,
            membership.role,
            PERMISSIONS[membership.role],
            "jwt",
        )

    async def _identify_token(self, token: str) -> Identity:
        known = await self._tokens.find(token)
        if known is None:
            raise _unknown(
                "There is no such API token, or it was revoked or has expired.", error="invalid_token"
            )
        actor = f"token:{known.id}"
        if known.workspace_id is None or known.workspace is None:
            return Identity(actor, None, known.scopes & ADMIN_PERMISSIONS, "token")
        scopes = known.scopes & PERMISSIONS["owner"]
        home = Caller(actor, None, known.workspace_id, known.workspace, None, scopes, "token")
        return Identity(actor, None, frozenset(), "token", home=home)


class Rule:
    """What an endpoint asks of its caller. Each one under /api has one among its parameters; a test checks that."""

    def __init__(self, permission: str | None, *, in_workspace: bool) -> None:
        """Ask for a permission, in a workspace or of the deployment; None asks only to be known."""
        self.permission = permission
        self.in_workspace = in_workspace

    # A coroutine, for FastAPI runs plain functions in threads; so are the other dependencies.
    async def __call__(self, request: Request) -> Any:
        """The caller, whom :mod:`unified.api.management.route` found before it read anything else of the request."""
        return request.state.caller

    async def admit(
        self, access: Access, authorization: str | None, workspace: str | None
    ) -> Identity | Caller:
        """Find out who sent a request, and see that they may.

        Args:
            access: Who knows them.
            authorization: What proves who they are, as the header of that name has it.
            workspace: Slug or id that the request names, if it does.

        Raises:
            Problem: Where they may not, or nobody is known.
        """
        identity = await access.identify(authorization)
        caller = await access.enter(identity, workspace) if self.in_workspace else identity
        self.check(caller)
        return caller

    def check(self, caller: Identity | Caller) -> None:
        """See that somebody who is known may.

        Raises:
            Problem: If they may not.
        """
        if self.permission is not None and self.permission not in caller.permissions:
            raise Problem(403, f"This takes the permission {self.permission}, which you do not have.")


def allowed(permission: str) -> Any:
    """A route's dependency: a :class:`Caller` with that permission in the request's workspace."""
    return Depends(Rule(permission, in_workspace=True))


def deployment_allowed(permission: str) -> Any:
    """A route's dependency: an :class:`Identity` with that permission in the whole deployment."""
    return Depends(Rule(permission, in_workspace=False))


Known = Annotated[Identity, Depends(Rule(None, in_workspace=False))]
"""Annotation of a route's parameter: anybody who is known."""


def _slug_or_id(workspace: str | None) -> str | UUID | None:
    if workspace is None:
        return None
    try:
        return UUID(workspace)
    except ValueError:
        return workspace.replace("\x00", "")


def _unknown(detail: str, *, error: str | None = None) -> Problem:
    challenge = "Bearer" if error is None else f'Bearer error="{error}"'
    return Problem(401, detail, headers={"www-authenticate": challenge})
