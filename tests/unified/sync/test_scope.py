"""A cursor is good for one account, one mode and the settings that it was made with; what happens with others."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unified.sync.conftest import MakeSource
from tests.unified.sync.source import KEYS, Source
from unified.kit.errors import NotFoundError
from unified.kit.secrets import Secret
from unified.store.connections import accounts
from unified.store.errors import AccountChangedError
from unified.store.records.merge import batches
from unified.store.records.merge.contents import Batch
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.elsewhere.references import ALLOWED_VARIABLE, resolve
from unified.store.secrets.keys import LocalKeyProvider
from unified.sync.connections.changing import Connections
from unified.sync.errors import CredentialRefusedError, OtherHostError, PullError
from unified.sync.scope import known_account

LIVE = "sk_live_fake_of_the_same_shop"
OTHERS = {"stripe": LIVE, "hubspot": "pat-fake-of-another-portal"}
STREAMS = ("customers", "invoices")


def connections(source: Source) -> Connections:
    credentials = CredentialStore(source.db, LocalKeyProvider([source.master_key]))
    return Connections(source.db, credentials, actor="tests")


def secrets(source: Source, key: str) -> dict[str, Secret]:
    return {"api_key" if source.connector == "stripe" else "access_token": Secret(key)}


def held(source: Source, key: str, stream: str = "customers") -> set[str]:
    """Ids of what the account of a key holds."""
    account = source.sandbox.account(key)
    if source.connector == "stripe":
        return {one["id"] for one in getattr(account, f"all_{stream}")()}
    return {one["id"] for one in account.all({"customers": "contacts"}.get(stream, stream))}


async def live(source: Source, stream: str = "customers") -> set[str]:
    return set(await source.stored(stream))


@pytest.mark.parametrize("connector", ["stripe", "hubspot"])
async def test_a_key_of_another_account_has_everything_read_anew(
    source_of: MakeSource, connector: str
) -> None:
    other = OTHERS[connector]
    source = await source_of(connector, more=[other])
    await source.sync_all()
    changed = await connections(source).change(source.connection, secrets=secrets(source, other))
    assert "reads all of it" in " ".join(changed.notices)
    results = await source.sync_all()
    for stream in STREAMS:
        assert await live(source, stream) == held(source, other, stream)
        assert results[stream].mode == "full"
        assert (await source.history(stream))[0].mode == "full"
    if connector == "stripe":  # events of the former account are none of this one's
        modes = await source.query(
            "SELECT DISTINCT livemode, 1 FROM {leaf} WHERE deleted_at IS NULL", "events"
        )
        assert modes == [(True, 1)]
    # Afterwards changes are followed as ever.
    again = await source.sync_all()
    assert {result.mode for result in again.values()} == {"incremental"}
    assert sum(result.read + result.deleted for result in again.values()) == 0


@pytest.mark.parametrize("connector", ["stripe", "hubspot"])
async def test_there_and_back_again(source_of: MakeSource, connector: str) -> None:
    other = OTHERS[connector]
    source = await source_of(connector, more=[other])
    if connector == "hubspot":  # whose search says what it says as of a time before the burial
        await source.configure(search_lag=30)
    for key in (KEYS[connector], other, KEYS[connector]):
        await source.use_key(key)
        await source.sync_all()
        assert await live(source) == held(source, key)


async def test_another_key_of_the_same_account_reads_on(source_of: MakeSource) -> None:
    source = await source_of("stripe", more=["sk_test_fake_rolled"])
    source.sandbox.account("sk_test_fake_rolled").profile["id"] = source.data.profile["id"]
    await source.sync()
    changed = await connections(source).change(
        source.connection, secrets=secrets(source, "sk_test_fake_rolled")
    )
    assert not changed.notices
    assert (await source.sync()).mode == "incremental"


async def test_another_key_at_the_same_place_is_noticed_by_the_next_sync(
    source_of: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a secret is kept elsewhere, nothing here changes when it does."""
    source = await source_of("stripe", more=[LIVE])
    monkeypatch.setenv(ALLOWED_VARIABLE, "env:ACME_")
    monkeypatch.setenv("ACME_KEY", KEYS["stripe"])
    kept = await resolve("env:ACME_KEY", source.connection.workspace_id)
    await connections(source).change(source.connection, secrets={"api_key": kept})
    await source.sync()
    assert (await source.sync()).mode == "incremental"
    monkeypatch.setenv("ACME_KEY", LIVE)
    assert (await source.sync()).mode == "full"
    assert await live(source) == held(source, LIVE)
    monkeypatch.delenv("ACME_KEY")
    with pytest.raises(PullError, match="env:ACME_KEY: the environment has no ACME_KEY"):
        await source.sync()


async def test_live_mode_of_the_same_account_is_another_scope(source_of: MakeSource) -> None:
    source = await source_of("stripe", more=[LIVE])
    source.sandbox.account(LIVE).profile["id"] = source.data.profile["id"]
    await source.sync()
    await source.use_key(LIVE)
    assert (await source.sync()).mode == "full"
    assert await live(source) == held(source, LIVE)


