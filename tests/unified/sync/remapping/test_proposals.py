"""Rules are proposed for what a connector leaves out, tried on what is stored, and in force once a person says so."""

import pytest

from tests.unified.sync.source import Source
from unified.kit.mapping.rules import Rule
from unified.store import audit
from unified.store.connections import field_rules
from unified.store.errors import InvalidSettingError
from unified.sync.remapping.proposals import decide, propose_rules
from unified.sync.remapping.remap import remap

VAT = Rule(target="tax_number", source="metadata.vat_number")


async def loaded(stripe: Source) -> Source:
    """Customers of whom each has a VAT number and notes where nobody maps them."""
    for place, customer_id in enumerate(list(stripe.expected())):
        extra = {"vat_number": f"CHE-{place}", "notes": "called twice", "hash": "x"}
        stripe.change("update_customer", customer_id, metadata=extra, description=None)
    await stripe.sync()
    return stripe


async def test_a_person_accepts_changes_or_declines_what_is_proposed(stripe: Source) -> None:
    await loaded(stripe)
    stripe.sandbox.stats.reset()
    place = (stripe.db, stripe.connection, "customers")

    found = await propose_rules(*place, limit=1000)

    assert stripe.requests == 0
    proposed = {one.rule.target: one for one in found.rules}
    assert proposed["tax_number"].rule == VAT
    assert proposed["tax_number"].trial.filled == found.records == len(stripe.expected())
    assert proposed["description"].rule.source == "metadata.notes"
    assert "email" not in proposed, "the connector fills it"
    assert "metadata.hash" in found.unmatched
    assert await field_rules.read(*place) == [], "nothing is in force before a person says so"

    await decide(*place, accept=[VAT], decline=["description"], actor="ann")
    assert await field_rules.read(*place) == [VAT]
    again = await propose_rules(*place)
    assert "tax_number" not in {one.rule.target for one in again.rules}
    assert again.declined == ["description"]
    done = {one.stream: one for one in await remap(stripe.db, stripe.connection)}["customers"]
    assert done.rejected == 0
    assert await stripe.query("SELECT count(*) FROM {leaf} WHERE tax_number LIKE 'CHE-%%'") == [
        (found.records,)
    ]

    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        entries = [one for one in await audit.entries(conn, limit=20) if one.action.startswith("mapping.")]
        rows = await conn.execute(
            "SELECT target_field, is_active, human_verified, confidence_score > 0.8, decided_by, version, "
            "length(spec_hash) FROM schema_mappings WHERE connector_config_id = %s ORDER BY 1",
            (stripe.connection.id,),
        )
        assert await rows.fetchall() == [
            ("description", False, True, True, "ann", 1, 64),
            ("tax_number", True, True, True, "ann", 1, 64),
        ]
    assert [(one.action, one.actor) for one in entries] == [
        ("mapping.decline", "ann"),
        ("mapping.set", "ann"),
    ]

    # Whatever was declined may still be set by hand, and a new shape asks again.
    changed = Rule(target="description", source="metadata.notes", steps=[{"do": "upper"}])
    await decide(*place, accept=[changed], actor="bob")
    assert changed in await field_rules.read(*place)


async def test_a_declined_rule_is_proposed_again_when_its_field_is_another(stripe: Source) -> None:
    await loaded(stripe)
    place = (stripe.db, stripe.connection, "customers")
    await decide(*place, decline=["tax_number"], actor="ann")
    assert (await propose_rules(*place)).declined == ["tax_number"]
    for customer_id in list(stripe.expected()):
        stripe.change("update_customer", customer_id, metadata={"vat_number": 7})
    await stripe.sync()
    again = await propose_rules(*place)
    assert again.declined == []
    assert "tax_number" in {one.rule.target for one in again.rules}


async def test_what_can_not_be_decided_changes_nothing(stripe: Source) -> None:
    await loaded(stripe)
    place = (stripe.db, stripe.connection, "customers")
    with pytest.raises(InvalidSettingError, match="no rule is proposed that fills 'phone'"):
        await decide(*place, accept=[VAT], decline=["phone"], actor="ann")
    with pytest.raises(InvalidSettingError, match="accept or decline"):
        await decide(*place, accept=[VAT], decline=["tax_number"], actor="ann")
    with pytest.raises(InvalidSettingError, match="nowhere"):
        await propose_rules(stripe.db, stripe.connection, "nowhere")
    assert await field_rules.read(*place) == []
