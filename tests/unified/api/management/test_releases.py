"""A database that is brought to another release under a running server: 503, not 500, and no restart afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import execute
from tests.unified.api.management.rig import CONFIGS
from unified.store.migrations import HEAD

if TYPE_CHECKING:
    from tests.unified.api.management.rig import Api, Tenant

SET = "UPDATE alembic_version SET version_num = '{}'"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("revision", ["9001", "0001"])
async def test_another_release_is_said_and_passes(api: Api, acme: Tenant, revision: str) -> None:
    await acme.ask("GET", CONFIGS)
    execute(api.db.url, SET.format(revision))
    try:
        refused = await acme.ask("GET", CONFIGS, 503)
        assert "another release" in refused["detail"]
        ready = await api.call("GET", "/readyz")
        assert (ready.status_code, ready.text) == (503, "the database is not of this release\n")
        assert ready.headers["retry-after"]
        assert (await api.call("GET", "/healthz")).status_code == 200
    finally:
        execute(api.db.url, SET.format(HEAD))
    await acme.ask("GET", CONFIGS)
    assert (await api.call("GET", "/readyz")).status_code == 200


async def test_a_table_that_changes_under_prepared_statements(api: Api, acme: Tenant) -> None:
    for _ in range(12):
        await acme.ask("GET", CONFIGS)
    execute(
        api.db.url,
        "ALTER TABLE connector_configs ALTER COLUMN sync_requested_at TYPE timestamptz(3)",
        "ALTER TABLE api_tokens ALTER COLUMN expires_at TYPE timestamptz(3)",
    )
    try:
        statuses = [(await acme.client.get(CONFIGS)).status_code for _ in range(12)]
    finally:
        execute(
            api.db.url,
            "ALTER TABLE connector_configs ALTER COLUMN sync_requested_at TYPE timestamptz",
            "ALTER TABLE api_tokens ALTER COLUMN expires_at TYPE timestamptz",
        )
    assert set(statuses) <= {200, 503}, statuses
    assert statuses[-1] == 200, "it goes on without a restart"
