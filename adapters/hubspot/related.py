"""Whole records: what search returns, completed by the records associated with them.

A contact comes with its companies' names, an invoice with its contacts, companies and all of its line items, a deal,
ticket or quote with the ids of its contacts and companies: under the key ``associations``. So a stored raw record can
be mapped again without asking HubSpot.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import msgspec

from adapters.hubspot.api import HubSpotApi, Schema
from adapters.hubspot.mapping import (
    COMPANY_PROPERTIES,
    CONTACT_PROPERTIES,
    CUSTOM_PROPERTIES,
    FURTHER_PROPERTIES,
    INVOICE_PROPERTIES,
    LINE_PROPERTIES,
)
from unified.kit.reading.raw import id_of
from unified.kit.reading.windows import side_by_side
from unified.kit.streams import RawRecord


class _CompanyProperties(msgspec.Struct):
    name: str | None = None
    domain: str | None = None


class _CompanyObject(msgspec.Struct):
    id: str
    properties: _CompanyProperties


class _Company(msgspec.Struct):
    """A company as it is kept with its contacts."""

    id: str
    name: str | None = None
    domain: str | None = None


_ASSOCIATED = ("deals", "tickets", "quotes")
# What custom objects' associations are read of, by type.
_NEIGHBOURS = {"0-1": "contacts", "0-2": "companies", "0-3": "deals", "0-5": "tickets"}

_COMPANY = msgspec.json.Decoder(_CompanyObject)
_ENCODER = msgspec.json.Encoder()


def read_id(record: msgspec.Raw) -> str | None:
    """A record's id, which is a number in decimal text; None where it has no readable one."""
    found = id_of(record)
    return found if isinstance(found, str) and found.isdecimal() else None


class Companies:
    """Companies by id, each read once while it is remembered; the longest unused are forgotten first."""

    def __init__(self, api: HubSpotApi, *, size: int = 10_000) -> None:
        """Remember ``size`` companies at most."""
        self._api = api
        self._size = size
        self._known: dict[str, _Company] = {}

    def remember(self, found: Iterable[msgspec.Raw]) -> list[str]:
        """Take over companies that were read elsewhere; returns their ids."""
        ids = []
        for record in found:
            try:
                company = _COMPANY.decode(record)
            except msgspec.MsgspecError as error:
                raise self._api.fault(f"returned a company of unexpected form ({error})") from error
            self._known.pop(company.id, None)
            self._known[company.id] = _Company(company.id, company.properties.name, company.properties.domain)
            ids.append(company.id)
        while len(self._known) > self._size:
            del self._known[next(iter(self._known))]
        return ids

    async def get(self, ids: Collection[str]) -> dict[str, _Company]:
        """Companies by id. One that was archived in between has no name."""
        known = {one: self._known.pop(one) for one in ids if one in self._known}
        self._known |= known
        absent = sorted((one for one in ids if one not in known), key=int)
        found = await self._api.batch_read("companies", absent, COMPANY_PROPERTIES)
        read = self.remember(found)
        return {one: _Company(one) for one in absent} | known | {one: self._known[one] for one in read}


class _Plain:
    """An object whose records are kept under HubSpot's ids.

    Attributes:
        has_links: Whether its records are kept with ids of others that they may lose without being modified.
    """

    has_links = False

    def key(self, record_id: str) -> str:
        """The id itself."""
        return record_id


class Contacts(_Plain):
    """Contacts with their companies.

    Attributes:
        kind: HubSpot's name of the object.
        modified: The property that holds the time of its last modification.
        properties: What is read of it.
        companies: The companies met so far.
    """

    kind = "contacts"
    modified = "lastmodifieddate"

    def __init__(self, api: HubSpotApi, more: Sequence[str] = ()) -> None:
        """Read the properties ``more`` beside the usual ones."""
        self._api = api
        self.companies = Companies(api)
        self.properties: Sequence[str] = (*CONTACT_PROPERTIES, *more)

    async def complete(self, found: Sequence[msgspec.Raw]) -> list[RawRecord]:
        """Two requests a page: the associations, and the companies that are not known yet."""
        ids = [read_id(record) for record in found]
        links = await self._api.associated("contacts", "companies", [one for one in ids if one])
        companies = await self.companies.get({company for some in links.values() for company in some})
        return [
            _whole(record, one, {"companies": [companies[company] for company in links.get(one or "", ())]})
            for record, one in zip(found, ids, strict=True)
        ]


