"""Records that can't be stored as they are: set aside with their raw form, back when they are repaired."""

import json
from typing import Any

import pytest

from tests.unified.sync.source import Source
from unified.sync.pull import PullResult

# An early answer that carries customers: a path, and how many of its answers come before.
EARLY = {"stripe": ("/v1/customers", 1), "hubspot": ("/crm/objects/2026-09/contacts/search", 2)}
NO_CUSTOMER: dict[str, dict[str, Any]] = {
    "stripe": {"object": "card"},
    "hubspot": {"properties": "none"},
}


async def sync_with(source: Source, *, full: bool = False, **broken: Any) -> PullResult:
    """A sync in which one record comes broken."""
    await source.configure(concurrency=1)
    path, skip = EARLY[source.connector]
    source.fault("bad_record", path, skip=skip, **broken)
    return await source.sync(full=full)


async def test_a_record_that_breaks_the_model_is_kept_aside_until_it_is_repaired(source: Source) -> None:
    broken = NO_CUSTOMER[source.connector]
    first = await sync_with(source, replace=broken)
    assert (first.rejected, first.inserted) == (1, len(source.expected()) - 1)
    assert first.read == len(source.expected())
    (reject,) = await source.rejects()
    assert reject.source_id is not None
    assert reject.source_id in source.expected()
    assert reject.source_id not in await source.stored()
    raw = json.loads(reject.raw)
    assert {name: raw[name] for name in broken} == broken
    assert reject.error
    assert (await source.state()).sync_status == "success"

    # It changes at the source, for the better.
    source.rename(reject.source_id, "Repaired")
    second = await source.sync()
    assert (second.inserted, second.rejected) == (1, 0)
    assert await source.rejects() == []
    await source.assert_agrees()


async def test_a_record_with_an_odd_field_is_stored_and_counted(source: Source) -> None:
    usual = await source.sync()
    odd = {"stripe": {"created": "soon"}, "hubspot": {"createdAt": "soon"}}[source.connector]
    result = await sync_with(source, full=True, replace=odd)
    assert (usual.unusable, result.unusable, result.rejected) == (0, 1, 0)
    kept = await source.query(
        "SELECT created_at, custom_fields ->> 'invalid_created_at' FROM {leaf} WHERE created_at IS NULL"
    )
    assert kept == [(None, "soon")]


async def test_a_stored_record_that_breaks_keeps_its_former_row(source: Source) -> None:
    await source.sync()
    result = await sync_with(source, full=True, replace=NO_CUSTOMER[source.connector])
    assert (result.rejected, result.unchanged, result.deleted) == (1, len(source.expected()) - 1, 0)
    assert len(await source.rejects()) == 1
    await source.assert_agrees()
    # The next refresh meets it as it was: the reject has no reason any more.
    assert (await source.sync(full=True)).unchanged == len(source.expected())
    assert await source.rejects() == []


async def test_a_record_without_an_id_is_kept_aside(source: Source) -> None:
    result = await sync_with(source, drop="id")
    assert (result.rejected, result.inserted) == (1, len(source.expected()) - 1)
    (reject,) = await source.rejects()
    assert (reject.source_id, reject.error) == (None, "the record has no readable id")
    assert "id" not in json.loads(reject.raw)
    # What the refresh that follows does not meet is gone, rejects included.
    await source.sync(full=True)
    assert await source.rejects() == []
    await source.assert_agrees()


@pytest.mark.parametrize("unreadable", [17, "", None, "cus_\0"])
async def test_an_id_that_can_be_none_is_none(stripe: Source, unreadable: object) -> None:
    result = await sync_with(stripe, replace={"id": unreadable})
    assert (result.rejected, result.inserted) == (1, len(stripe.expected()) - 1)
    (reject,) = await stripe.rejects()
    assert (reject.source_id, json.loads(reject.raw)["id"]) == (None, unreadable)


def text_with_nul(source: Source) -> dict[str, Any]:
    field = {"stripe": "name", "hubspot": "properties.lastname"}[source.connector]
    return {field: "nul \0 here"}


async def test_text_with_nul_is_stored_without_and_kept_with_it(source: Source) -> None:
    result = await sync_with(source, replace=text_with_nul(source))
    assert (result.rejected, result.inserted) == (0, len(source.expected()))
    rows = await source.query("SELECT name, raw_data::text FROM {leaf} WHERE name LIKE '%%nul  here'")
    ((_, raw),) = rows
    assert "nul \\uFfFd here" in raw
    everywhere = await source.query("SELECT count(*) FROM {leaf} WHERE raw_data ->> 'id' IS NOT NULL")
    assert everywhere == [(len(source.expected()),)]
    names = await source.query("SELECT raw_data::jsonb::text FROM {leaf} WHERE name LIKE '%%nul  here'")
    assert "nul \ufffd here" in names[0][0]


async def test_what_postgresql_refuses_is_set_aside_and_the_rest_committed(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second net, under a mapping that lets something slip."""
    monkeypatch.setattr("unified.kit.decoding._without_nul", lambda raw: raw)
    result = await sync_with(source, replace=text_with_nul(source))
    assert (result.rejected, result.inserted) == (1, len(source.expected()) - 1)
    (reject,) = await source.rejects()
    assert reject.error.startswith(f"PostgreSQL can't hold the name of record {reject.source_id}")
    assert "here" not in reject.error
