"""`/api/subscriptions`: URLs to which what changes is delivered, how they stand, and what they did not take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from unified.api.management.access.callers import Caller, Rule
from unified.api.management.answers import json_answer, no_content
from unified.api.management.destinations import check_receiver
from unified.api.management.endpoints.connections.syncs import RecordReader
from unified.api.management.endpoints.webhooks import Reader, Writer
from unified.api.management.paging import AskedPage, Page
from unified.api.management.route import router
from unified.api.management.services import Services, Use
from unified.store.lists.declared import LISTS, MOST_VALUES
from unified.store.subscriptions import progress
from unified.store.subscriptions.due import has_changes
from unified.store.subscriptions.progress import Undelivered, UndeliveredState
from unified.store.subscriptions.rows import State, Subscription
from unified.store.subscriptions.subscriptions import FORMER_SECRET_SIGNS, LONGEST_URL, Subscriptions
from unified.sync.subscriptions.sending import send_test

# A subscription shows records to whoever has its URL.
_READ_RECORDS = Rule("records:read", in_workspace=True)

Filters = Annotated[
    dict[
        Annotated[str, Field(max_length=100)],
        Annotated[list[Annotated[str, Field(max_length=500)]], Field(min_length=1, max_length=MOST_VALUES)],
    ],
    Field(
        max_length=50,
        description="Only records that pass: values by filter of the list, as its own path takes them.",
        examples=[{"status": ["open", "draft"]}],
    ),
]
Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_URL,
        description="Where changes are delivered, by https.",
        examples=["https://app.example.com/hooks"],
    ),
]
_PRIVATE = "Whether the URL may lead to a loopback or private address, which the installation has to open."

routes = router("/api/subscriptions", "Subscriptions")


class NewSubscription(BaseModel):
    """A subscription to make."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="It never changes.", examples=["crm"]
        ),
    ]
    list: Annotated[
        str,
        Field(
            max_length=40,
            description="The list that it follows; it never changes.",
            json_schema_extra={"enum": sorted(LISTS)},
        ),
    ]
    url: Url
    filters: Filters = Field(default_factory=dict)
    from_the_start: Annotated[bool, Field(description="Whether all that is stored is delivered first.")] = (
        False
    )
    allow_private_hosts: Annotated[bool, Field(description=_PRIVATE)] = False


class SubscriptionChange(BaseModel):
    """What to change of a subscription; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    filters: Filters | None = None
    allow_private_hosts: Annotated[bool | None, Field(description=_PRIVATE)] = None
    is_active: Annotated[
        bool | None,
        Field(
            description="`false` pauses; `true` goes on where it stood, also one that has ended, and at once one that "
            "waits for its receiver."
        ),
    ] = None


class SubscriptionReplay(BaseModel):
    """What to send again."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[
        list[UUID] | None,
        Field(
            min_length=1, max_length=1_000, description="Undelivered records, by `row_id`; null takes all."
        ),
    ] = None


