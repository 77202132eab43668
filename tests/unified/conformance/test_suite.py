"""The suite finds what is wrong: adapters that are broken in one way each, and the check that has to fail for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from adapters.chargebee.adapter import ChargebeeAdapter
from adapters.chargebee.webhooks import ChargebeeVerifier
from tests.adapters.chargebee.test_conformance import ChargebeeBench
from unified.conformance.checks import CHECKS
from unified.conformance.suite import conformance
from unified.kit.declarations import Account, Capability
from unified.kit.errors import ProviderError
from unified.kit.streams import Changes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from unified.conformance.bench import Bench
    from unified.kit.secrets import Secret
    from unified.kit.streams import Cursor, Page
    from unified.kit.webhooks.deliveries import Delivery, ReceivedEvent
    from unified.schema.base import UnifiedBase


class OfPages(ChargebeeAdapter):
    """Does something to each page of a pull."""

    def changed(self, page: Page) -> Page:
        raise NotImplementedError

    async def pull(self, stream: str, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        async for page in super().pull(stream, cursor):
            yield self.changed(page)


class Loses(OfPages):
    def changed(self, page: Page) -> Page:
        return replace(page, records=page.records[:-1])


class Repeats(OfPages):
    def changed(self, page: Page) -> Page:
        return replace(page, records=[*page.records, *page.records[:1]])


class Buries(OfPages):
    def changed(self, page: Page) -> Page:
        return replace(page, tombstones=())


class Stays(OfPages):
    def changed(self, page: Page) -> Page:
        return page if page.refresh_done else replace(page, cursor=None)


class RunsAhead(OfPages):
    """Each page's cursor is already that of the end."""

    def changed(self, page: Page) -> Page:
        return replace(page, cursor={"since": self.clock().isoformat()})


class Silent(ChargebeeAdapter):
    """Takes an error for the end."""

    async def pull(self, stream: str, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        try:
            async for page in super().pull(stream, cursor):
                yield page
        except ProviderError:
            return


class Anew(ChargebeeAdapter):
    """Reads everything every time."""

    async def pull(self, stream: str, cursor: Cursor | None) -> AsyncGenerator[Page, None]:
        del cursor
        async for page in super().pull(stream, None):
            yield page


class Twice(ChargebeeAdapter):
    async def fetch(self, stream: str, source_ids: Sequence[str]) -> AsyncGenerator[Page, None]:
        for _ in range(2):
            async for page in super().fetch(stream, source_ids):
                yield page


class Talks(ChargebeeAdapter):
    """Says its key in an error."""

    async def test(self) -> Account:
        try:
            return await super().test()
        except ProviderError as error:
            raise ProviderError(f"{error}: {self.credentials['api_key'].reveal()}") from None


class Trusts(ChargebeeAdapter):
    """Believes any credential."""

    async def test(self) -> Account:
        return Account("somebody")


class Spoils(ChargebeeAdapter):
    """Changes the raw record while mapping it."""

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Any) -> UnifiedBase:
        record = super().to_unified(stream, raw, origin)
        raw["mapped"] = True
        return record


class Fragile(ChargebeeAdapter):
    """Fails at an odd value by an error that is no verdict on the record."""

    def to_unified(self, stream: str, raw: dict[str, Any], origin: Any) -> UnifiedBase:
        if raw.get("email") == " ":
            raise RuntimeError("no such case")
        return super().to_unified(stream, raw, origin)


class Deaf(ChargebeeAdapter):
    """Knows no meaning of an event."""

    def changes(self, events: Sequence[ReceivedEvent]) -> Changes:
        del events
        return Changes({}, {})


class Open(ChargebeeVerifier):
    def verify(self, delivery: Delivery, secrets: Sequence[Secret]) -> None:
        """Let everything in."""


class Welcomes(ChargebeeAdapter):
    verifiers: ClassVar[Any] = (Open(),)


class Boasts(ChargebeeAdapter):
    capabilities: ClassVar[frozenset[Capability]] = ChargebeeAdapter.capabilities | {Capability.WRITE}


BROKEN: list[tuple[type[ChargebeeAdapter], str, tuple[str, ...]]] = [
    (Loses, "a_full_load_is_complete_and_brings_each_record_once", ("customers",)),
    (Repeats, "a_full_load_is_complete_and_brings_each_record_once", ("events",)),
    (Buries, "a_deleted_record_becomes_a_tombstone", ("customers",)),
    (Stays, "a_load_that_is_killed_after_every_page_ends_complete", ("customers",)),
    (RunsAhead, "a_load_that_is_killed_after_every_page_ends_complete", ("invoices",)),
    (RunsAhead, "a_page_that_was_not_stored_comes_again", ("customers",)),
    (Silent, "trouble_that_stays_ends_right_and_the_next_run_goes_on", ("customers", "500")),
    (Anew, "an_updated_record_comes_with_the_next_pull", ("customers",)),
    (Twice, "fetch_brings_each_id_once_as_record_or_tombstone", ("customers",)),
    (Talks, "a_credential_appears_in_no_error_log_or_repr", ()),
    (Trusts, "finds_the_account_and_refuses_a_wrong_credential", ()),
    (Spoils, "every_record_of_the_source_becomes_a_unified_one", ("customers",)),
    (Fragile, "an_odd_value_anywhere_is_mapped_or_rejected", ("customers",)),
    (Deaf, "a_change_is_delivered_and_understood", ("customers", "update")),
    (Welcomes, "a_delivery_that_is_not_proven_is_refused", ("customers", "update")),
    (Boasts, "capabilities_are_those_that_it_has", ()),
]


def check(name: str) -> Callable[..., Any]:
    (found,) = [one.run for one in CHECKS if one.run.__name__ == name]
    return found


def bench_of(adapter: type[ChargebeeAdapter]) -> type[Bench]:
    return type("BrokenBench", (ChargebeeBench,), {"adapter_class": adapter})


@pytest.mark.parametrize(
    ("adapter", "name", "case"), BROKEN, ids=lambda value: getattr(value, "__name__", None)
)
def test_what_is_broken_is_found(adapter: type[ChargebeeAdapter], name: str, case: tuple[str, ...]) -> None:
    with bench_of(adapter)() as running, pytest.raises(AssertionError):
        asyncio.run(check(name)(running, *case))


def test_a_suite_has_a_test_for_each_check_that_applies() -> None:
    tests = {name for name in dir(conformance(ChargebeeBench)) if name.startswith("test_")}
    applying = {f"test_{one.run.__name__}" for one in CHECKS if one.cases(ChargebeeBench)}
    assert tests == applying
    # It is not written to.
    assert {f"test_{one.run.__name__}" for one in CHECKS} - tests == {
        "test_what_was_written_reads_back_the_same",
        "test_a_create_whose_answer_is_lost_takes_effect_once",
        "test_each_write_is_reported_once_and_one_refusal_costs_no_other",
    }
