"""What changes reaches a subscriber, signed, at least once and never in an older state later."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from tests.unified.sync.source import Source, until
from tests.unified.sync.subscriptions.receiver import Receiver, Subscribe
from tests.waiting import LIMIT_SECONDS
from unified.kit.secrets import Secret
from unified.store.connections.rows import ConnectionNotFoundError
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.store.subscriptions import progress
from unified.store.subscriptions.due import due, has_changes
from unified.store.subscriptions.rows import Subscription, SubscriptionNotFoundError, read
from unified.store.subscriptions.signing import MOST_FORMER
from unified.store.subscriptions.subscriptions import Subscriptions
from unified.store.workspaces import workspaces
from unified.sync import privacy
from unified.sync.subscriptions import deliver as delivering
from unified.sync.subscriptions.deliver import deliver
from unified.sync.subscriptions.sending import PARALLEL


def status(code: int, **headers: str) -> Callable[[dict[str, Any]], web.Response]:
    return lambda _: web.Response(status=code, headers=headers)


def refusing(source_id: str, code: int) -> Callable[[dict[str, Any]], web.Response]:
    """Takes all but one record."""
    return lambda event: web.Response(status=code if event["data"]["source_id"] == source_id else 204)


async def test_what_changes_is_delivered_once_in_its_present_state(
    subscribe: Subscribe, receiver: Receiver
) -> None:
    from svix.webhooks import Webhook  # noqa: PLC0415 - it takes a second

    order = await subscribe()
    receiver.other_library = Webhook
    await order.source.sync_all()
    assert await order.deliver() is not None
    assert sorted(receiver.source_ids()) == await order.stored()
    assert {event["type"] for event in receiver.taken if not event["data"]["deleted_at"]} == {
        "customer.changed"
    }
    assert await order.deliver() is None

    receiver.taken.clear()
    (first,) = await order.rename("Grace", 0)
    await order.rename("Grace Hopper", 0)
    gone = list(order.source.expected())[1]
    order.source.change("delete_customer", gone)
    await order.source.sync_all()
    await order.deliver()
    states = {event["data"]["source_id"]: (event["type"], event["data"]["name"]) for event in receiver.taken}
    assert states[first] == ("customer.changed", "Grace Hopper")
    assert states[gone][0] == "customer.deleted"
    assert len(receiver.taken) == len(states) == 2
    assert (await order.now()).delivered == len(await order.stored()) + 2


async def test_what_was_stored_before_comes_only_if_it_is_asked_for(
    stripe: Source, subscribe: Subscribe, receiver: Receiver
) -> None:
    await stripe.sync_all()
    order = await subscribe()
    assert await order.deliver() is None
    async with stripe.db.workspace(order.workspace) as conn:
        await conn.execute("DELETE FROM webhook_subscriptions")
    order = await subscribe(from_the_start=True)
    await order.deliver()
    assert sorted(receiver.source_ids()) == await order.stored()


async def test_only_what_passes_the_filters_is_delivered(subscribe: Subscribe, receiver: Receiver) -> None:
    order = await subscribe(filters={"name": ["Grace"], "connection": ["main"]})
    await order.source.sync_all()
    renamed = await order.rename("Grace", 0, 2)
    await order.deliver()
    assert sorted(receiver.source_ids()) == sorted(renamed)


@pytest.mark.parametrize(
    ("which", "filters", "event"),
    [
        ("customers", {"email": ["gone@person.example"]}, "customer.deleted"),
        ("customers", {"name": ["Gone"], "currency": ["eur"], "connection": ["main"]}, "customer.deleted"),
        ("customers", {"email": ["other@person.example"], "source_id": ["cus_other"]}, None),
        ("customers", {"email": ["gone@person.example"], "source_id": ["cus_other"]}, None),
        ("invoices", {"memo": ["Gone"]}, "invoice.changed"),
    ],
)
async def test_a_person_s_deletion_is_delivered_whatever_is_asked_of_what_went(
    stripe: Source,
    subscribe: Subscribe,
    receiver: Receiver,
    which: str,
    filters: dict[str, list[str]],
    event: str | None,
) -> None:
    await stripe.sync_all()
    workspace = stripe.connection.workspace_id
    async with stripe.db.workspace(workspace) as conn:
        rows = await conn.execute(
            "SELECT c.unified_id, c.source_id, i.source_id FROM unified_customers AS c JOIN unified_invoices AS i"
            " ON i.customer_id = c.source_id WHERE c.deleted_at IS NULL ORDER BY i.source_id LIMIT 1"
        )
        found = await rows.fetchone()
        assert found is not None
        person, *ids = found
        await conn.execute(
            "UPDATE unified_customers SET email = 'gone@person.example', name = 'Gone', currency = 'eur'"
            " WHERE unified_id = %s",
            (person,),
        )
        await conn.execute("UPDATE unified_invoices SET memo = 'Gone' WHERE source_id = %s", (ids[1],))
    order = await subscribe(which, filters=filters, from_the_start=True)
    await order.deliver()
    sent = [ids[which == "invoices"]] if "source_id" not in filters else []
    assert receiver.source_ids() == sent
    receiver.taken.clear()

    await privacy.delete(stripe.db, workspace, ids=[person], actor="test")
    await order.deliver()
    told = {one["data"]["source_id"]: one for one in receiver.taken}
    assert set(sent) <= set(told)
    assert {one["type"] for one in receiver.taken} == ({event} if event else set())
    for one in receiver.taken:
        assert "gone" not in json.dumps(one["data"]).lower()


@pytest.mark.parametrize("code", [500, 503, 401, 404, 302])
async def test_a_receiver_that_takes_nothing_is_asked_less_and_misses_nothing(
    subscribe: Subscribe, receiver: Receiver, code: int
) -> None:
    order = await subscribe()
    await order.source.sync_all()
    calls = Counter[str]()

    def refuse(event: dict[str, Any]) -> web.Response:
        calls["calls"] += 1
        return web.Response(status=code, headers={"location": receiver.url})

    receiver.answers = refuse
    first = await order.deliver()
    assert first is not None
    assert str(code) in (first.error or "")
    assert await order.deliver() is None  # it waits
    calls.clear()
    await order.hurry()
    await order.deliver()
    assert calls["calls"] == 1  # one asks for all
    assert (await order.now()).failures == 2
    receiver.answers = status(204)
    await order.hurry()
    await order.deliver()
    assert sorted(receiver.source_ids()) == await order.stored()
    assert await order.undelivered() == []


async def test_a_receiver_that_refuses_during_a_look_is_not_asked_at_once_again(
    subscribe: Subscribe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await subscribe()
    await order.source.sync_all()
    calls = Counter[str]()
    called, looked = asyncio.Event(), asyncio.Event()

    async def refuse(_: web.Request) -> web.Response:
        calls["calls"] += 1
        called.set()
        await looked.wait()
        return web.Response(status=503)

    async def look(db: Database, now: datetime) -> list[tuple[UUID, UUID]]:
        found = await due(db, now)
        if called.is_set():
            looked.set()
            while not (await order.now()).failures:  # noqa: ASYNC110 - the database's state
                await asyncio.sleep(0.02)
            for _ in range(10):  # following it ends without a query more
                await order.now()
        return found

    receiver.handler = refuse
    monkeypatch.setattr(delivering, "due", look)
    monkeypatch.setattr(delivering, "POLL_SECONDS", 0.0)
    await order.deliver()
    assert (await order.now()).failures == 1
    assert calls["calls"] <= PARALLEL


async def test_a_receiver_says_how_long_to_wait(subscribe: Subscribe, receiver: Receiver) -> None:
    order = await subscribe()
    await order.source.sync_all()
    receiver.answers = status(429, **{"retry-after": "600"})
    await order.deliver()
    until = (await order.now()).retry_at
    assert until is not None
    assert 500 < (until - datetime.now(UTC)).total_seconds() < 601


async def test_a_redirect_is_followed_nowhere(subscribe: Subscribe, receiver: Receiver) -> None:
    order = await subscribe()
    await order.source.sync_all()
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(status=307, headers={"location": receiver.url.replace("team=1", "inner=1")})

    receiver.handler = elsewhere
    result = await order.deliver()
    assert result is not None
    assert "redirects are not followed" in (result.error or "")
    assert set(asked) == {"/hooks?team=1"}
    assert (await order.now()).state == "waits"


async def test_one_record_that_is_refused_costs_no_other(subscribe: Subscribe, receiver: Receiver) -> None:
    order = await subscribe()
    await order.source.sync_all()
    odd = next(iter(order.source.expected()))
    for code in (422, 500):  # what fails while others are taken is about the record
        receiver.answers = refusing(odd, code)
        await order.hurry()
        await order.deliver()
        (kept,) = await order.undelivered()
        assert (str(code) in kept.error, kept.attempts) == (True, 1 if code == 422 else 2)
        await order.rename(f"Name {code}", 1)  # another one, which is taken
    assert odd not in receiver.source_ids()

    receiver.answers = status(204)
    await order.rename("Changed meanwhile", 0)
    await order.deliver()  # its change comes as any other, and with it what was owed
    assert await order.undelivered() == []
    (last,) = [one for one in receiver.taken if one["data"]["source_id"] == odd]
    assert last["data"]["name"] == "Changed meanwhile"


async def test_a_record_is_given_up_in_the_end_and_replayed_on_request(
    subscribe: Subscribe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "_MOST_ATTEMPTS", 2)
    order = await subscribe()
    await order.source.sync_all()
    odd = next(iter(order.source.expected()))
    receiver.answers = refusing(odd, 422)
    await order.deliver()
    await order.hurry()
    await order.deliver()
    (given_up,) = await order.undelivered()
    assert given_up.retry_at is None
    receiver.answers = status(204)
    assert await order.deliver() is None
    async with order.source.db.workspace(order.workspace) as conn:
        assert await progress.replay(conn, await order.now()) == 1
    await order.deliver()
    assert receiver.source_ids().count(odd) == 1
    assert await order.undelivered() == []
    assert (await order.now()).delivered == len(receiver.taken)


async def test_gone_ends_a_subscription_until_it_is_resumed(subscribe: Subscribe, receiver: Receiver) -> None:
    order = await subscribe()
    await order.source.sync_all()
    receiver.answers = status(410)
    await order.deliver()
    ended = await order.now()
    assert not ended.is_active
    assert "410" in (ended.error or "")
    receiver.answers = status(204)
    await order.hurry()
    assert await order.deliver() is None
    await Subscriptions(order.source.db, order.credentials).set_active(ended, is_active=True)
    await order.deliver()
    assert sorted(receiver.source_ids()) == await order.stored()


async def test_one_that_is_changed_while_it_is_followed_goes_on_at_the_new_url(
    subscribe: Subscribe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unified.sync.subscriptions.deliver.PARALLEL", 1)
    monkeypatch.setattr(delivering, "BATCH", 2)
    order = await subscribe()
    await order.source.sync_all()
    own = Subscriptions(order.source.db, order.credentials)
    changing: list[asyncio.Task[Subscription]] = []
    taken_before = list[str]()

    async def handle(request: web.Request) -> web.Response:
        """At the new URL, all; at the old one, the first record, and by then there is the new one."""
        if request.query["team"] == "1":
            event = json.loads(await request.read())
            taken_before.append(event["data"]["source_id"])
            if not changing:
                url = receiver.url.replace("team=1", "team=2")
                changing.append(asyncio.create_task(own.change(await order.now(), url=url)))
            await changing[0]
            return web.Response(status=204)
        return await Receiver.handle(receiver, request)

    receiver.handler = handle
    result = await order.deliver()
    assert result is not None
    assert len(taken_before) <= 2  # what was read already
    assert sorted([*taken_before, *receiver.source_ids()]) == await order.stored()


async def test_what_can_not_be_asked_any_more_waits_and_holds_up_no_other(
    subscribe: Subscribe, receiver: Receiver
) -> None:
    order = await subscribe()
    await order.source.sync_all()
    own = Subscriptions(order.source.db, order.credentials)
    with pytest.raises(ConnectionNotFoundError):
        await own.add(
            order.workspace, "odd", "events", "https://hooks.example.com", filters={"connection": ["gone"]}
        )
    odd, _ = await own.add(order.workspace, "odd", "events", "https://hooks.example.com")
    async with order.source.db.workspace(order.workspace) as conn:  # as if its connection were removed
        await conn.execute(
            """UPDATE webhook_subscriptions SET filters = '{"connection": ["gone"]}' WHERE id = %s""",
            (odd.id,),
        )
    assert await has_changes(order.source.db, order.workspace, odd.id, datetime.now(UTC))
    results = {one.name: one for one in await deliver(order.source.db, order.credentials)}
    assert "there is no connection" in (results["odd"].error or "")
    assert results["crm"].error is None
    assert sorted(receiver.source_ids()) == await order.stored()
    assert await order.deliver() is None  # it waits as any other


async def test_what_one_run_delivered_is_added_up(subscribe: Subscribe, receiver: Receiver) -> None:
    order = await subscribe()
    await order.source.sync_all()

    stored = await order.stored()
    delivering_all = asyncio.create_task(deliver(order.source.db, order.credentials, linger=5))
    await until(lambda: len(receiver.taken) == len(stored), delivering_all.done)
    await order.rename("Later", 0)
    (result,) = await delivering_all
    assert result.taken == len(stored) + 1


async def test_it_rests_between_looks_where_nothing_changes(
    subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def looked(db: Database, now: datetime) -> list[tuple[UUID, UUID]]:
        nonlocal looks
        looks += 1
        return await due(db, now)

    monkeypatch.setattr(delivering, "due", looked)
    monkeypatch.setattr(delivering, "POLL_SECONDS", LIMIT_SECONDS)
    order = await subscribe()
    lingering = asyncio.create_task(deliver(order.source.db, order.credentials, linger=LIMIT_SECONDS))
    await until(lambda: looks > 0, lingering.done)
    for _ in range(50):  # following a subscription that has nothing takes fewer queries than these
        await order.now()
    assert looks == 1
    lingering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lingering


async def test_a_receiver_that_says_nothing_holds_up_no_other_for_ever(
    subscribe: Subscribe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unified.sync.subscriptions.sending._TIMEOUT", 0.2)
    order = await subscribe()
    await order.source.sync_all()
    hang = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await hang.wait()
        return web.Response(status=204)

    monkeypatch.setattr(receiver, "handle", wait)
    app = web.Application()
    app.router.add_post("/hooks", wait)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with order.source.db.workspace(order.workspace) as conn:
        await conn.execute(
            "UPDATE webhook_subscriptions SET url = %s", (f"http://127.0.0.1:{runner.addresses[0][1]}/hooks",)
        )
    result = await order.deliver()
    assert result is not None
    assert "timed out" in (result.error or "")
    hang.set()
    await runner.cleanup()


@pytest.mark.parametrize("keep", [timedelta(days=1), timedelta()])
async def test_a_rotated_secret_signs_and_the_former_one_until_its_end(
    subscribe: Subscribe, receiver: Receiver, keep: timedelta
) -> None:
    order = await subscribe()
    await order.source.sync_all()
    await order.deliver()
    own, former = Subscriptions(order.source.db, order.credentials), receiver.secret
    rotated = await own.rotate(await order.now(), keep_former=keep)
    assert rotated.secret.reveal() != former

    receiver.taken.clear()  # it has the former one yet
    first = await order.rename("Grace", 0)
    await order.deliver()
    assert receiver.source_ids() == (first if keep else [])
    receiver.secret = rotated.secret.reveal()
    second = await order.rename("Ada", 1)
    await order.hurry()
    await order.deliver()
    assert receiver.source_ids() == [*first, *second]
    assert rotated.at(datetime.now(UTC) + keep) == [rotated.secret]
    assert (await own.signing(await order.now())).secret == rotated.secret


async def test_a_secret_that_is_rotated_twice_in_a_day_signs_as_long_as_it_would_have(
    subscribe: Subscribe, receiver: Receiver
) -> None:
    """A receiver may be two secrets behind: each delivery is signed by all that have not ended."""
    order = await subscribe()
    await order.source.sync_all()
    await order.deliver()
    own = Subscriptions(order.source.db, order.credentials)
    day = timedelta(days=1)
    made = [
        await own.rotate(await order.now(), keep_former=keep) for keep in (day, timedelta(hours=1), 2 * day)
    ]
    assert [made[2].secret, made[1].secret, made[0].secret] == made[2].at(datetime.now(UTC))[:3]

    receiver.taken.clear()  # it has the very first one yet
    first = await order.rename("Grace", 0)
    await order.deliver()
    assert receiver.source_ids() == first

    kept = await own.signing(await order.now())
    assert len(kept.at(datetime.now(UTC))) == 4
    assert kept.at(datetime.now(UTC) + timedelta(hours=2)) == [
        made[2].secret,
        made[1].secret,
        Secret(receiver.secret),
    ]
    assert kept.at(datetime.now(UTC) + 3 * day) == [made[2].secret]
    for _ in range(MOST_FORMER - 3):
        await own.rotate(await order.now())
    with pytest.raises(
        InvalidSettingError, match=r"10 former secrets sign its deliveries already; rotate it after .* UTC"
    ):
        await own.rotate(await order.now())
    leaked = await own.rotate(await order.now(), keep_former=timedelta())
    assert (leaked.former, await own.signing(await order.now())) == ((), leaked)


async def test_a_secret_that_is_rotated_while_it_is_followed_signs_from_then_on(
    subscribe: Subscribe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "PARALLEL", 1)
    order = await subscribe()
    await order.source.sync_all()
    own = Subscriptions(order.source.db, order.credentials)

    async def rotate(request: web.Request) -> web.Response:
        answer = await receiver.handle(request)
        if len(receiver.taken) == 1:
            rotated = await own.rotate(await order.now(), keep_former=timedelta())
            receiver.secret = rotated.secret.reveal()
        return answer

    receiver.handler = rotate
    await order.deliver()
    assert sorted(receiver.source_ids()) == await order.stored()


async def test_a_filter_that_nothing_passes_does_not_hold_its_place(
    subscribe: Subscribe, receiver: Receiver
) -> None:
    order = await subscribe(filters={"name": ["Nobody"]})
    before = await order.now()
    await order.source.sync_all()
    db, ids = order.source.db, (order.workspace, order.id)
    now = (await db.clock())()
    assert not await has_changes(db, *ids, now, or_is_behind=True)
    assert await has_changes(db, *ids, now + timedelta(hours=2), or_is_behind=True)
    assert not await has_changes(db, *ids, now + timedelta(hours=2))
    assert await order.deliver() is None
    moved = await order.now()
    assert int(moved.xid) > int(before.xid)
    assert not await has_changes(db, *ids, now + timedelta(hours=2), or_is_behind=True)
    await order.deliver()
    assert (await order.now()).xid == moved.xid  # nothing changed since

    renamed = await order.rename("Nobody", 0)
    await order.deliver()
    assert receiver.source_ids() == renamed


async def test_the_same_state_has_the_same_id_whenever_it_is_sent(
    subscribe: Subscribe, receiver: Receiver
) -> None:
    order = await subscribe()
    await order.source.sync_all()
    place = await order.now()
    await order.deliver()
    before = sorted(receiver.ids)
    async with order.source.db.workspace(order.workspace) as conn:  # as after a kill before the commit
        await conn.execute(
            "UPDATE webhook_subscriptions SET xid = %s::text::xid8, row_id = %s", (place.xid, place.row_id)
        )
    receiver.ids.clear()
    await order.deliver()
    assert sorted(receiver.ids) == before
    assert len(set(before)) == len(before)


async def test_after_a_restore_into_another_cluster_changes_are_found_by_time(
    subscribe: Subscribe, receiver: Receiver
) -> None:
    order = await subscribe()
    await order.source.sync_all()
    await order.deliver()
    receiver.taken.clear()
    async with order.source.db.workspace(
        order.workspace
    ) as conn:  # positions of another server, far ahead of ours
        await conn.execute("UPDATE webhook_subscriptions SET server = server + 1, xid = '999999999999'::xid8")
    renamed = await order.rename("After the restore", 0)
    await order.deliver()
    assert set(renamed) <= set(receiver.source_ids())
    assert (await order.now()).server != 0


@pytest.mark.parametrize(
    ("which", "url", "filters", "reason"),
    [
        ("customers", "http://hooks.example.com/in", {}, "https"),
        ("customers", "https://user:fake@hooks.example.com", {}, "without a user"),
        ("customers", "ftp://hooks.example.com", {}, "https://host"),
        ("things", "https://hooks.example.com", {}, "there is customers"),
        ("customers", "https://hooks.example.com", {"colour": ["red"]}, "no filter 'colour'"),
        ("invoices", "https://hooks.example.com", {"total_min": ["much"]}, "total_min"),
    ],
)
async def test_what_can_not_work_is_refused_beforehand(
    stripe: Source, which: str, url: str, filters: Any, reason: str
) -> None:
    credentials = CredentialStore(stripe.db, LocalKeyProvider([stripe.master_key]))
    with pytest.raises(InvalidSettingError, match=reason):
        await Subscriptions(stripe.db, credentials).add(
            stripe.connection.workspace_id, "x", which, url, filters=filters
        )


async def test_a_private_address_is_not_reached_unless_that_is_allowed(
    stripe: Source, receiver: Receiver
) -> None:
    credentials = CredentialStore(stripe.db, LocalKeyProvider([stripe.master_key]))
    made, _ = await Subscriptions(stripe.db, credentials).add(
        stripe.connection.workspace_id, "inner", "customers", "https://localhost:1/hooks", from_the_start=True
    )
    await stripe.sync_all()
    (result,) = await deliver(stripe.db, credentials)
    assert result.name == made.name
    assert "127.0.0.1" in (result.error or "") or "private" in (result.error or "")
    assert receiver.taken == []


async def test_names_are_a_workspace_s_own(stripe: Source, receiver: Receiver) -> None:
    credentials = CredentialStore(stripe.db, LocalKeyProvider([stripe.master_key]))
    own = Subscriptions(stripe.db, credentials)
    other = await workspaces.create(stripe.db, f"other-{uuid4().hex[:8]}")
    mine, secret = await own.add(stripe.connection.workspace_id, "crm", "events", "https://hooks.example.com")
    with pytest.raises(DuplicateNameError):
        await own.add(stripe.connection.workspace_id, "crm", "events", "https://hooks.example.com")
    theirs, _ = await own.add(other.id, "crm", "events", "https://hooks.example.com")
    assert [one.id for one in await own.listed(other.id)] == [theirs.id]
    assert (await own.signing(mine)).at(datetime.now(UTC)) == [secret]
    assert isinstance(secret, Secret)
    async with stripe.db.workspace(other.id) as conn:
        with pytest.raises(SubscriptionNotFoundError):
            await read(conn, mine.id)
