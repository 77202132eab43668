"""A connection's own field rules: what its workspace maps beyond the adapter's mapping of a stream.

Each change of one has its entry in the audit log. What a rule is: `unified.kit.mapping`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb
from pydantic import ValidationError

from unified.kit.errors import ConfigurationError
from unified.kit.mapping.compiled import check
from unified.kit.mapping.rules import Rule, described
from unified.kit.registry import get_adapter
from unified.store.connections.changes import log
from unified.store.connections.rows import ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.rows import explained, fetch


@dataclass(frozen=True, slots=True)
class _Row:
    target_field: str
    rule: dict[str, Any]


async def read(db: Database, connection: ConnectionSummary, stream: str) -> list[Rule]:
    """The rules of a stream, by target.

    Raises:
        InvalidSettingError: If a stored rule is not one of this release's language.
    """
    async with db.workspace(connection.workspace_id) as conn:
        rows = await fetch(
            conn,
            _Row,
            """
            SELECT target_field, rule FROM schema_mappings
            WHERE connector_config_id = %(id)s AND stream = %(stream)s AND is_active ORDER BY target_field
            """,
            id=connection.id,
            stream=stream,
        )
    return [_rule(connection, stream, row) for row in rows]


def _rule(connection: ConnectionSummary, stream: str, row: _Row) -> Rule:
    try:
        return Rule.model_validate(row.rule)
    except ValidationError as error:
        raise InvalidSettingError(
            f"the rule of {connection.key} that fills {row.target_field!r} of {stream} can't be read "
            f"({described(error)}): set it anew, or remove it with `unified mappings remove`"
        ) from None


def with_new(rules: Sequence[Rule], new: Sequence[Rule]) -> list[Rule]:
    """The rules of a stream once new ones are set: each replaces the one that fills the same field."""
    replaced = {rule.target for rule in new}
    kept = [rule for rule in rules if rule.target not in replaced]
    return sorted([*kept, *new], key=lambda rule: rule.target)


async def put(
    db: Database, connection: ConnectionSummary, stream: str, *rules: Rule, actor: str = "unified"
) -> None:
    """Set rules, all or none; each replaces the one that fills the same field. The audit log says that ``actor`` did.

    Raises:
        InvalidSettingError: If the connector has no such stream, or the rules can't work for its model or beside the
            others.
        ConnectionNotFoundError: If the connection is gone.
    """
    try:
        model = get_adapter(connection.connector).stream(stream).entity.model
        check(model, rules)
        check(model, with_new(await read(db, connection, stream), rules))
    except ConfigurationError as error:
        raise InvalidSettingError(str(error)) from None
    async with db.workspace(connection.workspace_id) as conn:
        for rule in rules:
            with explained("field rule", without=ConnectionNotFoundError(connection.key)):
                await conn.execute(
                    """
                    INSERT INTO schema_mappings (workspace_id, connector_config_id, stream, target_field, rule)
                    VALUES (%s, %s, %s, %s, %s)
                    ON CONFLICT (workspace_id, connector_config_id, stream, target_field)
                    DO UPDATE SET rule = excluded.rule, is_active = true, updated_at = now()
                    """,
                    (connection.workspace_id, connection.id, stream, rule.target, Jsonb(rule.as_json())),
                )
            await log(conn, connection, "mapping.set", actor, {"stream": stream, **_audited(rule)})


def _audited(rule: Rule) -> dict[str, Any]:
    """What the audit log says of a rule."""
    return {"source_path": rule.source, "target_field": rule.target, "rule": rule.as_json()}


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