class SubscriptionSecret(BaseModel):
    """How to give a subscription another secret."""

    model_config = ConfigDict(extra="forbid")

    keep_former_minutes: Annotated[
        int,
        Field(
            ge=0,
            le=10_080,
            description="How long deliveries carry a signature by the former secret too; 0 where it has leaked.",
        ),
    ] = FORMER_SECRET_SIGNS // timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionEntry:
    """A subscription, and how it stands. Its secret is shown once, when it is made."""

    id: UUID
    name: str
    list: Annotated[str, Field(description="The list that it follows.", examples=["customers"])]
    filters: Annotated[Mapping[str, Sequence[str]], Field(description="Only records that pass.")]
    url: Annotated[str, Field(description="Where changes are delivered.")]
    allow_private_hosts: bool
    state: Annotated[
        State,
        Field(
            description="`waits` while its receiver takes nothing, until `retry_at`; `ended` where that wants no more."
        ),
    ]
    moved_at: Annotated[datetime, Field(description="When its place in the list's changes moved last.")]
    has_changes: Annotated[
        bool | None, Field(description="Whether there is something to deliver now; null in a list.")
    ]
    delivered: Annotated[int, Field(description="Deliveries that were taken so far.")]
    undelivered: Annotated[
        Mapping[UndeliveredState, int],
        Field(
            description="Records that were not taken while others were: sent again by themselves, or given up."
        ),
    ]
    failures: Annotated[int, Field(description="How often in a row the receiver took nothing.")]
    retry_at: Annotated[datetime | None, Field(description="When it is tried again; null at once.")]
    error: Annotated[str | None, Field(description="Why it took nothing last.")]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSubscription(SubscriptionEntry):
    """A subscription that was just made."""

    secret: Annotated[
        str, Field(description="Signs its deliveries, by Standard Webhooks. It is not shown again.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeliveredRecord:
    """A record that the receiver did not take while it took others."""

    row_id: Annotated[UUID, Field(description="The record's unified id, or the identity's.")]
    key: Annotated[
        Mapping[str, str],
        Field(
            description="By which it is found in its list.",
            examples=[{"connection_id": "…", "source_id": "cus_1", "stream": "customers"}],
        ),
    ]
    state: UndeliveredState
    attempts: Annotated[int, Field(description="How often it was sent.")]
    retry_at: Annotated[datetime | None, Field(description="When it is sent again.")]
    error: Annotated[str, Field(description="Why it was not taken.")]
    failed_at: Annotated[datetime, Field(description="When that was last.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """The outcome of a replay."""

    waiting: Annotated[int, Field(description="How many are sent again now.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledSubscription:
    """The outcome of a rotation."""

    secret: Annotated[str, Field(description="Signs deliveries from now on. It is not shown again.")]
    former_until: Annotated[
        datetime | None, Field(description="When the former one signs no more; null where that is at once.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The outcome of a test message."""

    is_taken: bool
    error: Annotated[str | None, Field(description="Why it was not taken.")]


@routes.post("", status_code=201, response_model=MadeSubscription)
async def add_subscription(caller: Writer, services: Use, new: NewSubscription) -> Response:
    """Deliver what changes from now on to a URL. This takes the permission records:read as well."""
    made = await make_subscription(caller, services, new)
    return json_answer(made, 201, headers={"location": f"{routes.prefix}/{made.id}"})


async def make_subscription(caller: Caller, services: Services, new: NewSubscription) -> MadeSubscription:
    """Add a subscription; its secret is shown only now.

    Raises:
        Problem: 403 where the caller may not read records, 422 where the URL is private and not opened.
    """
    _READ_RECORDS.check(caller)
    if new.allow_private_hosts:
        check_receiver(new.url, services.settings.management.open_hosts)
    made, secret = await subscriptions_of(caller, services).add(
        caller.workspace_id,
        new.name,
        new.list,
        new.url,
        filters=new.filters,
        allow_private=new.allow_private_hosts,
        from_the_start=new.from_the_start,
    )
    (entry,) = await entries(caller, services, [made])
    return MadeSubscription(**entry, secret=secret.reveal())


@routes.get("", response_model=Page[SubscriptionEntry])
async def list_subscriptions(caller: Reader, services: Use, page: AskedPage) -> Response:
    """The workspace's subscriptions, by name."""
    found = await subscriptions_of(caller, services).listed(
        caller.workspace_id, after=page.after(str) or "", limit=page.fetch
    )
    return page.answer(await entries(caller, services, found), lambda entry: entry["name"])


@routes.get("/{subscription_id}", response_model=SubscriptionEntry)
async def get_subscription(caller: Reader, services: Use, subscription_id: UUID) -> Response:
    """A subscription and how it stands, without its secret."""
    return await _shown(caller, services, subscription_id)


@routes.patch("/{subscription_id}", response_model=SubscriptionEntry)
async def change_subscription(
    caller: Writer, services: Use, subscription_id: UUID, wanted: SubscriptionChange
) -> Response:
    """Pause or resume, or deliver other records, or to another URL, which takes records:read as well."""
    await make_change(caller, services, subscription_id, wanted)
    return await _shown(caller, services, subscription_id)


async def make_change(
    caller: Caller, services: Services, subscription_id: UUID, wanted: SubscriptionChange
) -> None:
    """Change a subscription, or what it does.

    Raises:
        Problem: 403 where the caller may not read records, 422 where the URL is private and not opened.
    """
    own = subscriptions_of(caller, services)
    found = await own.get(caller.workspace_id, subscription_id)
    changes = wanted.model_dump(include={"url", "filters", "allow_private_hosts"}, exclude_none=True)
    if changes:
        _READ_RECORDS.check(caller)
        url, is_private = wanted.url or found.url, wanted.allow_private_hosts
        if found.allow_private if is_private is None else is_private:
            check_receiver(url, services.settings.management.open_hosts)
        await own.change(found, url=wanted.url, filters=wanted.filters, allow_private=is_private)
    if wanted.is_active is not None:
        await own.set_active(found, is_active=wanted.is_active)


@routes.delete("/{subscription_id}", status_code=204)
async def remove_subscription(caller: Writer, services: Use, subscription_id: UUID) -> Response:
    """Remove a subscription with its secret and what it could not deliver."""
    own = subscriptions_of(caller, services)
    await own.remove(await own.get(caller.workspace_id, subscription_id))
    return no_content()


@routes.get("/{subscription_id}/undelivered", response_model=Page[UndeliveredRecord])
async def list_undelivered(
    caller: RecordReader,
    services: Use,
    subscription_id: UUID,
    page: AskedPage,
    state: Annotated[UndeliveredState | None, Query(description="Only those in this state.")] = None,
) -> Response:
    """Its dead letters: records that the receiver did not take while it took others, by id."""
    found = await subscriptions_of(caller, services).get(caller.workspace_id, subscription_id)
    async with services.db.workspace(caller.workspace_id) as conn:
        letters = await progress.page(conn, found, state=state, after=page.after(UUID), limit=page.fetch)
    return page.answer([_letter(found, one) for one in letters], lambda one: one.row_id)


@routes.post("/{subscription_id}/replay", status_code=202, response_model=Resent)
async def replay_subscription(
    caller: Writer, services: Use, subscription_id: UUID, wanted: SubscriptionReplay
) -> Response:
    """Have what was not taken sent again, in its present state."""
    own = subscriptions_of(caller, services)
    found = await own.get(caller.workspace_id, subscription_id)
    return json_answer(Resent(waiting=await own.replay(found, wanted.ids or ())), 202)


@routes.post("/{subscription_id}/roll", response_model=RolledSubscription)
async def roll_subscription(
    caller: Writer, services: Use, subscription_id: UUID, wanted: SubscriptionSecret
) -> Response:
    """Give it another secret. For a while the former one signs deliveries too, so that a receiver can change over."""
    _, rolled = await roll(caller, services, subscription_id, wanted)
    return json_answer(rolled)


async def roll(
    caller: Caller, services: Services, subscription_id: UUID, wanted: SubscriptionSecret
) -> tuple[Subscription, RolledSubscription]:
    """Rotate a subscription's secret, which is shown only now."""
    own = subscriptions_of(caller, services)
    found = await own.get(caller.workspace_id, subscription_id)
    made = await own.rotate(found, keep_former=timedelta(minutes=wanted.keep_former_minutes))
    return found, RolledSubscription(
        secret=made.secret.reveal(), former_until=made.former[0].until if made.former else None
    )


@routes.post("/{subscription_id}/test", response_model=Tested)
async def test_subscription(caller: Writer, services: Use, subscription_id: UUID) -> Response:
    """Send the receiver one signed message of type `subscription.test`, whatever the state, which stays."""
    own = subscriptions_of(caller, services)
    outcome = await send_test(own, await own.get(caller.workspace_id, subscription_id))
    return json_answer(Tested(is_taken=outcome.verdict == "taken", error=outcome.error or None))


def subscriptions_of(caller: Caller, services: Services) -> Subscriptions:
    """The subscriptions, in the caller's name."""
    return Subscriptions(services.db, services.credentials, actor=caller.actor)


async def entries(caller: Caller, services: Services, found: Sequence[Subscription]) -> list[dict[str, Any]]:
    """Subscriptions as the API shows them: the fields of :class:`SubscriptionEntry`."""
    async with services.db.workspace(caller.workspace_id) as conn:
        undelivered = await progress.counts(conn, [one.id for one in found])
    return [
        {
            "id": one.id,
            "name": one.name,
            "list": one.list,
            "filters": one.filters,
            "url": one.url,
            "allow_private_hosts": one.allow_private,
            "state": one.state,
            "moved_at": one.moved_at,
            "has_changes": None,
            "delivered": one.delivered,
            "undelivered": undelivered[one.id],
            "failures": one.failures,
            "retry_at": one.retry_at,
            "error": one.error,
            "created_at": one.created_at,
        }
        for one in found
    ]


async def _shown(caller: Caller, services: Services, subscription_id: UUID) -> Response:
    found = await subscriptions_of(caller, services).get(caller.workspace_id, subscription_id)
    (entry,) = await entries(caller, services, [found])
    now = (await services.db.clock())()
    waits = await has_changes(services.db, caller.workspace_id, subscription_id, now)
    return json_answer({**entry, "has_changes": waits})


def _letter(of: Subscription, one: Undelivered) -> UndeliveredRecord:
    return UndeliveredRecord(
        row_id=one.row_id,
        key=dict(zip(of.followed.key, one.key, strict=True)),
        state="given_up" if one.retry_at is None else "waiting",
        attempts=one.attempts,
        retry_at=one.retry_at,
        error=one.error,
        failed_at=one.failed_at,
    )
