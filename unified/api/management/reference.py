"""`/docs` and `/openapi.json`: the reference, drawn by the server, without scripts and without another host."""

from typing import Any

import msgspec
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader

_templates = Environment(loader=PackageLoader("unified.api.management"), autoescape=True, trim_blocks=True)

# One style sheet in the page, and nothing else.
_CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def add(app: FastAPI) -> None:
    """Serve an application's reference."""

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> Response:
        return Response(msgspec.json.encode(app.openapi()), media_type="application/json")

    @app.get("/docs", include_in_schema=False)
    async def page() -> Response:
        html = _templates.get_template("reference.html").render(
            api=app.openapi(), groups=_groups(app.openapi())
        )
        return HTMLResponse(html, headers={"content-security-policy": _CSP})


def _groups(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Operations by heading, each with its method, path and shapes."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            shown = {
                **operation,
                "method": method.upper(),
                "path": path,
                "body": _properties(document, body.get("schema", {})),
            }
            groups.setdefault(operation["tags"][0], []).append(shown)
    return groups


def _properties(document: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of an object, one level deep."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "type": _type(field),
            "required": name in required,
            "text": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    named = schema.get("$ref", "").rpartition("/")[2]
    return str(schema.get("format") or schema.get("type") or named or "any")
