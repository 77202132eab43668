from dataclasses import replace
from uuid import uuid4

import pytest

from unified.kit.mapping.rules import Rule
from unified.store import audit
from unified.store.connections import field_rules
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection, ConnectionNotFoundError
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.workspaces import workspaces


@pytest.fixture
async def connection(database: Database) -> Connection:
    registry = Registry(database)
    acme = await workspaces.create(database, "acme")
    return await registry.add_connection(acme.id, "stripe", "main")


async def test_field_rules(database: Database, connection: Connection) -> None:
    vat = Rule(source="metadata.vat", target="tax_number")
    region = Rule(source="metadata.region", target="custom_fields.region")
    for rule in (vat, region, vat.model_copy(update={"source": "metadata.vat_id"})):
        await field_rules.put(database, connection, "customers", rule)
    assert await field_rules.read(database, connection, "customers") == [
        region,
        Rule(source="metadata.vat_id", target="tax_number"),
    ]
    assert await field_rules.read(database, connection, "invoices") == []
    await field_rules.remove(database, connection, "customers", "tax_number", actor="ann")
    assert await field_rules.read(database, connection, "customers") == [region]
    with pytest.raises(InvalidSettingError, match="no rule of acme/main fills 'tax_number'"):
        await field_rules.remove(database, connection, "customers", "tax_number")
    async with database.workspace(connection.workspace_id) as conn:
        entries = await audit.entries(conn, limit=2)
    assert [(entry.action, entry.actor, dict(entry.detail or {})["target_field"]) for entry in entries] == [
        ("mapping.remove", "ann", "tax_number"),
        ("mapping.set", "unified", "tax_number"),
    ]


async def test_a_rule_that_can_not_work_is_refused(database: Database, connection: Connection) -> None:
    for stream, rule in (
        ("orders", Rule(source="a", target="tax_number")),
        ("customers", Rule(source="a[", target="tax_number")),
        ("customers", Rule(target="tax_number")),
        ("customers", Rule(source="a", target="source_id")),
        ("invoices", Rule(source="a", target="tax_number")),
    ):
        with pytest.raises(InvalidSettingError):
            await field_rules.put(database, connection, stream, rule)
    whole = Rule(source="address", target="billing_address")
    part = Rule(source="city", target="billing_address.city")
    await field_rules.put(database, connection, "customers", whole)
    with pytest.raises(InvalidSettingError, match="a rule fills billing_address as a whole"):
        await field_rules.put(database, connection, "customers", part)
    with pytest.raises(InvalidSettingError, match=r"rule 2 \(nonsense\)"):
        await field_rules.put(
            database,
            connection,
            "customers",
            Rule(source="a", target="name"),
            Rule(source="a", target="nonsense"),
        )
    assert await field_rules.read(database, connection, "customers") == [whole]
    gone = replace(connection, id=uuid4())
    with pytest.raises(ConnectionNotFoundError):
        await field_rules.put(database, gone, "customers", Rule(source="a", target="tax_number"))


async def test_a_stored_rule_of_another_release_is_named(database: Database, connection: Connection) -> None:
    await field_rules.put(database, connection, "customers", Rule(source="a", target="name"))
    async with database.workspace(connection.workspace_id) as conn:
        await conn.execute("""UPDATE schema_mappings SET rule = rule || '{"steps": [{"do": "later"}]}'""")
    with pytest.raises(
        InvalidSettingError, match=r"acme/main that fills 'name' of customers can't be read \(steps"
    ):
        await field_rules.read(database, connection, "customers")
    await field_rules.remove(database, connection, "customers", "name")
    assert await field_rules.read(database, connection, "customers") == []
