#!/usr/bin/env bash
# FastAPI 0.165.0 (0.115.14 beside it): `app.routes` does not hold the routes of an included router.
#
# Guess: `include_router` adds a copy of each route, as it has always done, so a loop over `app.routes` sees all of
# them: that is how tests make sure that every path asks for a permission, and tools list what an application serves.
# Seen: one entry without a path stands for the whole router; `fastapi.routing.iter_route_contexts` gives what is in it.
# Nothing fails: `[route for route in app.routes if isinstance(route, APIRoute)]` is empty, and a test that is made of it
# has no cases. The application answers, and its OpenAPI document names the path, as before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/app.py" <<'PYTHON'
import json

import fastapi
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

customers = APIRouter(prefix="/customers")


@customers.get("/{key}")
def read(key: str) -> str:
    return key


app = FastAPI()
app.include_router(customers)
print(
    json.dumps(
        {
            "version": fastapi.__version__,
            "of the application": [route.path for route in app.routes if isinstance(route, APIRoute)],
            "of the router": [route.path for route in customers.routes],
            "documented": sorted(app.openapi()["paths"]),
            "answers": TestClient(app).get("/customers/7").json(),
        },
        sort_keys=True,
    )
)
PYTHON
for version in 0.115.14 0.165.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "fastapi==$version" httpx==0.28.1
  "$folder/$version/bin/python" -W ignore "$folder/app.py" | tee "$folder/$version.txt"
done
grep -q '"of the application": \["/customers/{key}"\]' "$folder/0.115.14.txt"
grep -q '"of the application": \[\]' "$folder/0.165.0.txt"
for version in 0.115.14 0.165.0; do
  grep -q '"answers": "7", "documented": \["/customers/{key}"\]' "$folder/$version.txt"
done
