"""`/try`: an operation of the API carried out in the visitor's name, from a form made of its description.

It goes through the API itself, inside this process, so permissions, limits and answers are those that a program meets.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import msgspec
from fastapi import Query, Request, Response

from unified.api.management.access.callers import Known
from unified.api.management.app import ApiByNeed, described_api
from unified.api.management.problems import Problem
from unified.api.management.services import Use
from unified.api.pages.route import NO_SUCH_PAGE, Form, Here, router
from unified.api.pages.view import indented, render

_SHOWN_HEADERS = ("content-type", "etag", "link", "location", "ratelimit", "retry-after")
_LONGEST_SHOWN = 200_000

Name = Annotated[str, Query(max_length=300)]

routes = router()


@routes.get("/try")
async def ask(request: Request, _known: Known, operation: Name = "") -> Response:
    """Ask which operation, or what to call it with."""
    return _page(request, _operation(operation) if operation else None)


@routes.post("/try")
async def carry_out(request: Request, _known: Known, services: Use, session: Here, form: Form) -> Response:
    """Call the operation, and show its answer. What was sent as a body may be a secret, and is not shown again."""
    chosen = _operation(form.get("operation", ""))
    path, query = chosen["path"], {}
    for one in chosen["parameters"]:
        value = form.get(f"{one['in']}.{one['name']}", "").strip()
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(value, safe=""))
        elif value:
            query[one["name"]] = value
    headers = {"authorization": f"Bearer {session.token.reveal()}"}
    if match := form.get("if_match", "").strip():
        headers["if-match"] = match
    body = form.get("body", "").strip()
    if body:
        headers["content-type"] = "application/json"
    transport = httpx.ASGITransport(ApiByNeed(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        try:
            answer = await client.request(
                chosen["method"], path, params=query, headers=headers, content=body.encode()
            )
        except (httpx.InvalidURL, UnicodeEncodeError):
            raise Problem(422, "A value can't be sent.") from None
    return _page(request, chosen, form=form, answer=answer)


def _page(
    request: Request,
    operation: Mapping[str, Any] | None,
    *,
    form: Mapping[str, str] | None = None,
    answer: httpx.Response | None = None,
) -> Response:
    shown = None
    if answer is not None:
        shown = {
            "status": f"{answer.status_code} {answer.reason_phrase}",
            "good": answer.is_success,
            "headers": {name: answer.headers[name] for name in _SHOWN_HEADERS if name in answer.headers},
            "body": _text(answer),
        }
    return render(
        request,
        "try.html",
        operations=_operations(),
        operation=operation,
        form={name: value for name, value in (form or {}).items() if name != "body"},
        answer=shown,
    )


def _text(answer: httpx.Response) -> str:
    text = answer.text
    if "json" in answer.headers.get("content-type", "") and len(text) <= _LONGEST_SHOWN:
        return indented(msgspec.Raw(answer.content))
    return text[:_LONGEST_SHOWN]


@cache
def _operations() -> dict[str, dict[str, Any]]:
    """What can be called, by method and path: method, path, parameters that a form asks for, an example of the body."""
    document = described_api().openapi()
    found = {}
    for path, operations in document["paths"].items():
        if not path.startswith("/api/"):
            continue
        for method, one in operations.items():
            given = one.get("parameters", [])
            body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            name = f"{method.upper()} {path}"
            found[name] = {
                "name": name,
                "method": method.upper(),
                "path": path,
                "group": one["tags"][0],
                "summary": one.get("summary", ""),
                "description": one.get("description", ""),
                "permission": one.get("x-permission"),
                "parameters": [each for each in given if each["in"] in ("path", "query")],
                "takes_match": any(each["name"].lower() == "if-match" for each in given),
                "body": None
                if body is None
                else msgspec.json.format(msgspec.json.encode(_example(document, body)), indent=2).decode(),
            }
    return found


def _operation(name: str) -> dict[str, Any]:
    if (found := _operations().get(name)) is None:
        raise NO_SUCH_PAGE
    return found


def _example(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """A body to begin with: the fields that are needed, each with its example or an empty value."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for known in (schema.get("examples"), schema.get("enum")):
        if known:
            return known[0]
    if "default" in schema:
        return schema["default"]
    if choices := schema.get("anyOf") or schema.get("allOf") or schema.get("oneOf"):
        return _example(document, choices[0])
    if "properties" in schema:
        needed = schema.get("required", ())
        return {name: _example(document, one) for name, one in schema["properties"].items() if name in needed}
    return {"object": {}, "array": [], "boolean": False, "integer": 0, "number": 0}.get(
        schema.get("type", ""), ""
    )
