"""Who may read which records: each address with each kind of caller."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.unified.api.management.records.shelf import LISTS, ODD, Shelf
from tests.unified.api.management.rig import Api, signed
from unified.store.workspaces import members, tokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADDRESSES = [
    *(f"/api/{name}" for name in LISTS),
    *(f"/api/{name}?updated_since=2020-01-01T00:00:00Z" for name in LISTS),
    *(f"/api/{name}/main/1?expand=raw" for name in LISTS if name != "identities"),
]


async def token_of(shelf: Shelf, *scopes: str) -> str:
    _, token = await tokens.create(shelf.tenant.api.db, shelf.tenant.id, "t", scopes, actor="tests")
    return token.reveal()


async def expired(shelf: Shelf) -> str:
    soon = datetime.now(UTC) + timedelta(days=1)
    made, token = await tokens.create(
        shelf.tenant.api.db, shelf.tenant.id, "t", ["records:read"], expires_at=soon, actor="tests"
    )
    async with shelf.tenant.api.db.workspace(shelf.tenant.id) as conn:
        await conn.execute(
            "UPDATE api_tokens SET expires_at = now() - interval '1s' WHERE id = %s", (made.id,)
        )
    return token.reveal()


async def revoked(shelf: Shelf) -> str:
    db, workspace = shelf.tenant.api.db, shelf.tenant.id
    made, token = await tokens.create(db, workspace, "t", ["records:read", "records:raw"], actor="tests")
    await tokens.revoke(db, workspace, made.id, actor="tests")
    return token.reveal()


async def of_other_scopes(shelf: Shelf) -> str:
    return await token_of(shelf, "connections:read", "webhooks:read", "records:raw")


async def of_a_viewer(shelf: Shelf) -> str:
    await members.add(shelf.tenant.api.db, shelf.tenant.id, "vic", "viewer", actor="tests")
    return signed("vic")


async def of_nobody(shelf: Shelf) -> str:
    return "uat_00000000_" + "x" * 43


@pytest.mark.parametrize("address", ADDRESSES)
async def test_another_workspace_sees_nothing(api: Api, address: str) -> None:
    shelf = await Shelf.of(api, "theirs")
    await shelf.fill()
    mine = await Shelf.of(api, "mine", name="other")
    answer = await mine.tenant.client.get(address)
    if "/main/" in address:
        assert answer.status_code == 404
    else:
        assert (answer.status_code, answer.json()["items"]) == (200, [])
    assert ODD not in answer.text
    # The rows are there for those whose they are.
    answer = await shelf.tenant.client.get(address)
    assert answer.status_code == 200
    assert answer.json().get("items", [1])


@pytest.mark.parametrize("address", ADDRESSES)
async def test_who_is_not_known_or_not_permitted_reads_nothing(api: Api, address: str) -> None:
    shelf = await Shelf.of(api, "guarded")
    await shelf.fill()
    for kind, status in (
        (expired, 401),
        (revoked, 401),
        (of_nobody, 401),
        (of_other_scopes, 403),
        (of_a_viewer, 403),
    ):
        answer = await api.call("GET", address, await kind(shelf), workspace=shelf.tenant.slug)
        assert answer.status_code == status, kind
        assert ODD not in answer.text


async def test_a_connection_of_another_workspace_is_no_filter(api: Api) -> None:
    shelf, mine = await Shelf.of(api, "theirs"), await Shelf.of(api, "mine", name="other")
    await shelf.fill()
    for name in ("customers", "invoices", "events", "records"):
        for connection in ("main", str(shelf.connection.id)):
            await mine.tenant.ask("GET", f"/api/{name}", 404, params={"connection": connection})
