"""The HubSpot endpoints that this adapter uses, typed; and how HubSpot's errors are to be taken.

Not here: what is asked for and what becomes of the answers (``pull``, ``related``).
Reference: https://developers.hubspot.com/docs/api-reference/latest/overview
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from unified.kit.errors import ProtocolError, RateLimitedError, UnavailableError
from unified.kit.http.attempts import Effect
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import StatedRate
from unified.kit.http.refusals import Meaning, Refusals
from unified.kit.reading.changes import provider_time
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import Part, Position, Token
from unified.kit.reading.windows import side_by_side

VERSION = "2026-09"
SEARCH_PAGE = 200
_LIST_PAGE = 100
_OWNERS = f"/crm/owners/{VERSION}"
# https://developers.hubspot.com/changelog/sunset-v2-owners-api
_OWNERS_PAGE = 500
BATCH = 100
# https://developers.hubspot.com/changelog/bug-fix-batch-read-limit-for-hubspot-associations-api
_ASSOCIATION_INPUTS = 1000

# https://developers.hubspot.com/docs/api-reference/error-handling: 423 wants two seconds between attempts.
REFUSALS = Refusals(
    codes_at=("policyName", "category"),
    reasons_at=("message", "errors.*.message"),
    reference_at={"correlation id": "correlationId"},
    codes={
        "DAILY": Meaning(
            RateLimitedError,
            lasts=3600.0,  # an hour: the answer does not say when midnight is there
            note="; the day's requests are used up until midnight in the account's time zone",
        )
    },
    statuses={423: Meaning(UnavailableError, retry=True, wait=2.0)},
)
# https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines; searches come without them.
STATED_RATE = StatedRate("x-hubspot-ratelimit-max", "x-hubspot-ratelimit-interval-milliseconds", unit=0.001)

Filter = tuple[str, str, int | Sequence[str]]
"""Property, operator, value or values."""


class AccountDetails(msgspec.Struct, rename="camel"):
    """Whose token it is."""

    portal_id: int
    account_type: str = ""
    ui_domain: str | None = None


class SearchAnswer(msgspec.Struct):
    """One page of a search; ``total`` counts all that the filters match."""

    total: int
    results: list[msgspec.Raw]


class _Next(msgspec.Struct):
    after: str


class _Paging(msgspec.Struct):
    next: _Next | None = None


class ArchivedObject(msgspec.Struct, rename="camel"):
    """A record in the bin."""

    id: str
    archived_at: datetime


class _ErrorDetail(msgspec.Struct):
    message: str = ""


class BatchError(msgspec.Struct, rename="camel"):
    """Why some inputs of a batch failed; ``context`` may name them."""

    message: str = ""
    category: str = ""
    context: dict[str, Any] = {}
    errors: list[_ErrorDetail] = []

    @property
    def reason(self) -> str:
        """All of HubSpot's words."""
        words = dict.fromkeys((self.message, *(detail.message for detail in self.errors)))
        return f"{'; '.join(word for word in words if word)} ({self.category})"

    def named(self, key: str) -> list[str]:
        """What the context lists under a key."""
        listed = self.context.get(key)
        return [str(one) for one in listed] if isinstance(listed, list) else []


class BatchAnswer(msgspec.Struct):
    """The outcome of a batch: the records that it succeeded for, and the errors of the others."""

    results: list[msgspec.Raw]
    errors: list[BatchError] = []


class _AssociationType(msgspec.Struct):
    label: str | None = None


class _Association(msgspec.Struct, rename="camel"):
    to_object_id: int | str
    association_types: list[_AssociationType] = []

    @property
    def order(self) -> tuple[bool, int]:
        """The one labelled Primary first, the others by id: the same order on every read."""
        return not any(kind.label == "Primary" for kind in self.association_types), int(self.to_object_id)


class _ObjectId(msgspec.Struct):
    id: str


class _Associations(msgspec.Struct):
    source: _ObjectId = msgspec.field(name="from")
    to: list[_Association]
    paging: _Paging | None = None


class _AssociationsAnswer(msgspec.Struct):
    results: list[_Associations]
    errors: list[BatchError] = []


class _Property(msgspec.Struct, rename="camel"):
    name: str
    hubspot_defined: bool = False
    archived: bool = False


class _AssociationDefinition(msgspec.Struct, rename="camel"):
    from_object_type_id: str
    to_object_type_id: str


class Schema(msgspec.Struct, rename="camel"):
    """What a custom object is; its type's id never changes (``2-123456``)."""

    object_type_id: str
    name: str
    primary_display_property: str | None = None
    properties: list[_Property] = []
    associations: list[_AssociationDefinition] = []

    @property
    def own_properties(self) -> list[str]:
        """Names of the properties that the account itself has defined."""
        return [one.name for one in self.properties if not one.hubspot_defined and not one.archived]

    @property
    def neighbours(self) -> set[str]:
        """Types of the objects that its records may be associated with."""
        ends = self.associations
        return {one.to_object_type_id for one in ends if one.from_object_type_id == self.object_type_id}


