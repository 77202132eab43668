from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.conftest import AddConnection
    from tests.unified.sync.exports.warehouse import Warehouse
    from unified.store.database import Database


@pytest_asyncio.fixture
async def warehouse(
    database: Database, workspace: UUID, add_connection: AddConnection, tmp_path: Path
) -> Warehouse:
    from tests.unified.sync.exports.warehouse import Warehouse  # noqa: PLC0415

    return Warehouse(database, workspace, await add_connection(workspace), tmp_path)
