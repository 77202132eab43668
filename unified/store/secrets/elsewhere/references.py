"""References to secrets that are kept elsewhere: how one is written, where it leads, and which are allowed.

`unified apply` copies a secret from any reference that the person who runs it can read. A reference that a connection
keeps is followed by the processes of the deployment, at each use, in the name of a workspace: the deployment lists the
references that it allows, and without a list it allows none.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from unified.kit.errors import AdapterError, UnavailableError
from unified.kit.secrets import Referenced, Secret
from unified.store.errors import StoreError
from unified.store.secrets.elsewhere.kv import read_field

ALLOWED_VARIABLE = "UNIFIED_SECRET_REFERENCES"
"""What the deployment allows, by commas: ``env:ACME_,file:/run/secrets,vault:secret/tenants/{workspace_id}``."""

REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\0]+|vault:[^#\s]+#[^#\s]+", re.DOTALL)
FORMS = "env:NAME, file:PATH or vault:MOUNT/PATH#FIELD"

_WORKSPACE = "{workspace_id}"
_MOST_BYTES = 65_536
_LONGEST = 1_000

# What opens the deployment itself is no connection's secret, whatever the list says: all that it is set up by, but
# for what the command reads a secret from.
_OWN = re.compile(r"UNIFIED_(?!SECRET_).*|DATABASE_URL|DAGSTER_POSTGRES_URL|PGPASSWORD|VAULT_TOKEN")


class SecretReferenceError(StoreError):
    """A reference is not allowed, or leads to no secret."""


async def find(reference: str, environment: Mapping[str, str], folder: Path = Path("/")) -> Secret:
    """The secret that a reference leads to.

    Args:
        reference: Of the form of :data:`REFERENCE`.
        environment: Variables by name; Vault's address and log-in are among them.
        folder: What relative paths begin at.

    Raises:
        SecretReferenceError: If there is none; the message names the reference and no value.
        UnavailableError: If Vault can't be reached.
    """
    kind, _, place = reference.partition(":")
    match kind:
        case "env":
            found, missing = environment.get(place, ""), f"the environment has no {place}"
        case "file":
            found, missing = _text_of(folder, place), "the file is empty"
        case _:
            path_, _, field = place.partition("#")
            try:
                return await read_field(path_, field, environment)
            except UnavailableError as error:  # of its own kind: it may pass, so what needs it is tried again
                raise UnavailableError(f"{reference}: {error}") from None
            except (AdapterError, StoreError) as error:
                raise SecretReferenceError(f"{reference}: {error}") from None
    if not found.strip():
        raise SecretReferenceError(f"{reference}: {missing}")
    return Secret(found.strip())


async def resolve(reference: str, workspace_id: UUID, *, of_workspace: bool = False) -> Referenced:
    """The secret that a connection of a workspace keeps elsewhere.

    Args:
        reference: As it was typed, or as it is stored.
        workspace_id: The workspace.
        of_workspace: Whether a member of the workspace wrote it, and not the deployment's operator: then it has to be
            one of the workspace's own.

    Raises:
        SecretReferenceError: If the deployment does not allow it, or it leads to no secret.
        UnavailableError: If Vault can't be reached.
    """
    if not REFERENCE.fullmatch(reference) or len(reference) > _LONGEST:  # it may be a secret: not repeated
        raise SecretReferenceError(f"that says no place of a secret: write {FORMS}")
    places = os.environ.get(ALLOWED_VARIABLE, "").split(",")
    allowed = [one.strip() for one in places if _WORKSPACE in one or not of_workspace]
    if not any(_is_within(reference, one.replace(_WORKSPACE, str(workspace_id))) for one in allowed):
        raise SecretReferenceError(
            f"{reference}: this deployment lets no secret {'of a workspace ' if of_workspace else ''}be read there; "
            f"{ALLOWED_VARIABLE} says where it does (docs/keys.md)"
        )
    return Referenced((await find(reference, os.environ)).reveal(), reference)


def _is_within(reference: str, allowed: str) -> bool:
    """Whether a reference is one of those that an entry of the list allows."""
    (kind, _, place), (allowed_kind, _, root) = reference.partition(":"), allowed.partition(":")
    if kind != allowed_kind or not root:
        return False
    if kind == "env":
        return place.startswith(root) and not _OWN.fullmatch(place)
    if kind == "file":
        # Links are followed first: one inside may lead outside.
        return Path(place).is_absolute() and Path(os.path.realpath(place)).is_relative_to(
            os.path.realpath(root)
        )
    parts, within = place.partition("#")[0].split("/"), root.strip("/").split("/")
    return parts[: len(within)] == within and len(parts) > len(within) and not {"", ".", ".."} & {*parts}


def _text_of(folder: Path, place: str) -> str:
    path = folder / Path(place).expanduser()
    try:
        # Without waiting, as opening a pipe would.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SecretReferenceError(f"file:{place}: {path} is not a file")
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise SecretReferenceError(f"file:{place}: the file is too large to hold a secret")
        return text.decode()
    except OSError as error:
        raise SecretReferenceError(f"file:{place}: {path} can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SecretReferenceError(f"file:{place}: {path} does not hold text") from None
