"""Rules are tried on what is stored: what each does, what would change, and nothing does."""

import pytest

from tests.unified.sync.source import Source
from unified.kit.mapping.rules import Rule
from unified.store.connections import field_rules
from unified.store.errors import InvalidSettingError
from unified.sync.remapping.remap import remap
from unified.sync.remapping.trials import try_rules

PATHS = {"stripe": "created", "hubspot": "properties.lifecyclestage"}
EMAILS = {"stripe": "email", "hubspot": "properties.email"}


async def test_what_a_preview_says_is_what_a_remap_does(source: Source) -> None:
    await source.sync()
    everything = "SELECT * FROM {leaf} ORDER BY source_id"
    before = await source.query(everything)
    rules = [
        Rule(target="custom_fields.extra", source=PATHS[source.connector]),
        Rule(target="description", source=EMAILS[source.connector]),
    ]
    source.sandbox.stats.reset()

    found = await try_rules(source.db, source.connection, "customers", rules)

    assert source.requests == 0
    assert await source.query(everything) == before
    assert await field_rules.read(source.db, source.connection, "customers") == []
    assert found.stored == found.trial.records == len(source.expected())
    assert (found.newly_rejected, found.rescued) == (0, 0)
    extra, described = found.trial.rules
    assert (extra.filled, extra.rejected) == (found.stored, 0)
    assert found.fields["custom_fields.extra"].filled == found.stored
    description = found.fields["description"]
    assert description.filled + description.changed == described.filled

    await field_rules.put(source.db, source.connection, "customers", *rules)
    done = {result.stream: result for result in await remap(source.db, source.connection)}["customers"]
    # A remap writes every row anew, as each is of another version of the mapping.
    assert (done.read, done.rejected) == (found.stored, 0)
    after = await source.query("SELECT source_id, custom_fields -> 'extra' FROM {leaf} ORDER BY source_id")
    shown = {source_id: would_be for source_id, _, would_be in found.fields["custom_fields.extra"].examples}
    assert shown.items() <= dict(after).items()
    assert (await try_rules(source.db, source.connection, "customers", rules)).changed == 0


async def test_records_that_would_be_set_aside_or_come_back_are_counted(stripe: Source) -> None:
    await stripe.sync()
    broken = Rule(target="currency", source="email", required=True)
    with_email = sum(bool(raw["email"]) for raw in stripe.expected().values())

    found = await try_rules(stripe.db, stripe.connection, "customers", [broken])
    assert (found.newly_rejected, found.trial.rules[0].rejected) == (with_email, with_email)
    assert list(found.trial.rejected) == ["currency: a currency's code has three letters"]
    kept = await try_rules(
        stripe.db, stripe.connection, "customers", [broken.model_copy(update={"required": False})]
    )
    assert (kept.newly_rejected, kept.unusable) == (0, with_email)

    await field_rules.put(stripe.db, stripe.connection, "customers", broken)
    await remap(stripe.db, stripe.connection)
    mended = await try_rules(
        stripe.db, stripe.connection, "customers", [Rule(target="currency", source="currency")]
    )
    assert (mended.rescued, mended.newly_rejected) == (with_email, 0)


async def test_only_so_many_are_looked_at(stripe: Source) -> None:
    await stripe.sync()
    found = await try_rules(
        stripe.db, stripe.connection, "customers", [Rule(target="description", source="id")], limit=7
    )
    assert (found.trial.records, found.changed) == (7, 7)
    assert found.stored == len(stripe.expected())


async def test_what_can_not_be_tried_is_refused(stripe: Source) -> None:
    rule = Rule(target="description", source="id")
    with pytest.raises(InvalidSettingError, match="no stream 'orders'"):
        await try_rules(stripe.db, stripe.connection, "orders", [rule])
    with pytest.raises(InvalidSettingError, match="can't fill 'total'"):
        await try_rules(stripe.db, stripe.connection, "customers", [Rule(target="total", source="id")])