class _Schemas(msgspec.Struct):
    results: list[Schema]


_ACCOUNT = msgspec.json.Decoder(AccountDetails)
_SEARCH = msgspec.json.Decoder(SearchAnswer)
_ARCHIVED = msgspec.json.Decoder(ArchivedObject)
_BATCH_READ = msgspec.json.Decoder(BatchAnswer)
_BATCH_WRITE = msgspec.json.Decoder(BatchAnswer | None)
_SCHEMAS = msgspec.json.Decoder(_Schemas)
_ASSOCIATIONS = msgspec.json.Decoder(_AssociationsAnswer)


class HubSpotApi:
    """One portal's CRM, as far as this adapter uses it."""

    def __init__(self, client: HttpClient) -> None:
        """Use an open client, which has the limits ``default`` and ``search``."""
        self._http = client

    @property
    def label(self) -> str:
        """Names the connection in errors."""
        return self._http.label

    def fault(self, reason: str) -> ProtocolError:
        """An error that names this connection, for an answer that breaks HubSpot's documentation."""
        return ProtocolError(f"{self.label}: HubSpot {reason}. The next run goes on from here")

    def now(self, clock: Callable[[], datetime]) -> datetime:
        """HubSpot's clock by its last answer; see :func:`unified.kit.reading.changes.provider_time`.

        Raises:
            ProtocolError: If no answer had it.
        """
        now = provider_time(self._http, clock)
        if now is None:
            raise self.fault("sends no Date header, without which changes can't be followed")
        return now

    async def account(self) -> AccountDetails:
        """GET account-info: https://developers.hubspot.com/docs/api-reference/latest/account/account-information/guide."""
        return await self._http.request("GET", f"/account-info/{VERSION}/details", _ACCOUNT)

    async def touch(self, searched: Collection[str], read: Collection[str] = ()) -> None:
        """Ask for a record of each kind, by the requests that will read them.

        Args:
            searched: Kinds that are searched.
            read: Kinds whose records are only read by their ids.

        Raises:
            PermissionDeniedError: If the token may not read one, with the scopes that HubSpot asks for.
        """
        await side_by_side(self.search(kind, (), ("hs_object_id",), limit=1) for kind in searched)
        for kind in read:
            await self.batch_read(kind, ["1"], ("hs_object_id",))

    async def search(
        self,
        kind: str,
        filters: Collection[Filter],
        properties: Collection[str],
        *,
        limit: int = SEARCH_PAGE,
        descending: bool = False,
    ) -> SearchAnswer:
        """Search live records in the order of their ids.

        Never pages by ``after``, which ends at 10,000 results; callers filter by the last id instead
        (https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm).

        Args:
            kind: ``contacts``, ``companies``, ``invoices``.
            filters: All must hold.
            properties: What to return of each record.
            limit: Records, 200 at most.
            descending: Whether the highest id comes first.
        """
        body = {
            "filterGroups": [{"filters": [_condition(*one) for one in filters]}] if filters else [],
            "properties": properties,
            "sorts": [
                {"propertyName": "hs_object_id", "direction": "DESCENDING" if descending else "ASCENDING"}
            ],
            "limit": limit,
        }
        path = f"/crm/objects/{VERSION}/{kind}/search"
        return await self._http.request("POST", path, _SEARCH, json=body, limit="search")

    async def batch_read(
        self, kind: str, ids: Sequence[str], properties: Collection[str], *, by: str | None = None
    ) -> list[msgspec.Raw]:
        """Read records by id, a hundred a request, side by side.

        Args:
            kind: ``contacts``, ``companies``, …
            ids: Ids, or values of a unique property.
            properties: What to read of each record.
            by: That property, ``email`` for instance.

        Returns:
            The records that exist; those that HubSpot reports as not found are left out.

        Raises:
            ProtocolError: If some are missing for another reason, or for none.
        """
        answers = await side_by_side(
            self._batch_read(kind, ids[at : at + BATCH], properties, by) for at in range(0, len(ids), BATCH)
        )
        return [record for answer in answers for record in answer]

    async def _batch_read(
        self, kind: str, ids: Sequence[str], properties: Collection[str], by: str | None
    ) -> list[msgspec.Raw]:
        body: dict[str, Any] = {"inputs": [{"id": one} for one in ids], "properties": properties}
        if by is not None:
            body["idProperty"] = by
        path = f"/crm/objects/{VERSION}/{kind}/batch/read"
        answer = await self._http.request("POST", path, _BATCH_READ, json=body)
        self._check(answer.errors, f"a batch read of {kind}")
        # Several addresses may be of one contact, which HubSpot returns once.
        if by is None and len(answer.results) < len(ids) and not answer.errors:
            raise self.fault(
                f"returned {len(answer.results)} of {len(ids)} {kind} of a batch without saying why"
            )
        return answer.results

    async def batch_write(
        self, kind: str, action: str, inputs: Sequence[Mapping[str, Any]], *, effect: Effect
    ) -> BatchAnswer:
        """Write a hundred records at most: https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/batch/create-contacts.

        Args:
            kind: ``contacts``.
            action: ``create``, ``update``, ``upsert``, or ``archive``, whose answer is empty.
            inputs: One for each record. Their ``objectWriteTraceId`` makes HubSpot answer for each by itself
                (https://developers.hubspot.com/docs/api-reference/error-handling).
            effect: Whether the request may be sent again.
        """
        path = f"/crm/objects/{VERSION}/{kind}/batch/{action}"
        answer = await self._http.request("POST", path, _BATCH_WRITE, json={"inputs": inputs}, effect=effect)
        return answer or BatchAnswer([])

    async def associated(self, source: str, target: str, ids: Collection[str]) -> dict[str, list[str]]:
        """Which records of one kind are associated with records of another.

        Args:
            source: Kind of the records that ``ids`` names.
            target: Kind of the records to find.
            ids: Where to start from.

        Returns:
            Target ids by source id, the primary one first, then by id; a source without any is absent.

        Raises:
            ProtocolError: If an input failed for another reason than that it has none.
        """
        found: dict[str, set[tuple[bool, int]]] = defaultdict(set)
        waiting: list[dict[str, str]] = [{"id": one} for one in ids]
        path = f"/crm/associations/{VERSION}/{source}/{target}/batch/read"
        while waiting:
            inputs, waiting = waiting[:_ASSOCIATION_INPUTS], waiting[_ASSOCIATION_INPUTS:]
            answer = await self._http.request("POST", path, _ASSOCIATIONS, json={"inputs": inputs})
            self._check(answer.errors, f"the {target} of {source}")
            for one in answer.results:
                found[one.source.id].update(link.order for link in one.to)
                if one.paging and one.paging.next:
                    following = {"id": one.source.id, "after": one.paging.next.after}
                    if following in inputs:
                        raise self.fault(f"repeats a page of the {target} of {source}")
                    waiting.append(following)
        return {one: [str(number) for _, number in sorted(links)] for one, links in found.items()}

    def archived(self, kind: str, after: Position | None) -> AsyncGenerator[Part, None]:
        """Pages of the records in the bin, which keeps them for 90 days; search does not show them.

        Args:
            kind: ``contacts``, ``invoices``.
            after: Where to begin.
        """
        listed = _list(f"/crm/objects/{VERSION}/{kind}", archived=True, limit=_LIST_PAGE)
        return listed.pages(self._http, begin=after)

    def owners(self, *, archived: bool, after: Position | None = None) -> AsyncGenerator[Part, None]:
        """Pages of owners: https://developers.hubspot.com/docs/api-reference/latest/crm/owners/get-owners.

        Args:
            archived: Whether those that were archived are listed, instead of the active ones.
            after: Where to begin.
        """
        listed = _list(_OWNERS, archived=archived, limit=_OWNERS_PAGE)
        return listed.pages(self._http, begin=after)

    async def schemas(self, *, archived: bool = False) -> list[Schema]:
        """The custom objects: https://developers.hubspot.com/docs/api-reference/latest/crm/objects/schemas/get-schemas.

        Args:
            archived: Whether those that were deleted are listed, instead of those that there are.
        """
        asked = {"includePropertyDefinitions": "true", "includeAssociationDefinitions": "true"}
        params = [*asked.items(), ("archived", "true" if archived else "false")]
        path = f"/crm-object-schemas/{VERSION}/schemas"
        return (await self._http.request("GET", path, _SCHEMAS, params=params)).results

    async def touch_owners(self) -> None:
        """Ask for an owner, as :meth:`touch` asks for records."""
        await _list(_OWNERS, archived=False, limit=1).page(self._http)

    def _check(self, errors: Collection[BatchError], what: str) -> None:
        """A 207 is a success in part: a record that is gone or has no associations is not a fault."""
        for error in errors:
            if error.category != "OBJECT_NOT_FOUND":
                raise self.fault(f"could not read {what} in full: {error.message} ({error.category})")


def _list(path: str, *, archived: bool, limit: int) -> ListEndpoint:
    return ListEndpoint(
        path,
        Token("after", ("paging", "next", "after")),
        items=("results",),
        params=(("archived", "true" if archived else "false"), ("limit", str(limit))),
        may_be_empty=True,
    )


def _condition(name: str, operator: str, value: int | Sequence[str]) -> dict[str, Any]:
    operand = {"value": str(value)} if isinstance(value, int) else {"values": value}
    return {"propertyName": name, "operator": operator, **operand}


def read_archived(raw: msgspec.Raw) -> ArchivedObject:
    """A record in the bin."""
    return _ARCHIVED.decode(raw)
