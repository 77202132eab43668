"""`unified openapi`: the API's description, as `docs/openapi.json` holds it."""

import json

import typer

from unified.api.management.app import described_api


def openapi() -> None:
    """Print the management API's OpenAPI document."""
    typer.echo(json.dumps(described_api().openapi(), indent=2))
