"""What a database holds, counted and hashed as any server says it, and two databases compared by it."""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection, sql

from unified.kit.errors import counted
from unified.store.backups.manifest import Contents, Table

# A row's text has to be the same on either server, and a role that policies bind gets an error instead of a part.
_SESSION = """
    SET row_security = off; SET search_path = ''; SET timezone = 'UTC'; SET datestyle = 'ISO, MDY';
    SET intervalstyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex'; SET lc_monetary = 'C';
    SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0
"""
_TABLES = """
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname = ANY(%s) ORDER BY 1, 2
"""
_SEQUENCES = """
    SELECT schemaname, sequencename, coalesce(last_value, 0) FROM pg_catalog.pg_sequences
    WHERE schemaname = ANY(%s) ORDER BY 1, 2
"""
# Sixty bits of each row's MD5: it compares copies, and keeps no secret.
_TABLE = """
    SELECT count(*), coalesce(sum(('x' || left(md5("the row"::text), 15))::bit(60)::bigint), 0)::text
    FROM ONLY {} AS "the row"
"""
# Of constraints not those on NULL, which PostgreSQL counts among them from version 18 on.
_OBJECTS = """
    WITH ours AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = ANY(%s)),
    relations AS (SELECT c.* FROM pg_catalog.pg_class AS c JOIN ours ON ours.oid = c.relnamespace)
    SELECT CASE relkind WHEN 'i' THEN 'indexes' WHEN 'I' THEN 'indexes' WHEN 'v' THEN 'views'
        WHEN 'p' THEN 'partitioned tables' WHEN 'S' THEN 'sequences' WHEN 'm' THEN 'materialized views'
        ELSE 'tables' END, count(*) FROM relations GROUP BY 1
    UNION ALL SELECT 'policies', count(*) FROM pg_catalog.pg_policy JOIN relations ON relations.oid = polrelid
    UNION ALL SELECT 'tables with row level security', count(*) FROM relations WHERE relrowsecurity
    UNION ALL SELECT 'tables with forced row level security', count(*) FROM relations WHERE relforcerowsecurity
    UNION ALL SELECT 'relations with rights', count(*) FROM relations WHERE relacl IS NOT NULL
    UNION ALL SELECT 'functions', count(*) FROM pg_catalog.pg_proc JOIN ours ON ours.oid = pronamespace
    UNION ALL SELECT 'triggers', count(*) FROM pg_catalog.pg_trigger JOIN relations ON relations.oid = tgrelid
        WHERE NOT tgisinternal
    UNION ALL SELECT 'constraints', count(*) FROM pg_catalog.pg_constraint JOIN ours ON ours.oid = connamespace
        WHERE contype <> 'n'
"""
_LZ4_COLUMNS = """
    SELECT format('%%I.%%I', n.nspname, c.relname), a.attname::text FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE a.attcompression = 'l' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND n.nspname = ANY(%s)
    ORDER BY 1, 2
"""
_HAS_LZ4 = (
    "SELECT 'lz4' = ANY (enumvals) FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression'"
)
_SHOWN = 5


def prepare(conn: Connection[Any]) -> None:
    """Have a session write rows as every other one that is compared does. It fails where policies would hide rows."""
    for setting in _SESSION.split(";"):
        conn.execute(setting.encode())


def measure(conn: Connection[Any], schemas: Sequence[str]) -> Contents:
    """Count and hash all that a database holds in some schemas, a table at a time.

    Args:
        conn: A prepared session, of a login that no policy binds.
        schemas: Names of the schemas.
    """
    names = list(schemas)
    tables = {}
    for schema, name in conn.execute(_TABLES, (names,)).fetchall():
        counted = conn.execute(sql.SQL(_TABLE).format(sql.Identifier(schema, name))).fetchone()
        assert counted is not None  # noqa: S101 - an aggregate gives one row
        tables[f"{schema}.{name}"] = Table(*counted)
    return Contents(tables, sequences(conn, names), dict(conn.execute(_OBJECTS, (names,)).fetchall()))


def sequences(conn: Connection[Any], schemas: Sequence[str]) -> dict[str, int]:
    """Where each sequence is now, by name with its schema, whatever moment the transaction sees."""
    found = conn.execute(_SEQUENCES, (list(schemas),)).fetchall()
    return {f"{schema}.{name}": value for schema, name, value in found}


def lz4_columns(conn: Connection[Any], schemas: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Which columns are compressed by lz4, which not every server is built with: quoted table, column."""
    return tuple(conn.execute(_LZ4_COLUMNS, (list(schemas),)).fetchall())


def has_lz4(conn: Connection[Any]) -> bool:
    """Whether the server is built with lz4."""
    return conn.execute(_HAS_LZ4).fetchone() == (True,)


def compress_by_lz4(conn: Connection[Any], columns: Sequence[tuple[str, str]]) -> None:
    """Have columns compressed by lz4 from now on."""
    for table, column in columns:
        statement = sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET COMPRESSION lz4")
        conn.execute(statement.format(sql.SQL(table), sql.Identifier(column)))


def differences(wanted: Contents, found: Contents) -> list[str]:
    """What a copy lacks or has too much.

    Args:
        wanted: What was copied.
        found: What the copy holds.

    Returns:
        A line for each difference; empty where the copy is whole.
    """
    lines = []
    for name in sorted({*wanted.tables, *found.tables}):
        before, after = wanted.tables.get(name), found.tables.get(name)
        if before is None or after is None:
            lines.append(f"{name} is {'missing' if after is None else 'too many'}")
        elif before.rows != after.rows:
            lines.append(f"{name} has {counted(after.rows, 'row')} instead of {before.rows:,}")
        elif before != after:
            lines.append(f"rows of {name} differ")
    lines += [
        f"the sequence {name} is behind"
        for name, value in wanted.sequences.items()
        if found.sequences.get(name, -1) < value
    ]
    lines += [
        f"{found.objects.get(kind, 0)} {kind} instead of {wanted.objects.get(kind, 0)}"
        for kind in sorted({*wanted.objects, *found.objects})
        if found.objects.get(kind, 0) != wanted.objects.get(kind, 0)
    ]
    return lines


def said(lines: Sequence[str]) -> str:
    """Differences as a part of a message: the first few, and how many more there are."""
    more = len(lines) - _SHOWN
    return "; ".join([*lines[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])
