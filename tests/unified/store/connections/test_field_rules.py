from dataclasses import replace
from uuid import uuid4

import pytest

from unified.schema.field_rules import FieldRule
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
    vat = FieldRule("metadata.vat", "tax_number")
    region = FieldRule("metadata.region", "custom_fields.region")
    for rule in (vat, region, replace(vat, source_path="metadata.vat_id")):
        await field_rules.put(database, connection, "customers", rule)
    assert await field_rules.read(database, connection, "customers") == [
        region,
        FieldRule("metadata.vat_id", "tax_number"),
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
        ("orders", FieldRule("a", "tax_number")),
        ("customers", FieldRule("", "tax_number")),
        ("customers", FieldRule("a", "source_id")),
        ("invoices", FieldRule("a", "tax_number")),
    ):
        with pytest.raises(InvalidSettingError):
            await field_rules.put(database, connection, stream, rule)
    gone = replace(connection, id=uuid4())
    with pytest.raises(ConnectionNotFoundError):
        await field_rules.put(database, gone, "customers", FieldRule("a", "tax_number"))
