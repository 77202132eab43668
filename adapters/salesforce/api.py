"""The endpoints of Salesforce's REST API that this adapter uses, typed; its refusals, and its daily limit.

Not here: what is asked for and what becomes of the answers (``objects``, ``pull``, ``writing``).
Reference: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from unified.kit.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    UnavailableError,
)
from unified.kit.http.attempts import Effect
from unified.kit.http.client import HttpClient
from unified.kit.http.refusals import Meaning, Refusals

VERSION = "v68.0"
DATA = f"/services/data/{VERSION}"

COLLECTION = 200
"""Records in one request that writes (``resources_composite_sobjects_collections``)."""
RETRIEVED = 2000
"""Records that are read by id with one request (``resources_composite_sobjects_collections_retrieve``)."""
PAGE = 2000
"""Records in one page of a query at most; there are fewer where rows are wide (``resources_query``)."""

# A rolling day gives back what was used a day before, bit by bit. Nothing says when that is enough: ask twice an
# hour.
_DAY_IS_USED = 1800.0

# A URL and all headers have 16,384 bytes at most (``limits``); a token and the others take less than 4,000.
_LONGEST_QUERY = 12_000

NO_FIELD, NO_OBJECT = "INVALID_FIELD", "INVALID_TYPE"

# https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm. A limit is a 403 here, and
# no answer says how long to wait.
REFUSALS = Refusals(
    codes_at=("0.errorCode", "errorCode", "error"),
    reasons_at=("*.message", "message", "error_description"),
    codes={
        "REQUEST_LIMIT_EXCEEDED": Meaning(
            RateLimitedError,
            retry=True,
            lasts=_DAY_IS_USED,
            note="; too many requests are under way, or those of a rolling day are used up",
        ),
        "INVALID_SESSION_ID": Meaning(AuthenticationError),
        "API_DISABLED_FOR_ORG": Meaning(PermissionDeniedError),
        "UNABLE_TO_LOCK_ROW": Meaning(UnavailableError, retry=True),
        "QUERY_TIMEOUT": Meaning(UnavailableError, retry=True),
        "SERVER_UNAVAILABLE": Meaning(UnavailableError, retry=True),
    },
    statuses={406: Meaning(UnavailableError, retry=True), 420: Meaning(RateLimitedError, retry=True)},
)

_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
_Decoded = TypeVar("_Decoded")


class Answered(msgspec.Struct, rename="camel"):
    """A page of a query; ``total_size`` counts all that it finds."""

    total_size: int
    records: list[msgspec.Raw]
    done: bool = True


class Field(msgspec.Struct, rename="camel", frozen=True):
    """A field as ``describe`` lists it; what field security hides is not listed."""

    name: str
    type: str
    label: str = ""
    compound_field_name: str | None = None
    reference_to: tuple[str, ...] = ()
    relationship_name: str | None = None
    createable: bool = False


class Child(msgspec.Struct, rename="camel", frozen=True):
    """A relationship to records that name this one: an invoice's lines."""

    child_s_object: str
    field: str | None = None


class Described(msgspec.Struct, rename="camel"):
    """What ``describe`` says of an object."""

    name: str
    fields: list[Field]
    child_relationships: list[Child] = []


class Listed(msgspec.Struct):
    """An object in the list of all that the user may see."""

    name: str
    label: str = ""
    queryable: bool = False
    custom: bool = False


class _Objects(msgspec.Struct):
    sobjects: list[Listed]


class Fault(msgspec.Struct, rename="camel"):
    """Why one record of a collection was refused."""

    status_code: str = ""
    message: str = ""
    fields: list[str] = []


class Saved(msgspec.Struct):
    """The outcome of one record of a collection."""

    success: bool
    id: str | None = None
    errors: list[Fault] = []


_QUERY = msgspec.json.Decoder(Answered)
_DESCRIBE = msgspec.json.Decoder(Described)
_OBJECTS = msgspec.json.Decoder(_Objects)
_RETRIEVED = msgspec.json.Decoder(list[msgspec.Raw])
_SAVED = msgspec.json.Decoder(list[Saved])


class DailyUse:
    """How many of the requests that an org may make in a rolling day are used, by all of its programs together.

    Every answer says so, some while late (``Sforce-Limit-Info``).
    """

    def __init__(self, share: float) -> None:
        """Stop at that share, so that what people work with goes on."""
        self._share = share
        self._used, self._allowed = 0, 0

    def note(self, headers: Mapping[str, str]) -> None:
        """Read an answer's headers."""
        if found := _USAGE.search(headers.get("sforce-limit-info", "")):
            self._used, self._allowed = int(found[1]), int(found[2])

    def check(self, label: str) -> None:
        """Make sure that there is room for one more.

        Raises:
            RateLimitedError: If the share is used up.
        """
        if self._allowed and self._used >= self._share * self._allowed:
            raise RateLimitedError(
                f"{label}: {self._used} of the {self._allowed} requests that the org may make in a rolling day are "
                f"used; the next run goes on from here. The setting daily_share ({self._share}) says where to stop",
                wait=_DAY_IS_USED,
            )