class Invoices(_Plain):
    """Invoices with their contacts, companies and line items; attributes as of :class:`Contacts`."""

    kind = "invoices"
    modified = "hs_lastmodifieddate"

    def __init__(self, api: HubSpotApi, more: Sequence[str] = ()) -> None:
        """Read the properties ``more`` beside the usual ones."""
        self._api = api
        self.properties: Sequence[str] = (*INVOICE_PROPERTIES, *more)

    async def complete(self, found: Sequence[msgspec.Raw]) -> list[RawRecord]:
        """Three requests a page for the associations, and one for every hundred line items."""
        ids = [read_id(record) for record in found]
        known = [one for one in ids if one]
        contacts, companies, lines = await side_by_side(
            self._api.associated("invoices", target, known)
            for target in ("contacts", "companies", "line_items")
        )
        read = await self._api.batch_read(
            "line_items", [one for some in lines.values() for one in some], LINE_PROPERTIES
        )
        items = {read_id(item): item for item in read}
        return [
            _whole(
                record,
                one,
                {
                    "contacts": [{"id": contact} for contact in contacts.get(one or "", ())],
                    "companies": [{"id": company} for company in companies.get(one or "", ())],
                    # A line deleted between the two requests has changed its invoice, which comes again.
                    "line_items": [items[line] for line in lines.get(one or "", ()) if line in items],
                },
            )
            for record, one in zip(found, ids, strict=True)
        ]


class Further(_Plain):
    """Records of another object, with the ids of what they are associated with; attributes as of :class:`Contacts`."""

    modified = "hs_lastmodifieddate"

    def __init__(self, api: HubSpotApi, kind: str) -> None:
        """Read records of a kind."""
        self._api = api
        self.kind = kind
        self.properties: Sequence[str] = FURTHER_PROPERTIES[kind]
        self.has_links = kind in _ASSOCIATED

    async def complete(self, found: Sequence[msgspec.Raw]) -> list[RawRecord]:
        """Two requests a page for the associations, where the object has any that are read."""
        targets = ("contacts", "companies") if self.has_links else ()
        return await _with_ids(self._api, self.kind, found, targets, self.key)


class Custom:
    """Records of a custom object, with what it is called and the ids of what they are associated with.

    Attributes:
        kind: Id of the object's type.
        modified: As of :class:`Contacts`.
        properties: What is read: all that the account itself has defined, and the owner.
    """

    modified = "hs_lastmodifieddate"

    def __init__(self, api: HubSpotApi, schema: Schema) -> None:
        """Read records of the object that a schema describes."""
        self._api = api
        self.kind = schema.object_type_id
        display = schema.primary_display_property
        names = (*schema.own_properties, *((display,) if display else ()), *CUSTOM_PROPERTIES)
        self.properties: Sequence[str] = [*dict.fromkeys(names)]
        self._targets = [name for number, name in _NEIGHBOURS.items() if number in schema.neighbours]
        self._says = {"objectTypeId": self.kind, "objectType": schema.name, "displayProperty": display}

    def key(self, record_id: str) -> str:
        """Ids of several objects may be the same: the type comes first."""
        return f"{self.kind}:{record_id}"

    async def complete(self, found: Sequence[msgspec.Raw]) -> list[RawRecord]:
        """A request a page for each kind of association that the schema allows and that is read."""
        return await _with_ids(self._api, self.kind, found, self._targets, self.key, **self._says)


async def _with_ids(
    api: HubSpotApi,
    kind: str,
    found: Sequence[msgspec.Raw],
    targets: Sequence[str],
    key: Callable[[str], str],
    **more: Any,
) -> list[RawRecord]:
    """Records with the ids of what they are associated with, by one request for each kind of that."""
    ids = [read_id(record) for record in found]
    links = await side_by_side(
        api.associated(kind, target, [one for one in ids if one]) for target in targets
    )
    return [
        _whole(
            record,
            one and key(one),
            {
                target: [{"id": linked} for linked in of_target.get(one or "", ())]
                for target, of_target in zip(targets, links, strict=True)
            },
            **more,
        )
        for record, one in zip(found, ids, strict=True)
    ]


def _whole(
    record: msgspec.Raw, source_id: str | None, associations: dict[str, Any], **more: Any
) -> RawRecord:
    """The record with its associations put before the closing brace; all else stays as HubSpot sent it."""
    body = bytes(record)
    if source_id is None:
        return RawRecord(None, body)
    added = _ENCODER.encode({"associations": associations, **more})
    return RawRecord(source_id, b"%b,%b" % (body[:-1], added[1:]))
