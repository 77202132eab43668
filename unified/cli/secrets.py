"""A connection's secrets: from the environment, standard input or a hidden prompt, never from an argument.

Arguments are seen by every process of the machine and kept in the shell's history.
"""

import os
import sys
from collections.abc import Sequence
from uuid import UUID

import typer

from unified.cli.arguments import interruptible
from unified.cli.session import UsageError
from unified.kit.declarations import CredentialField
from unified.kit.secrets import Secret


def variable_of(field: CredentialField) -> str:
    """The environment variable that may hold a secret: ``UNIFIED_SECRET_API_KEY`` for ``api_key``."""
    return f"UNIFIED_SECRET_{field.name.upper()}"


def read_secrets(fields: Sequence[CredentialField], *, from_stdin: bool) -> dict[str, Secret]:
    """The secrets that a connector needs.

    Args:
        fields: Which ones.
        from_stdin: Whether they come by standard input: the bare secret where one is missing, else a line
            ``name=secret`` for each. Otherwise a person is asked for what the environment does not hold.

    Returns:
        Secrets by field name.

    Raises:
        UsageError: If one is missing and there is nobody to ask.
    """
    found = {field.name: os.environ.get(variable_of(field), "").strip() for field in fields}
    if from_stdin:
        found |= _from_lines(sys.stdin.read(), [field for field in fields if not found[field.name]])
    elif sys.stdin.isatty():
        for field in fields:
            if not found[field.name]:
                typer.echo(field.hint, err=True)
                with interruptible():
                    found[field.name] = typer.prompt(field.label, hide_input=True, err=True).strip()
    if missing := [field for field in fields if not found[field.name]]:
        names = " and ".join(f"{field.label} ({variable_of(field)})" for field in missing)
        way = "use --secret-stdin, or run this in a terminal"
        if from_stdin:
            way = f"give standard input a line {' and a line '.join(f'{field.name}=…' for field in missing)}"
        raise UsageError(f"no {names}: set the environment variable, or {way}")
    return {name: Secret(value) for name, value in found.items()}


async def secrets_elsewhere(given: Sequence[str] | None, workspace_id: UUID) -> dict[str, Secret]:
    """The secrets that ``--secret-from FIELD=REFERENCE`` names, by field.

    Raises:
        UsageError: If one is nothing of the kind. It is not repeated: it may be the secret itself.
        SecretReferenceError: If the place may not be looked at, or holds none.
    """
    from unified.store.secrets.elsewhere.references import FORMS, resolve  # noqa: PLC0415 - Vault's client, for few

    found: dict[str, Secret] = {}
    for one in given or ():
        field, equals, reference = one.partition("=")
        if not equals:
            raise UsageError(f"--secret-from takes FIELD=REFERENCE, the reference as {FORMS}")
        found[field.strip()] = await resolve(reference.strip(), workspace_id)
    return found


def _from_lines(text: str, fields: Sequence[CredentialField]) -> dict[str, str]:
    if len(fields) == 1 and len(text.split()) == 1:
        return {fields[0].name: text.strip()}
    lines = (line.partition("=") for line in text.splitlines())
    given = {name.strip(): value.strip() for name, _, value in lines}
    return {field.name: given.get(field.name, "") for field in fields}
