"""A connection's own field rules: what its workspace maps beyond the adapter's mapping of a stream.

Each change of one has its entry in the audit log. What a rule is and how it is applied: `unified.schema.field_rules`.
"""

from unified.kit.errors import ConfigurationError
from unified.kit.registry import get_adapter
from unified.schema.field_rules import FieldRule
from unified.store.connections.changes import log
from unified.store.connections.rows import ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.rows import explained, fetch


async def read(db: Database, connection: ConnectionSummary, stream: str) -> list[FieldRule]:
    """The rules of a stream, by target."""
    async with db.workspace(connection.workspace_id) as conn:
        return await fetch(
            conn,
            FieldRule,
            """
            SELECT source_path, target_field FROM schema_mappings
            WHERE connector_config_id = %(id)s AND stream = %(stream)s AND is_active ORDER BY target_field
            """,
            id=connection.id,
            stream=stream,
        )


async def put(
    db: Database, connection: ConnectionSummary, stream: str, rule: FieldRule, *, actor: str = "unified"
) -> None:
    """Add a rule, or replace the one that fills the same field; the audit log says that ``actor`` did.

    Raises:
        InvalidSettingError: If the connector has no such stream, or the rule can't work for its model.
        ConnectionNotFoundError: If the connection is gone.
    """
    if not rule.source_path:
        raise InvalidSettingError("a field rule needs a source path, such as metadata.vat_id")
    try:
        rule.check(get_adapter(connection.connector).stream(stream).entity.model)
    except (ConfigurationError, ValueError) as error:
        raise InvalidSettingError(str(error)) from None
    async with db.workspace(connection.workspace_id) as conn:
        with explained("field rule", without=ConnectionNotFoundError(connection.key)):
            await conn.execute(
                """
                INSERT INTO schema_mappings
                    (workspace_id, connector_config_id, stream, source_path, target_field)
                VALUES (%s, %s, %s, %s, %s)
                ON CONFLICT (workspace_id, connector_config_id, stream, target_field)
                DO UPDATE SET source_path = excluded.source_path, is_active = true, updated_at = now()
                """,
                (connection.workspace_id, connection.id, stream, rule.source_path, rule.target_field),
            )
        detail = {"stream": stream, "source_path": rule.source_path, "target_field": rule.target_field}
        await log(conn, connection, "mapping.set", actor, detail)


async def remove(
    db: Database, connection: ConnectionSummary, stream: str, target_field: str, *, actor: str = "unified"
) -> None:
    """Remove the rule that fills a field; the audit log says that ``actor`` did.

    Raises:
        InvalidSettingError: If there is none.
    """
    async with db.workspace(connection.workspace_id) as conn:
        done = await conn.execute(
            "DELETE FROM schema_mappings WHERE connector_config_id = %s AND stream = %s AND target_field = %s",
            (connection.id, stream, target_field),
        )
        if not done.rowcount:
            raise InvalidSettingError(f"no rule of {connection.key} fills {target_field!r} of {stream}")
        detail = {"stream": stream, "target_field": target_field}
        await log(conn, connection, "mapping.remove", actor, detail)
