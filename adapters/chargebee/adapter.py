"""The Chargebee adapter: what it declares, and how each of its three lists makes a stream.

Source: https://apidocs.chargebee.com/docs/api (``list-ops`` for paging, order and filters; ``error-handling``).
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote

import httpx
import msgspec
from pydantic import Field

from adapters.chargebee import mapping, webhooks
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import (
    Account,
    AdapterConfig,
    Capability,
    ControlTotal,
    CredentialField,
    CredentialKind,
    KeyPlace,
    Stream,
)
from unified.kit.errors import NotFoundError
from unified.kit.http.limits import Limit
from unified.kit.http.refusals import Refusals
from unified.kit.reading.listing import Listing
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import Token
from unified.kit.registry import register_adapter
from unified.kit.streams import RawRecord
from unified.kit.webhooks.signatures import Verifier
from unified.schema.entities import CUSTOMERS, EVENTS, INVOICES

# Ids are at most 50 characters long; so many fit into a URL.
_IDS = 50

_NOT_FOUND = "resource_not_found"


class ChargebeeConfig(AdapterConfig):
    """Settings of a Chargebee connection."""

    hosts: ClassVar[tuple[str, ...]] = ("chargebee.com",)

    base_url: str = Field(description="The site's address: https://{site}.chargebee.com, without a path.")


_ANYTHING = msgspec.json.Decoder(msgspec.Raw)


def _list(noun: str, *, created: str, updated: str | None, **more: Any) -> Listing:
    """A list in the order of creation, then what changed since a time in the order of the changes.

    Deleted records are shown when asked for; the last change of one was its deletion.
    """
    changed, and_deleted = updated or created, (("include_deleted", "true"),) if updated else ()
    paging = Token("offset", ("next_offset",))
    return Listing(
        ListEndpoint(f"/api/v2/{noun}s", paging, items=("list",), params=(("limit", "100"),)),
        record=(noun,),
        refresh=(("sort_by[asc]", created),),
        since=lambda moment: (
            (f"{changed}[after]", str(int(moment.timestamp()))), ("sort_by[asc]", changed), *and_deleted
        ),
        deleted_at=_deleted_at,
        many=lambda ids: (("id[in]", json.dumps(list(ids))), *and_deleted),
        batch=_IDS,
        **more,
    )  # fmt: skip


def _deleted_at(record: dict[str, Any]) -> datetime | None:
    return datetime.fromtimestamp(record["updated_at"], UTC) if record.get("deleted") else None


async def _with_all_lines(adapter: "ChargebeeAdapter", invoice: RawRecord) -> RawRecord | None:
    """An invoice whole: a site with enterprise-scale invoicing shows a hundred lines, and where more begin.

    https://apidocs.chargebee.com/docs/api/invoices/retrieve-an-invoice.
    """
    try:
        fields = msgspec.json.decode(invoice.body, type=dict[str, msgspec.Raw])
        begin = msgspec.json.decode(
            fields.pop("line_items_next_offset", msgspec.Raw(b"null")), type=str | None
        )
        lines = msgspec.json.decode(fields["line_items"], type=list[msgspec.Raw]) if begin else []
    except (msgspec.MsgspecError, KeyError):
        return invoice  # the mapping says what is wrong with it
    if begin is None or invoice.source_id is None:
        return invoice
    further = ListEndpoint(
        f"/api/v2/invoices/{quote(invoice.source_id, safe='')}",
        Token("line_items_offset", ("invoice", "line_items_next_offset")),
        items=("invoice", "line_items"),
        params=(("line_items_limit", "300"),),
    )
    try:
        async for part in further.pages(adapter.http, begin=begin):
            lines += part.items
    except NotFoundError as error:
        if error.code != _NOT_FOUND:
            raise
        return None  # deleted meanwhile
    return RawRecord(invoice.source_id, msgspec.json.encode({**fields, "line_items": lines}))


@register_adapter
class ChargebeeAdapter(BaseAdapter[ChargebeeConfig]):
    """Customers, invoices with their lines, and events of one Chargebee site."""

    name: ClassVar[str] = "chargebee"
    display_name: ClassVar[str] = "Chargebee"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.READ, Capability.WEBHOOK})
    identifying: ClassVar[frozenset[str]] = frozenset(("id", "updated_at"))
    leading: ClassVar[frozenset[str]] = webhooks.LEADING
    config_model: ClassVar[type[AdapterConfig]] = ChargebeeConfig
    credential_kind: ClassVar[CredentialKind] = CredentialKind.API_KEY
    api_key_place: ClassVar[KeyPlace] = "basic_user"
    credential_fields: ClassVar[tuple[CredentialField, ...]] = (
        CredentialField(
            "api_key",
            "API key",
            "starts with live_ or test_; a read-only key is enough (Settings, Configure Chargebee, API Keys)",
        ),
    )
    streams: ClassVar[tuple[Stream, ...]] = (
        Stream(
            "customers", CUSTOMERS, to_unified=mapping.to_customer,
            source=_list("customer", created="created_at", updated="updated_at"),
        ),
        Stream(
            "invoices", INVOICES, to_unified=mapping.to_invoice, customers="customers",
            source=_list("invoice", created="date", updated="updated_at", complete=_with_all_lines),
            control_total=ControlTotal(("total",), mapping.MINOR_UNITS),
        ),
        Stream(
            "events", EVENTS, to_unified=mapping.to_event,
            source=_list("event", created="occurred_at", updated=None),
        ),
    )  # fmt: skip
    # https://apidocs.chargebee.com/docs/api/error-handling
    refusals: ClassVar[Refusals] = Refusals(codes_at=("api_error_code",), reasons_at=("message",))
    verifiers: ClassVar[tuple[Verifier, ...]] = (webhooks.ChargebeeVerifier(),)
    subjects = staticmethod(webhooks.subjects)

    def limits(self) -> Sequence[Limit]:
        """A site's, in all: https://apidocs.chargebee.com/docs/api/error-handling; larger plans have more."""
        return (Limit(150 / 60),)

    async def test(self) -> Account:
        """Ask for a record of each stream: no endpoint says whose key it is, but a site is its own account."""
        await self.may_read(
            lambda stream: self.http.request(
                "GET", f"/api/v2/{stream.name}", _ANYTHING, params=[("limit", "1")]
            )
        )
        return await self.account()

    async def account(self) -> Account:
        """The site that the address names; its key says whether it is a test site."""
        site = httpx.URL(self.config.base_url).host.partition(".")[0]
        return Account(site, site, not self.credentials["api_key"].reveal().startswith("test_"))
