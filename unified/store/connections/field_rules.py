"""A connection's own field rules: what its workspace maps beyond the adapter's mapping of a stream.

Each change of one has its entry in the audit log. A rule that was proposed and declined is kept as well, inactive, so
that it is not proposed again. What a rule is: `unified.kit.mapping`; what proposes one: `unified.sync.remapping`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from unified.kit.errors import ConfigurationError
from unified.kit.registry import get_adapter
from unified.store.connections.changes import log
from unified.store.connections.rows import ConnectionNotFoundError, ConnectionSummary
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.rows import explained, fetch

if TYPE_CHECKING:
    from unified.kit.mapping.rules import Rule


@dataclass(frozen=True, slots=True)
class Basis:
    """What a proposal rested on that somebody decided about.

    Attributes:
        confidence: How sure it was, 0 to 1.
        spec_hash: Of the shape of the field that it reads.
    """

    confidence: float
    spec_hash: str


@dataclass(frozen=True, slots=True)
class Declined:
    """A proposal that somebody declined: the rule, and the shape of the field that it would have read."""

    rule: dict[str, Any]
    spec_hash: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    target_field: str
    rule: dict[str, Any]


async def read(db: Database, connection: ConnectionSummary, stream: str) -> "list[Rule]":
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


def _rule(connection: ConnectionSummary, stream: str, row: _Row) -> "Rule":
    from unified.kit.mapping.rules import Rule, described  # noqa: PLC0415 - most streams have no rules

    try:
        return Rule.model_validate(row.rule)
    except ValidationError as error:
        raise InvalidSettingError(
            f"the rule of {connection.key} that fills {row.target_field!r} of {stream} can't be read "
            f"({described(error)}): set it anew, or remove it with `unified mappings remove`"
        ) from None


def with_new(rules: "Sequence[Rule]", new: "Sequence[Rule]") -> "list[Rule]":
    """The rules of a stream once new ones are set: each replaces the one that fills the same field."""
    replaced = {rule.target for rule in new}
    kept = [rule for rule in rules if rule.target not in replaced]
    return sorted([*kept, *new], key=lambda rule: rule.target)


async def put(
    db: Database,
    connection: ConnectionSummary,
    stream: str,
    *rules: "Rule",
    actor: str = "unified",
    bases: Mapping[str, Basis] | None = None,
) -> None:
    """Set rules, all or none; each replaces the one that fills the same field. The audit log says that ``actor`` did.

    Args:
        db: Where they are kept.
        connection: Whose rules.
        stream: Of which stream.
        rules: Which ones.
        actor: Who decided it.
        bases: Of those that were proposed, what the proposal rested on, by target.

    Raises:
        InvalidSettingError: If the connector has no such stream, or the rules can't work for its model or beside the
            others.
        ConnectionNotFoundError: If the connection is gone.
    """
    from unified.kit.mapping.compiled import check  # noqa: PLC0415 - each sync imports this module to read rules

    try:
        model = get_adapter(connection.connector).stream(stream).entity.model
        check(model, rules)
        check(model, with_new(await read(db, connection, stream), rules))
    except ConfigurationError as error:
        raise InvalidSettingError(str(error)) from None
    async with db.workspace(connection.workspace_id) as conn:
        for rule in rules:
            basis = (bases or {}).get(rule.target)
            await _store(conn, connection, stream, rule, basis, actor, is_active=True)
            await log(conn, connection, "mapping.set", actor, _audited(stream, rule, basis))


async def replace(
    db: Database,
    connection: ConnectionSummary,
    stream: str,
    rules: "Sequence[Rule]",
    *,
    actor: str = "unified",
) -> None:
    """Have these be the rules of a stream, and no others; the audit log says what ``actor`` changed.

    Raises:
        InvalidSettingError, ConnectionNotFoundError: As :func:`put` does; nothing is changed then.
    """
    from unified.kit.mapping.compiled import check  # noqa: PLC0415 - each sync imports this module to read rules

    try:
        check(get_adapter(connection.connector).stream(stream).entity.model, rules)
    except ConfigurationError as error:
        raise InvalidSettingError(str(error)) from None
    before = {rule.target: rule.as_json() for rule in await read(db, connection, stream)}
    async with db.workspace(connection.workspace_id) as conn:
        for target in before.keys() - {rule.target for rule in rules}:
            await _remove(conn, connection, stream, target, actor)
        for rule in rules:
            if before.get(rule.target) != rule.as_json():
                await _store(conn, connection, stream, rule, None, actor, is_active=True)
                await log(conn, connection, "mapping.set", actor, _audited(stream, rule, None))


async def decline(
    db: Database,
    connection: ConnectionSummary,
    stream: str,
    proposed: "Sequence[tuple[Rule, Basis]]",
    *,
    actor: str = "unified",
) -> None:
    """Remember that proposed rules are not wanted, all or none; the audit log says that ``actor`` did.

    A rule in force that fills the same field stays.
    """
    async with db.workspace(connection.workspace_id) as conn:
        for rule, basis in proposed:
            await _store(conn, connection, stream, rule, basis, actor, is_active=False)
            await log(conn, connection, "mapping.decline", actor, _audited(stream, rule, basis))


async def declined(db: Database, connection: ConnectionSummary, stream: str) -> dict[str, Declined]:
    """The proposals of a stream that somebody declined, by target."""
    async with db.workspace(connection.workspace_id) as conn:
        rows = await conn.execute(
            "SELECT target_field, rule, spec_hash FROM schema_mappings "
            "WHERE connector_config_id = %s AND stream = %s AND NOT is_active",
            (connection.id, stream),
        )
        return {target: Declined(rule, spec_hash) for target, rule, spec_hash in await rows.fetchall()}


async def _store(
    conn: AsyncConnection[Any],
    connection: ConnectionSummary,
    stream: str,
    rule: "Rule",
    basis: Basis | None,
    actor: str,
    *,
    is_active: bool,
) -> None:
    values = {
        "workspace": connection.workspace_id,
        "connection": connection.id,
        "stream": stream,
        "target": rule.target,
        "rule": Jsonb(rule.as_json()),
        "is_active": is_active,
        "actor": actor,
        "confidence": None if basis is None else round(basis.confidence, 2),
        "spec_hash": None if basis is None else basis.spec_hash,
    }
    with explained("field rule", without=ConnectionNotFoundError(connection.key)):
        await conn.execute(
            """
            INSERT INTO schema_mappings AS stored (workspace_id, connector_config_id, stream, target_field, rule,
                is_active, decided_by, decided_at, confidence_score, spec_hash)
            VALUES (%(workspace)s, %(connection)s, %(stream)s, %(target)s, %(rule)s,
                %(is_active)s, %(actor)s, now(), %(confidence)s, %(spec_hash)s)
            ON CONFLICT (workspace_id, connector_config_id, stream, target_field)
            DO UPDATE SET rule = excluded.rule, is_active = excluded.is_active, version = stored.version + 1,
                decided_by = excluded.decided_by, decided_at = excluded.decided_at, updated_at = now(),
                confidence_score = excluded.confidence_score, spec_hash = excluded.spec_hash
            WHERE excluded.is_active OR NOT stored.is_active
            """,
            values,
        )


def _audited(stream: str, rule: "Rule", basis: Basis | None) -> dict[str, Any]:
    """What the audit log says of a rule."""
    said: dict[str, Any] = {
        "stream": stream,
        "source_path": rule.source,
        "target_field": rule.target,
        "rule": rule.as_json(),
    }
    if basis is not None:
        said |= {"confidence_score": round(basis.confidence, 2), "spec_hash": basis.spec_hash}
    return said


async def remove(
    db: Database, connection: ConnectionSummary, stream: str, target_field: str, *, actor: str = "unified"
) -> None:
    """Remove the rule that fills a field; the audit log says that ``actor`` did.

    Raises:
        InvalidSettingError: If there is none.
    """
    async with db.workspace(connection.workspace_id) as conn:
        if not await _remove(conn, connection, stream, target_field, actor):
            raise InvalidSettingError(f"no rule of {connection.key} fills {target_field!r} of {stream}")


async def _remove(
    conn: AsyncConnection[Any], connection: ConnectionSummary, stream: str, target_field: str, actor: str
) -> bool:
    """Remove a rule; whether there was one."""
    done = await conn.execute(
        "DELETE FROM schema_mappings WHERE connector_config_id = %s AND stream = %s AND target_field = %s",
        (connection.id, stream, target_field),
    )
    if done.rowcount:
        detail = {"stream": stream, "target_field": target_field}
        await log(conn, connection, "mapping.remove", actor, detail)
    return bool(done.rowcount)