class Opened(Protocol):
    """The connected adapter, as what reads and writes uses it."""

    config: Any
    clock: Callable[[], datetime]

    @property
    def http(self) -> HttpClient:
        """The open client."""
        ...

    @property
    def day(self) -> DailyUse:
        """What is left of the day's requests."""
        ...


class SalesforceApi:
    """One org's REST API, as far as this adapter uses it."""

    def __init__(self, adapter: "Opened") -> None:
        """Use a connected adapter."""
        self._http = adapter.http
        self._day = adapter.day

    @property
    def label(self) -> str:
        """Names the connection in errors."""
        return self._http.label

    def fault(self, reason: str) -> ProtocolError:
        """An error that names this connection, for an answer that breaks Salesforce's documentation."""
        return ProtocolError(f"{self.label}: Salesforce {reason}. The next run goes on from here")

    @staticmethod
    def fits(soql: str) -> bool:
        """Whether a query is short enough for a URL."""
        return len(quote(soql)) <= _LONGEST_QUERY

    async def query(self, soql: str, *, deleted: bool = False) -> Answered:
        """The first page of a query, with what is in the bin where that is asked for (``queryAll``).

        Further pages by ``nextRecordsUrl`` are never asked for: a locator is used once, lasts for two days, and is lost
        with the run that was killed. Callers go on by a key.

        Raises:
            RequestRefusedError: With the code ``INVALID_FIELD`` where a field is gone, or hidden by now.
        """
        path = f"{DATA}/{'queryAll' if deleted else 'query'}"
        return await self._asked("GET", path, _QUERY, params={"q": soql})

    async def describe(self, name: str) -> Described:
        """The fields of an object that this user may see.

        Raises:
            NotFoundError: If there is no such object, or the user may not see it.
        """
        return await self._asked("GET", f"{DATA}/sobjects/{quote(name, safe='')}/describe", _DESCRIBE)

    async def objects(self) -> list[Listed]:
        """All objects that the user may see."""
        return (await self._asked("GET", f"{DATA}/sobjects", _OBJECTS)).sobjects

    async def retrieve(self, name: str, ids: Sequence[str], fields: Collection[str]) -> list[msgspec.Raw]:
        """Records by id, in the order of the ids: null for one that is gone or unseen.

        Args:
            name: The object.
            ids: 2,000 at most.
            fields: What to read of each; any number, as they travel in the body.
        """
        body = {"ids": list(ids), "fields": list(fields)}
        return await self._asked(
            "POST", f"{DATA}/composite/sobjects/{quote(name, safe='')}", _RETRIEVED, json=body
        )

    async def save(
        self,
        method: str,
        path: str,
        records: Sequence[Mapping[str, Any]],
        *,
        effect: Effect,
        duplicates: bool,
    ) -> list[Saved]:
        """Create, update or upsert up to 200 records; the outcomes are in their order.

        Args:
            method: POST creates, PATCH updates or upserts.
            path: Below ``composite/sobjects``.
            records: Each with its ``attributes``.
            effect: Whether it may be sent again without a look.
            duplicates: Whether duplicate rules let pass what they only warn of.
        """
        headers = {"sforce-duplicate-rule-header": "allowSave=true"} if duplicates else None
        body = {"allOrNone": False, "records": list(records)}
        return await self._asked(
            method, f"{DATA}/composite/sobjects{path}", _SAVED, json=body, headers=headers, effect=effect
        )

    async def delete(self, ids: Sequence[str]) -> list[Saved]:
        """Put up to 200 records into the bin."""
        params = {"ids": ",".join(ids), "allOrNone": "false"}
        return await self._asked(
            "DELETE", f"{DATA}/composite/sobjects", _SAVED, params=params, effect="repeatable"
        )

    async def _asked(
        self, method: str, path: str, decoder: msgspec.json.Decoder[_Decoded], **how: Any
    ) -> _Decoded:
        self._day.check(self.label)
        return await self._http.request(method, path, decoder, **how)


def literal(value: str) -> str:
    """Text as a query holds it.

    https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_quotedstringescapes.htm.
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def listed(values: Collection[str]) -> str:
    """Texts as ``IN`` takes them."""
    return f"({','.join(map(literal, values))})"


def selected(
    what: Collection[str], name: str, where: Collection[str] = (), *, order: str = "", limit: int = 0
) -> str:
    """A query for some fields of an object, under conditions that must all hold."""
    parts = ["SELECT", ",".join(what), "FROM", name]
    if where:
        parts += ["WHERE", " AND ".join(where)]
    if order:
        parts += ["ORDER BY", order]
    if limit:
        parts += ["LIMIT", str(limit)]
    return " ".join(parts)
