"""Whose data are kept, said to Atlassian once a cycle, and what its answer asks for."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio

from adapters.jira.adapter import JiraAdapter
from tests.conftest import connectors, migrated_database
from tests.streams import key_of
from tests.unified.sync.oauth import Case
from tests.unified.sync.source import until
from tests.unified.sync.test_kill import victim
from unified.kit.declarations import CredentialKind
from unified.kit.secrets import Secret
from unified.sandbox.faults import Fault
from unified.sandbox.jira import JiraSandbox
from unified.sandbox.server import Server
from unified.store.connections.registry import Registry
from unified.store.connectors.catalogue import ConnectorEntry
from unified.store.doctor.examine import examine
from unified.store.migrate import migrate
from unified.store.privacy import deletion
from unified.store.records import reports
from unified.store.secrets.keys import generate_key
from unified.store.workspaces import workspaces
from unified.sync.connection import lease, sync_stream
from unified.sync.errors import ConnectionBusyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from unified.store.database import Database
    from unified.store.records.reports import Cycle

EMAIL = JiraSandbox.default_keys[0]
WEEK = timedelta(days=7)
PATH = "/app/report-accounts/"


@dataclass
class Site(Case):
    """A connection to a site, and who is stored of it."""

    @property
    def jira(self) -> JiraSandbox:
        return cast("JiraSandbox", self.sandbox)

    @property
    def url(self) -> str:
        return str(self.connection.settings["base_url"]).removesuffix("/jira")

    async def sync(self, stream: str = "customers") -> None:
        result = await sync_stream(self.db, self.factory, self.connection, stream)
        assert result.is_complete

    def requests_to(self, ending: str) -> int:
        return sum(count for path, count in self.jira.stats.requests.items() if path.endswith(ending))

    async def cycle(self) -> Cycle:
        async with self.db.workspace(self.connection.workspace_id) as conn:
            found = await reports.load(conn, key_of(self.connection, "customers"))
        assert found is not None
        return found

    def next_cycle(self) -> None:
        """A week passes."""
        self.execute(
            "UPDATE cursors SET report = report || jsonb_build_object('due_at', now()) WHERE connector_config_id = %s",
            self.connection.id,
        )
        self.jira.reported.clear()

    async def unreported(self) -> set[str]:
        """Streams of which `unified doctor` says that the provider was not told."""
        said = [re.search(r"was not told .* \((\w+)\)", one.message) for one in await examine(self.db.url)]
        return {found[1] for found in said if found}

    async def until_free(self) -> None:
        """The server notices that its client is gone; then the lease is free."""
        while True:
            try:
                async with lease(self.db, self.connection, "customers"):
                    return
            except ConnectionBusyError:
                await asyncio.sleep(0.02)

    def people(self, kind: str = "customer") -> list[str]:
        account = self.jira.account(EMAIL)
        return sorted(
            row.id for row in account.rows["people"].live()
            if row.fields["accountType"] == kind and row.fields["active"]
        )  # fmt: skip

    def stored(self, source_id: str) -> tuple[Any, ...]:
        (row,) = self.execute(
            "SELECT name, email, raw_data IS NULL, deleted_at IS NULL FROM unified_customers"
            " WHERE connection_id = %s AND source_id = %s", self.connection.id, source_id,
        )  # fmt: skip
        return cast("tuple[Any, ...]", row)

    async def suppressed(self) -> set[str]:
        async with self.db.workspace(self.connection.workspace_id) as conn:
            return {one.source_id for one in await deletion.suppressed(conn)}


@pytest.fixture(scope="module")
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A database that knows the connector."""
    with migrated_database(server_url, template) as url:
        migrate(url, [*connectors(), ConnectorEntry.of(JiraAdapter)])
        yield url


async def connected(db: Database, sandbox: JiraSandbox, url: str, workspace: str = "acme") -> Site:
    made = await workspaces.create(db, workspace)
    settings = {
        "base_url": f"{url}/jira", "allow_private_hosts": True, "retry_delay": 0, "retry_count": 1,
        "requests_per_second": 1000,
    }  # fmt: skip
    connection = await Registry(db).add_connection(
        made.id, "jira", "support", settings, streams=["customers", "staff"]
    )
    return Site(db, connection, cast("Any", sandbox), generate_key())


