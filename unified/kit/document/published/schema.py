"""The published form of the format: a JSON Schema for editors and other tools, made of the models.

``python -m unified.kit.document.published.schema`` writes ``schema.json`` anew; a test holds the two equal.
"""

import json
from pathlib import Path
from typing import Any

from unified.kit.document.model import ENGINE, DocumentModel

FILE = Path(__file__).with_name("schema.json")


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a connector document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **DocumentModel.model_json_schema(),
        "title": f"Connector document, engine {ENGINE}",
    }


def published() -> str:
    """The text of the file."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(published())
