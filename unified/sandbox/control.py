"""`/_sandbox/{provider}/…`: the same levers as in Python, for a sandbox that runs in another process.

| request | does |
|---|---|
| `GET stats`, `POST stats/reset` | what was served |
| `GET oracle?key=` | `counts` and `totals` that a complete copy must hold |
| `POST faults` with the fields of `Fault`, `DELETE faults` | arm one, disarm all |
| `POST latency` `{"ms": 200}` | delay of every response |
| `POST limits` with the fields of the provider's limits, or `null` | replace the rate limits |
| `POST clock` `{"days": 31}`, `{"seconds": -60}` or `{"now": 1790000000}` | move the sandbox's time |
| `POST mutate` `{"do": "update_customer", "key": null, "args": ["cus_…"], "fields": {…}}` | change data |
| `GET webhooks`, `POST webhooks` with the fields of `Endpoint` | endpoints and their counts, add one |
| `DELETE webhooks` | remove all endpoints |
| `GET oauth` | calls of the token endpoint by grant type, and how grants stand |
| `POST revoke` `{"key": "…"}`, `POST restore` | refuse a key, accept it again |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from unified.sandbox.faults import Fault
from unified.sandbox.provider import Provider
from unified.sandbox.webhooks import Endpoint

Action = Callable[[Provider[Any], Request, Any], Any]


def control_app(providers: Mapping[str, Provider[Any]]) -> Starlette:
    """The control API over the given providers, by name."""

    def route(path: str, method: str, action: Action) -> Route:
        async def serve(request: Request) -> Response:
            provider = providers.get(request.path_params["provider"])
            if provider is None:
                return _json({"error": f"no provider of that name; there are {', '.join(providers)}"}, 404)
            raw = await request.body()
            try:
                return _json(action(provider, request, msgspec.json.decode(raw) if raw else {}))
            except (KeyError, TypeError, ValueError) as error:
                return _json({"error": str(error)}, 400)

        return Route(f"/{{provider}}/{path}", serve, methods=[method])

    return Starlette(
        routes=[
            route("stats", "GET", lambda provider, _, __: provider.stats.report()),
            route("stats/reset", "POST", lambda provider, _, __: provider.stats.reset()),
            route("oracle", "GET", _oracle),
            route("faults", "POST", lambda provider, _, fields: provider.faults.add(Fault(**fields))),
            route("faults", "DELETE", lambda provider, _, __: provider.faults.clear()),
            route("latency", "POST", _latency),
            route("limits", "POST", _limits),
            route("clock", "POST", _clock),
            route("mutate", "POST", _mutate),
            route("webhooks", "GET", lambda provider, _, __: provider.webhooks.report()),
            route("webhooks", "POST", _add_endpoint),
            route("webhooks", "DELETE", lambda provider, _, __: provider.webhooks.clear()),
            route("oauth", "GET", lambda provider, _, __: provider.oauth_report()),
            route("revoke", "POST", lambda provider, _, fields: provider.revoke(fields["key"])),
            route("restore", "POST", lambda provider, _, fields: provider.restore(fields["key"])),
        ]
    )


def _oracle(provider: Provider[Any], request: Request, _: Any) -> Any:
    with provider.lock:
        account = provider.account(request.query_params.get("key"))
        return {"counts": account.source_counts(), "totals": account.source_totals()}


def _latency(provider: Provider[Any], _: Request, fields: Any) -> None:
    provider.latency_ms = float(fields["ms"])


def _limits(provider: Provider[Any], _: Request, fields: Any) -> None:
    provider.set_limits(None if fields is None else provider.limits_type(**fields))


def _clock(provider: Provider[Any], _: Request, fields: Any) -> dict[str, float]:
    if "now" in fields:
        provider.clock.set(float(fields["now"]))
    provider.clock.advance(days=fields.get("days", 0), seconds=fields.get("seconds", 0))
    return {"now": provider.clock.time()}


def _mutate(provider: Provider[Any], _: Request, fields: Any) -> Any:
    return provider.mutate(
        fields["do"], fields.get("key"), *fields.get("args", ()), **fields.get("fields", {})
    )


def _add_endpoint(provider: Provider[Any], _: Request, fields: Any) -> None:
    endpoint = Endpoint(**fields)
    with provider.lock:
        provider.account(endpoint.key)
    provider.webhooks.add(endpoint)


def _json(document: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")