@pytest_asyncio.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    """Authorized by OAuth, with people for two requests and a half."""
    sandbox = JiraSandbox(people=330, issues=0, histories=0, comments=0, organizations=1)
    with Server(sandbox) as server:
        found = await connected(database, sandbox, server.url)
        await found.authorize()
        found.connection = await found.state()
        yield found


async def test_each_person_is_named_once_a_cycle(site: Site) -> None:
    await site.sync()
    customers = site.people()
    assert len(customers) > 2 * 90
    assert site.jira.reported == customers
    assert site.requests_to(PATH) == 3
    assert site.jira.stats.statuses[204] == 3
    cycle = await site.cycle()
    assert (cycle.after, cycle.error, cycle.due_at) == (None, None, cycle.began_at + WEEK)

    await site.sync()
    assert site.jira.reported == customers, "not before a week is over"
    site.next_cycle()
    await site.sync()
    assert site.jira.reported == customers
    await site.sync("staff")
    assert site.jira.reported == customers + site.people("atlassian")


async def test_who_closed_their_account_is_erased(site: Site) -> None:
    await site.sync()
    one, kept = site.people()[:2]
    site.jira.mutate("delete", EMAIL, "people", one)
    await site.sync()
    assert site.stored(one)[0], "a tombstone keeps what was known"

    site.next_cycle()
    await site.sync()
    assert site.stored(one) == (None, None, True, False)
    assert site.stored(kept)[0]
    assert await site.suppressed() == {one}

    site.next_cycle()
    await site.sync()
    assert one not in site.jira.reported, "nothing is kept of them"


async def test_whose_data_changed_is_read_anew(site: Site) -> None:
    await site.sync()
    one = site.people()[0]
    # Later than what the next sync reads, so that the report alone brings it.
    site.jira.clock.advance(days=1)
    site.jira.mutate("update", EMAIL, "people", one, displayName="Grace")
    site.next_cycle()
    site.jira.stats.reset()
    await site.sync()
    assert site.requests_to("/user") == 1
    assert site.stored(one)[0] == "Grace"
    assert await site.suppressed() == set()


