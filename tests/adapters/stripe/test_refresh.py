"""Full refreshes against the stand-in: every record once, whatever the provider and the clock do."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from adapters.base import RawRecord
from adapters.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RateLimitedError,
)
from sandbox.data import CURRENCY_BY_CODE
from sandbox.stripe import StripeLimits

STREAMS = ("customers", "invoices", "events")


async def refreshed(stripe, copy_of, stream, **settings):
    copy = copy_of(stream)
    pages = await stripe.sync(copy, **settings)
    return copy, pages


@pytest.fixture
def copy_of(stripe):
    return type_of_copy()


def type_of_copy():
    from tests_copy import Copy  # pragma: no cover

    return Copy
