"""A Salesforce stand-in on loopback; ``org.open()`` makes an adapter for it."""

from collections.abc import Iterator

import pytest

from tests.adapters.salesforce.test_conformance import SalesforceBench


@pytest.fixture
def org() -> Iterator[SalesforceBench]:
    with SalesforceBench() as bench:
        yield bench
