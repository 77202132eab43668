"""A stream that begins at a day: what is older is not stored, and what is stored of it stays and is kept up to date."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unified.sync.deliveries import caused, deliver, drained
from tests.unified.sync.source import Source
from unified.kit.errors import ConfigurationError
from unified.kit.streams import Page, RawRecord
from unified.store.errors import StartChangedError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.sync.connections.changing import Changed, Connections
from unified.sync.mapper import Mapper
from unified.sync.mapping import Mapping
from unified.sync.storing import store_pages


async def begin(source: Source, **since: str) -> Changed:
    credentials = CredentialStore(source.db, LocalKeyProvider([source.master_key]))
    changed = await Connections(source.db, credentials, actor="tests").change(
        await source.state(), since=since, test=False
    )
    source.connection = changed.connection
    return changed


def made_at(raw: dict[str, Any]) -> datetime:
    at = raw.get("created") or datetime.fromisoformat(raw["createdAt"]).timestamp()
    return datetime.fromtimestamp(at, UTC)


def halfway(source: Source) -> tuple[str, set[str], set[str]]:
    """A day that divides the customers at the source, and the ids of the older and the younger ones."""
    times = {one: made_at(raw) for one, raw in source.expected().items()}
    day = sorted(times.values())[len(times) // 2].date() + timedelta(days=1)
    older = {one for one, at in times.items() if at.date() < day}
    assert older
    assert len(older) < len(times)
    return day.isoformat(), older, times.keys() - older


async def test_what_is_older_is_not_stored(source: Source) -> None:
    day, older, younger = halfway(source)
    changed = await begin(source, customers=day)
    says = "can't be asked for customers by the day"
    assert (says in " ".join(changed.notices)) == (source.connector == "hubspot")
    result = await source.sync()
    assert result.read == result.inserted + result.updated + result.unchanged + result.rejected
    assert (await source.stored()).keys() == younger
    # An older one that changes is not stored either.
    source.rename(min(older), "Renamed")
    await source.sync()
    assert (await source.stored()).keys() == younger
    # An earlier start reads all that is missing.
    changed = await begin(source)
    assert "reads customers anew" in " ".join(changed.notices)
    assert (await source.sync()).mode == "full"
    await source.assert_agrees()


async def test_a_later_start_buries_nothing_and_follows_what_is_stored(stripe: Source) -> None:
    await stripe.sync()
    day, older, younger = halfway(stripe)
    await begin(stripe, customers=day)
    result = await stripe.sync(full=True)
    assert (result.deleted, await stripe.tombstones()) == (0, set())
    assert result.read == len(younger), "the source is asked for what is younger alone"
    one, gone = sorted(older)[:2]
    events = caused(stripe, lambda: stripe.rename(one, "Renamed"))
    stripe.change("delete_customer", gone)
    await deliver(stripe, events)
    assert await drained(stripe) is not None
    assert (await stripe.stored())[one]["name"] == "Renamed"
    await stripe.sync()
    assert await stripe.tombstones() == {gone}


async def test_a_customer_that_an_invoice_names_is_stored_however_old(stripe: Source) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    await begin(stripe, customers=tomorrow)
    await stripe.sync("customers")
    assert await stripe.stored() == {}
    await stripe.sync("invoices")
    named = {raw["customer"] for raw in stripe.expected("invoices").values()}
    assert (await stripe.stored()).keys() >= named & stripe.expected().keys()


@pytest.mark.parametrize(
    ("since", "says"),
    [({"customers": "soon"}, "'soon' is not a day"), ({"clients": "2025-01-01"}, "'clients'")],
)
async def test_what_is_no_start_is_refused(stripe: Source, since: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        await begin(stripe, **since)


async def test_a_pull_by_a_later_start_than_the_present_one_stores_nothing_more(stripe: Source) -> None:
    await begin(stripe, customers="2025-06-01")
    adapter = await stripe.factory.create(
        stripe.connection.workspace_id, stripe.connection.id, purpose="test"
    )
    mapping = Mapping(adapter, "customers", since=adapter.connection.since["customers"])
    page = Page([RawRecord("cus_1", b'{"id": "cus_1", "created": 1}')], datetime.now(UTC), None)
    async with Mapper() as mapper:

        async def store() -> int:
            key = stripe.key("customers")
            return (await store_pages(stripe.db, key, mapping, mapper, [page], datetime.now(UTC))).inserted

        assert await store() == 0
        await begin(stripe, customers="2025-07-01")
        assert await store() == 0
        # Its cursor would take back that the stream is to be read anew.
        for start in ({"customers": "2025-01-01"}, {}):
            await begin(stripe, **start)
            with pytest.raises(StartChangedError):
                await store()
