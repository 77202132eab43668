"""A database of each test's own: documents of the deployment, keys and revocations belong to no workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.conftest import migrated_database
from unified.store.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """That database."""
    with migrated_database(server_url, template) as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """It, open."""
    async with Database.open(database_url) as opened:
        yield opened
