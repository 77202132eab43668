"""Each test's database has two workspaces with a row in every table. It is a copy: filling one takes a second."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import migrated_database
from tests.unified.store.tenants import fill


@pytest.fixture(scope="session")
def filled_template(server_url: str, template: str) -> Iterator[str]:
    """Name of such a database that nobody is connected to."""
    with migrated_database(server_url, template) as url:
        with psycopg.connect(url) as connection:
            fill(connection)
            name = connection.info.dbname
        yield name


@pytest.fixture
def database_url(server_url: str, filled_template: str) -> Iterator[str]:
    """A superuser's URL of a filled database of the test's own."""
    with migrated_database(server_url, filled_template) as url:
        yield url
