"""Xero's lists: where they are, their order, and how changes and single records are asked for.

Source: https://developer.xero.com/documentation/api/accounting/requests-and-responses, and each resource's page beside
it. Not here: which of them make streams (``adapter``), and what a record says (``mapping``).
"""

from datetime import UTC, datetime
from typing import Any

from adapters.xero import mapping
from unified.kit.reading.listing import Listing
from unified.kit.reading.lists import ListEndpoint
from unified.kit.reading.paging import PageNumber

API = "/api.xro/2.0"

IDS = 40
"""Ids in one request: of 36 characters each, so many fit into a URL that Xero takes
(https://github.com/XeroAPI/Xero-Java/issues/331)."""

_PAGE = 1000


def listing(noun: str, *, by_ids: bool = False, also: tuple[tuple[str, str], ...] = ()) -> Listing:
    """A list in the order of its ids: no change moves a record in it, and nothing is ever taken out of it.

    Pages are offsets. With pages invoices come with their lines, without them they do not.
    """
    plural, key = f"{noun}s", f"{noun}ID"
    paging = PageNumber("page", _PAGE, size_parameter="pageSize", count=("pagination", "pageCount"))
    return Listing(
        ListEndpoint(f"{API}/{plural}", paging, items=(plural,), params=(("order", f"{key} ASC"), *also)),
        id=(key,),
        since=lambda _: (),
        since_header=lambda moment: (
            "if-modified-since",
            moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        ),
        grows=True,
        deleted_at=_deleted_at,
        is_erased=lambda record: record.get("ContactStatus") == "GDPRREQUEST",
        merged_into=lambda record: record.get("MergedToContactID") or None,
        one=f"{API}/{plural}/{{id}}",
        one_is_listed=True,
        one_params=also,
        many=(lambda ids: (("IDs", ",".join(ids)),)) if by_ids else None,
        batch=IDS,
        is_gone=lambda _: True,
    )


def _deleted_at(record: dict[str, Any]) -> datetime | None:
    """When a document was deleted, or a contact archived or erased; a voided document is still one."""
    status = record.get("ContactStatus") or record.get("Status")
    is_gone = status in ("ARCHIVED", "GDPRREQUEST", "DELETED")
    return mapping.instant(record["UpdatedDateUTC"]) if is_gone else None


CONTACTS = listing("Contact", by_ids=True, also=(("includeArchived", "true"),))