async def test_someone_who_cannot_be_read_anew_stops_nobody_else(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.sync()
    one, *_, last = site.people()
    lists = site.requests_to("/users/search")
    site.jira.clock.advance(days=1)
    site.jira.mutate("update", EMAIL, "people", one, displayName="Grace")
    site.jira.mutate("delete", EMAIL, "people", last)
    site.next_cycle()
    path = f"/ex/jira/{site.connection.settings['cloud_id']}/rest/api/3/user"
    site.jira.faults.add(Fault("status", path, status=403, skip=lists))
    await site.sync()
    assert "can't be read anew" in caplog.text
    assert (await site.suppressed(), (await site.cycle()).after) == ({last}, None)


async def test_the_provider_says_how_long_a_cycle_is(site: Site) -> None:
    site.jira.cycle_period = "14"
    await site.sync()
    cycle = await site.cycle()
    assert cycle.due_at - cycle.began_at == timedelta(days=14)


async def test_what_fails_stops_no_sync_and_is_said(site: Site) -> None:
    site.jira.faults.add(Fault("status", PATH, status=429, retry_after="10800", skip=1))
    await site.sync()
    assert len(site.jira.reported) == 90
    cycle = await site.cycle()
    assert cycle.error is not None
    assert cycle.due_at - datetime.now(UTC) > timedelta(hours=2)
    said = [one.message for one in await examine(site.db.url) if one.about == "acme/support"]
    assert any(
        "was not told whose data are kept (customers): jira connection acme/support" in one for one in said
    )

    await site.sync()
    assert len(site.jira.reported) == 90, "Jira asked to be left alone"
    first = list(site.jira.reported)
    site.next_cycle()
    await site.sync()
    assert first + site.jira.reported == site.people(), "it goes on where it was"
    assert (await site.cycle()).error is None


async def test_an_app_that_may_not_report_is_told_what_to_do(site: Site) -> None:
    site.jira.oauth.grants[-1].scopes = ["read:jira-work", "read:jira-user"]
    await site.sync()
    error = (await site.cycle()).error
    assert error is not None
    assert "switch on the Personal data reporting API" in error
    assert "authorize the connection again" in error


async def test_a_clock_that_is_set_back_holds_no_report(site: Site) -> None:
    await site.sync()
    site.execute(
        "UPDATE cursors SET report = report || jsonb_build_object('due_at', now() + interval '1 year')"
        " WHERE connector_config_id = %s",
        site.connection.id,
    )
    await site.sync()
    assert site.jira.reported == site.people() * 2


async def test_a_cycle_begins_with_the_first_one_who_is_named(site: Site) -> None:
    """However long nobody could be: otherwise all would be named twice within minutes."""
    site.jira.faults.add(Fault("status", PATH, status=403))
    await site.sync()
    site.execute(
        "UPDATE cursors SET report = report"
        " || jsonb_build_object('began_at', now() - interval '9 days', 'due_at', now())"
        " WHERE connector_config_id = %s",
        site.connection.id,
    )
    for _ in range(2):
        await site.sync()
    assert site.jira.reported == site.people()


async def test_what_is_not_reported_any_more_is_not_said_to_fail(site: Site) -> None:
    """A stream that is left out; a connection that is no app's by now."""
    site.jira.faults.add(Fault("status", PATH, status=403, times=None))
    for stream in ("customers", "staff"):
        await site.sync(stream)
    assert await site.unreported() == {"customers", "staff"}
    site.execute("UPDATE connector_configs SET streams = '{customers}' WHERE id = %s", site.connection.id)
    assert await site.unreported() == {"customers"}

    await site.credentials.put(
        site.ref.workspace_id, site.ref.id, CredentialKind.BASIC_AUTH,
        {"email": Secret(EMAIL), "api_token": Secret(JiraSandbox.token(EMAIL))},
        replace=True,
    )  # fmt: skip
    await site.sync()
    assert await site.unreported() == set()


async def test_killed_between_two_requests(site: Site) -> None:
    await site.sync()
    gone = site.people()[0]
    site.jira.mutate("delete", EMAIL, "people", gone)
    site.next_cycle()
    site.jira.stats.reset()
    site.jira.faults.add(Fault("slow", PATH, skip=1, seconds=3600))
    with victim(site) as process:
        await until(lambda: site.requests_to(PATH) == 2, lambda: process.poll() is not None)
    site.jira.faults.clear()
    first = site.jira.reported[:90]
    assert (await site.cycle()).after == first[-1]

    site.jira.reported.clear()
    await site.until_free()
    await site.sync()
    assert sorted({*first, *site.jira.reported}) == sorted([gone, *site.people()])
    assert not set(first) & set(site.jira.reported), "each of them once"
    assert site.stored(gone)[0] is None


async def test_an_api_token_has_nothing_to_report(site: Site) -> None:
    other = await connected(site.db, site.jira, site.url, "globex")
    await other.credentials.put(
        other.ref.workspace_id, other.ref.id, CredentialKind.BASIC_AUTH,
        {"email": Secret(EMAIL), "api_token": Secret(JiraSandbox.token(EMAIL))},
    )  # fmt: skip
    await other.sync()
    assert other.stored(site.people()[0])[0]
    assert site.jira.reported == []


async def test_a_workspace_erases_its_own_alone(site: Site) -> None:
    other = await connected(site.db, site.jira, site.url, "globex")
    await other.authorize()
    other.connection = await other.state()
    for each in (site, other):
        await each.sync()
    assert site.jira.reported == site.people() * 2, "each names whom it keeps"
    one = site.people()[0]
    site.jira.mutate("delete", EMAIL, "people", one)
    site.next_cycle()
    await site.sync()
    assert (await site.suppressed(), await other.suppressed()) == ({one}, set())
    assert other.stored(one)[0]
