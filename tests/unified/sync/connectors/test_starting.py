"""A document to begin with: whatever is said of an API, it is one that can be read and passes its own exchange."""

import asyncio
from dataclasses import replace

import pytest

from unified.kit.errors import ConfigurationError
from unified.sync.connectors.files import DOCUMENT, EXCHANGES, Files
from unified.sync.connectors.offers import tried
from unified.sync.connectors.starting import Start
from unified.sync.connectors.usual import AUTH_KINDS, PAGING_KINDS

START = Start("acme", "https://api.acme.example/v2/", "bearer", "none", "/customers", ("data",))


def made(start: Start) -> int | None:
    """How many records its document makes of its exchanges."""
    files = start.files()
    return asyncio.run(tried(Files("acme", files[DOCUMENT].encode(), files[EXCHANGES].encode())))


@pytest.mark.parametrize("auth", AUTH_KINDS)
def test_each_kind_of_proof_is_sent(auth: str) -> None:
    assert made(replace(START, auth=auth, paging="page")) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("paging", PAGING_KINDS)
def test_each_kind_of_paging_ends(paging: str) -> None:
    assert made(replace(START, paging=paging, records=("data", "items"))) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "stream", "entity"),
    [
        ("/v1/invoices", "invoices", "invoices"),
        ("/audit-events/", "audit_events", "events"),
        ("/Things.json", "things_json", "records"),
        ("/a/%20: [", "x_20", "records"),
    ],
)
def test_the_path_says_what_the_stream_is_and_where_it_lands(path: str, stream: str, entity: str) -> None:
    start = replace(START, path=path, records=())
    assert start.stream == stream
    assert f"entity: {entity}\n" in start.files()[DOCUMENT]
    assert made(start) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"paging": "token", "records": ()}, "reads an answer's next_cursor"),
        ({"path": "customers"}, "is not the path of a list"),
        ({"path": "/customers?limit=1"}, "is not the path of a list"),
        ({"path": "/customers/{id}"}, "is not the path of a list"),
    ],
)
def test_what_can_not_work_is_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        replace(START, **change).files()  # type: ignore[arg-type]