async def test_keys_that_may_not_say_whose_they_are_count_as_two(source_of: MakeSource) -> None:
    source = await source_of("stripe", more=["rk_test_fake_other"])
    source.fault("status", "/v1/account", status=403, times=None)
    await source.sync()
    assert (await source.sync()).mode == "incremental"
    await source.use_key("rk_test_fake_other")
    assert (await source.sync()).mode == "full"
    assert await live(source) == held(source, "rk_test_fake_other")


async def test_a_server_without_accounts_is_read_until_one_has_answered(source_of: MakeSource) -> None:
    source = await source_of("stripe")
    source.fault("status", "/v1/account", status=404, times=None)
    assert (await source.sync()).mode == "full"
    assert (await source.sync()).mode == "incremental"
    source.sandbox.faults.clear()
    await source.use_key(source.secret)
    assert (await source.sync()).mode == "full"  # it has an account, so nothing shows that it is the same
    source.fault("status", "/v1/account", status=404, times=None)
    await source.use_key(source.secret)
    assert isinstance((await source.assert_fails()).__cause__, NotFoundError)
    assert await live(source) == held(source, source.secret)


async def test_what_is_still_read_of_a_former_account_is_not_stored(source_of: MakeSource) -> None:
    source = await source_of("stripe", more=[LIVE])
    await source.sync()
    former = await known_account(source.db, source.connection)
    await source.use_key(LIVE)
    await source.sync("invoices")
    late = Batch(observed_at=datetime.now(UTC), cursor={"since": 1}, epoch=former.epoch)
    with pytest.raises(AccountChangedError):
        await batches.commit(source.db, source.key("customers"), late)
    assert await live(source) == set()
    assert (await source.sync()).mode == "full"
    assert await live(source) == held(source, LIVE)


@pytest.mark.parametrize(
    "settings",
    [{"properties": ["tier"]}, {"properties": ["tier", "region"]}, {"properties": ["region", "tier"]}],
)
async def test_properties_asked_for_later_are_filled(source_of: MakeSource, settings: dict[str, Any]) -> None:
    source = await source_of("hubspot")
    for name in ("tier", "region"):
        source.change("define_property", "contacts", name)
    someone = sorted(held(source, source.secret))[3]
    source.change("update_contact", someone, tier="gold")
    await source.sync()
    changed = await connections(source).change(source.connection, settings=settings)
    assert "reads everything anew" in " ".join(changed.notices)
    source.connection = changed.connection
    result = await source.sync()
    assert (result.mode, (await source.stored())[someone]["properties"]["tier"]) == ("full", "gold")
    # The same said in another order is the same, and what does not say what is read changes nothing.
    order = {"properties": settings["properties"][::-1], "concurrency": 3}
    assert not (await connections(source).change(source.connection, settings=order)).notices
    assert (await source.sync()).mode == "incremental"


async def test_another_address_is_another_scope(stripe: Source) -> None:
    await stripe.sync()
    url = stripe.connection.settings["base_url"]
    await stripe.configure(base_url=f"{url}/")
    assert (await stripe.sync()).mode == "incremental"
    await stripe.configure(base_url=url.replace("127.0.0.1", "localhost"))
    assert (await stripe.sync()).mode == "full"


async def test_an_unfinished_refresh_of_other_settings_begins_anew(hubspot: Source) -> None:
    await hubspot.sync(time_limit=0)
    await hubspot.configure(properties=["jobtitle"])
    await hubspot.sync()
    for raw in (await hubspot.stored()).values():
        assert "jobtitle" in raw["properties"]


async def test_a_change_of_account_is_in_the_audit_log(source_of: MakeSource) -> None:
    source = await source_of("stripe", more=[LIVE])
    await source.sync()
    await source.use_key(LIVE)
    await source.sync()
    async with source.db.workspace(source.connection.workspace_id) as conn:
        rows = await conn.execute("SELECT detail FROM audit_log WHERE action = 'connection.account'")
        ((detail,),) = await rows.fetchall()
        known = await accounts.known(conn, source.connection.id)
    assert detail["from"].endswith("(test mode)")
    assert detail["to"] == str(known)


async def test_credentials_never_follow_a_connection_to_another_host(source_of: MakeSource) -> None:
    source = await source_of("stripe")
    work, url = connections(source), source.connection.settings["base_url"]
    elsewhere = {"base_url": url.replace("127.0.0.1", "localhost")}
    for test in (True, False):
        with pytest.raises(OtherHostError, match="anew"):
            await work.change(source.connection, settings=elsewhere, test=test)
    stored = await source.state()
    assert stored.settings == source.connection.settings
    # Given anew it may go there; a part of the same host needs nothing.
    changed = await work.change(source.connection, settings=elsewhere, secrets=secrets(source, source.secret))
    assert changed.connection.settings["base_url"] == elsewhere["base_url"]
    with pytest.raises(CredentialRefusedError):
        await work.change(changed.connection, settings={"base_url": f"{elsewhere['base_url']}/nowhere"})
    with pytest.raises(OtherHostError):
        await work.change(changed.connection, settings={"base_url": None})
