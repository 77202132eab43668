import asyncio
import base64
import io
import logging
import pickle
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.connections.registry import Registry
from unified.store.connections.rows import Connection, ConnectionNotFoundError
from unified.store.database import Database
from unified.store.errors import StoreError
from unified.store.secrets.credentials.errors import (
    CredentialError,
    CredentialExpiredError,
    CredentialNotFoundError,
    CredentialTamperedError,
    InvalidCredentialError,
)
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import (
    DamagedDataKeyError,
    LocalKeyProvider,
    UnknownMasterKeyError,
    fingerprint,
    generate_key,
)
from unified.store.secrets.opening import StoredConnections
from unified.store.workspaces import workspaces

MASTER_KEY = generate_key()
KEY = Secret("sk_test_fake_1")
FUTURE = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def registry(database: Database) -> Registry:
    return Registry(database)


@pytest.fixture
def store(database: Database) -> CredentialStore:
    return CredentialStore(database, LocalKeyProvider([MASTER_KEY]))


@pytest.fixture
async def connection(registry: Registry, database: Database) -> Connection:
    acme = await workspaces.create(database, "acme")
    return await registry.add_connection(acme.id, "stripe", "stripe")


@pytest.fixture
def superuser(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Who can change any row: an attacker with the database in hand, or a slip of the hand."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


async def put(store: CredentialStore, connection: Connection, **fields: str) -> None:
    secrets = {field: Secret(value) for field, value in fields.items()}
    await store.put(connection.workspace_id, connection.id, "api_key", secrets)


async def reveal(store: CredentialStore, connection: Connection) -> dict[str, str]:
    secrets = await store.reveal(connection.workspace_id, connection.id, actor="tests", purpose="test")
    return {field: secret.reveal() for field, secret in secrets.items()}


async def log(database: Database, workspace_id: UUID) -> list[audit.AuditEntry]:
    async with database.workspace(workspace_id) as conn:
        entries = await audit.entries(conn)
    return [entry for entry in entries if entry.action.startswith("credential.")]


async def test_what_is_put_is_revealed(store: CredentialStore, connection: Connection) -> None:
    values = {"api_key": "sk_test_fake_1", "webhook_secret": "ключ|" * 500}
    await put(store, connection, **values)
    assert await reveal(store, connection) == values


async def test_a_new_value_is_the_next_version_and_leaves_the_others(
    store: CredentialStore, connection: Connection
) -> None:
    await put(store, connection, api_key="one", webhook_secret="same")
    await put(store, connection, api_key="two")
    assert await reveal(store, connection) == {"api_key": "two", "webhook_secret": "same"}
    described = await store.describe(connection.workspace_id, connection.id)
    assert [(info.field, info.kind, info.version) for info in described] == [
        ("api_key", "api_key", 2),
        ("webhook_secret", "api_key", 1),
    ]


async def test_puts_at_once_lose_no_version_and_make_one_data_key(
    store: CredentialStore, connection: Connection, registry: Registry, superuser: psycopg.Connection[Any]
) -> None:
    other = await registry.add_connection(connection.workspace_id, "hubspot", "hubspot")
    both = [connection, other] * 4
    await asyncio.gather(*(put(store, each, api_key=f"value {n}") for n, each in enumerate(both)))
    for each in (connection, other):
        assert [info.version for info in await store.describe(each.workspace_id, each.id)] == [4]
        await reveal(store, each)
    assert superuser.execute("SELECT count(*) FROM workspace_keys").fetchone() == (1,)


@pytest.mark.parametrize(
    ("kind", "fields", "expires_at"),
    [
        ("", {"api_key": KEY}, None),
        ("password", {"api_key": KEY}, None),
        ("api_key", {}, None),
        ("api_key", {"": KEY}, None),
        ("api_key", {"API Key": KEY}, None),
        ("api_key", {"api_key|2": KEY}, None),
        ("api_key", {"api_key": "sk_test_fake_plain"}, None),
        ("api_key", {"api_key": KEY}, datetime(2999, 1, 1)),  # noqa: DTZ001 - that is the fault
    ],
)
async def test_what_is_no_credential_is_refused(
    kind: str, fields: Any, expires_at: datetime | None, store: CredentialStore, connection: Connection
) -> None:
    with pytest.raises(InvalidCredentialError) as caught:
        await store.put(connection.workspace_id, connection.id, kind, fields, expires_at)
    assert "sk_test_fake" not in str(caught.value)
    assert await store.describe(connection.workspace_id, connection.id) == []


async def test_another_kind_needs_the_former_deleted(store: CredentialStore, connection: Connection) -> None:
    await put(store, connection, api_key="one")
    with pytest.raises(InvalidCredentialError, match="of kind api_key; delete them"):
        await store.put(connection.workspace_id, connection.id, "bearer_token", {"token": KEY})
    await store.delete(connection.workspace_id, connection.id)
    await store.put(connection.workspace_id, connection.id, "bearer_token", {"token": KEY})
    assert await reveal(store, connection) == {"token": KEY.reveal()}


# Moved and changed rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "ciphertext = (SELECT ciphertext FROM connector_credentials WHERE field = 'second')",
        "ciphertext = overlay(ciphertext PLACING 'AAAA'::bytea FROM 40)",
        "ciphertext = ''",
        "version = version + 1",
        "kind = 'bearer_token'",
        "expires_at = '2999-01-01'",
        "field = 'renamed'",
    ],
)
async def test_a_changed_row_raises(
    change: str, store: CredentialStore, connection: Connection, superuser: psycopg.Connection[Any]
) -> None:
    await put(store, connection, first="one", second="two")
    superuser.execute(f"UPDATE connector_credentials SET {change} WHERE field = 'first'".encode())  # noqa: S608
    with pytest.raises(CredentialTamperedError, match="of connection acme/stripe does not decrypt"):
        await reveal(store, connection)


async def test_a_former_value_put_back_raises(
    store: CredentialStore, connection: Connection, superuser: psycopg.Connection[Any]
) -> None:
    await put(store, connection, api_key="one")
    superuser.execute("CREATE TABLE former AS SELECT ciphertext FROM connector_credentials")
    await put(store, connection, api_key="two")
    superuser.execute("UPDATE connector_credentials SET ciphertext = (SELECT ciphertext FROM former)")
    with pytest.raises(CredentialTamperedError):
        await reveal(store, connection)


async def test_an_expiry_put_off_raises(
    store: CredentialStore, connection: Connection, superuser: psycopg.Connection[Any]
) -> None:
    soon = datetime.now(UTC) + timedelta(days=1)
    await store.put(connection.workspace_id, connection.id, "api_key", {"api_key": KEY}, soon)
    assert await reveal(store, connection) == {"api_key": KEY.reveal()}
    superuser.execute("UPDATE connector_credentials SET expires_at = NULL")
    with pytest.raises(CredentialTamperedError):
        await reveal(store, connection)


@pytest.mark.parametrize(
    "elsewhere", ["same workspace", "other workspace", "other workspace and its data key"]
)
async def test_a_row_copied_to_another_connection_raises(
    elsewhere: str,
    store: CredentialStore,
    connection: Connection,
    registry: Registry,
    superuser: psycopg.Connection[Any],
    database: Database,
) -> None:
    workspace_id = connection.workspace_id
    if elsewhere != "same workspace":
        workspace_id = (await workspaces.create(database, "globex")).id
    thief = await registry.add_connection(workspace_id, "stripe", "thief")
    await put(store, connection, api_key="treasure")
    await put(store, thief, api_key="of the thief")
    superuser.execute(
        "UPDATE connector_credentials SET ciphertext = "
        "(SELECT ciphertext FROM connector_credentials WHERE connector_config_id = %s)",
        (connection.id,),
    )
    if elsewhere.endswith("data key"):
        superuser.execute(
            "UPDATE workspace_keys SET wrapped_key = "
            "(SELECT wrapped_key FROM workspace_keys WHERE workspace_id = %s)",
            (connection.workspace_id,),
        )
    with pytest.raises(CredentialTamperedError):
        await reveal(store, thief)
    assert await reveal(store, connection) == {"api_key": "treasure"}


async def test_a_connection_carried_to_another_workspace_with_all_it_has_raises(
    store: CredentialStore,
    connection: Connection,
    registry: Registry,
    superuser: psycopg.Connection[Any],
    database: Database,
) -> None:
    await put(store, connection, api_key="treasure")
    globex = await workspaces.create(database, "globex")
    where = {"here": connection.workspace_id, "there": globex.id}
    with superuser.transaction():
        superuser.execute("SET LOCAL session_replication_role = 'replica'")  # no foreign keys
        for table in ("connector_configs", "workspace_keys", "connector_credentials"):
            statement = f"UPDATE {table} SET workspace_id = %(there)s WHERE workspace_id = %(here)s"  # noqa: S608
            superuser.execute(statement.encode(), where)
    with pytest.raises(CredentialTamperedError, match="globex/stripe"):
        await store.reveal(globex.id, connection.id, actor="tests", purpose="test")


async def test_another_workspace_sees_no_such_connection(
    store: CredentialStore, connection: Connection, registry: Registry, database: Database
) -> None:
    await put(store, connection, api_key="treasure")
    globex = await workspaces.create(database, "globex")
    for attempt in (
        store.reveal(globex.id, connection.id, actor="tests", purpose="test"),
        store.put(globex.id, connection.id, "api_key", {"api_key": KEY}),
        store.delete(globex.id, connection.id),
    ):
        with pytest.raises(ConnectionNotFoundError):
            await attempt
    assert await store.describe(globex.id, connection.id) == []
    assert await reveal(store, connection) == {"api_key": "treasure"}


# Master keys ------------------------------------------------------------------------------------------------


async def test_the_wrong_master_key(
    store: CredentialStore, connection: Connection, database: Database
) -> None:
    await put(store, connection, api_key="one")
    stranger = CredentialStore(database, LocalKeyProvider([generate_key()]))
    with pytest.raises(UnknownMasterKeyError, match=fingerprint(MASTER_KEY)):
        await reveal(stranger, connection)
    with pytest.raises(UnknownMasterKeyError):
        await put(stranger, connection, api_key="two")
    assert await reveal(store, connection) == {"api_key": "one"}


async def test_a_damaged_data_key(
    store: CredentialStore, connection: Connection, superuser: psycopg.Connection[Any]
) -> None:
    await put(store, connection, api_key="one")
    superuser.execute(
        "UPDATE workspace_keys SET wrapped_key = overlay(wrapped_key PLACING 'AAAA'::bytea FROM 40)"
    )
    with pytest.raises(DamagedDataKeyError):
        await reveal(store, connection)


# Audit ------------------------------------------------------------------------------------------------------


async def test_each_use_leaves_an_entry(
    store: CredentialStore, connection: Connection, database: Database
) -> None:
    await store.put(connection.workspace_id, connection.id, "api_key", {"api_key": KEY}, FUTURE, actor="ann")
    await store.reveal(connection.workspace_id, connection.id, actor="run 7", purpose="sync")
    await store.reveal(connection.workspace_id, connection.id, actor="run 8", purpose="sync")
    await store.delete(connection.workspace_id, connection.id, actor="bob")
    entries = await log(database, connection.workspace_id)
    assert [(entry.actor, entry.action, entry.purpose, entry.outcome, entry.detail) for entry in entries] == [
        ("bob", "credential.delete", None, "allowed", {"fields": ["api_key"]}),
        ("run 8", "credential.reveal", "sync", "allowed", {"versions": {"api_key": 1}}),
        ("run 7", "credential.reveal", "sync", "allowed", {"versions": {"api_key": 1}}),
        ("ann", "credential.put", None, "allowed", {"kind": "api_key", "versions": {"api_key": 1}}),
    ]
    assert {entry.subject for entry in entries} == {f"connection {connection.id}"}
    assert [entry.key_id for entry in entries] == [None, *[fingerprint(MASTER_KEY)] * 3]


async def test_no_audit_row_no_secret(
    store: CredentialStore, connection: Connection, superuser: psycopg.Connection[Any]
) -> None:
    await put(store, connection, api_key="one")
    superuser.execute("REVOKE INSERT ON audit_log FROM unified_app")
    with pytest.raises(errors.InsufficientPrivilege):
        await reveal(store, connection)
    with pytest.raises(errors.InsufficientPrivilege):
        await put(store, connection, api_key="two")
    superuser.execute("GRANT INSERT ON audit_log TO unified_app")
    assert await reveal(store, connection) == {"api_key": "one"}


async def test_no_secret_before_the_audit_row_is_committed(
    store: CredentialStore, connection: Connection, superuser: psycopg.Connection[Any]
) -> None:
    await put(store, connection, api_key="one")
    superuser.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RAISE 'refused at commit'; END $$"
    )
    superuser.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON audit_log "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(errors.RaiseException):
        await reveal(store, connection)


@pytest.mark.parametrize("case", ["missing", "expired", "tampered", "wrong key", "other workspace's"])
async def test_a_refused_use_leaves_an_entry_too(
    case: str,
    *,
    store: CredentialStore,
    connection: Connection,
    registry: Registry,
    database: Database,
    superuser: psycopg.Connection[Any],
) -> None:
    workspace_id = connection.workspace_id
    if case != "missing":
        await put(store, connection, api_key="one")
    if case == "expired":
        superuser.execute("UPDATE connector_credentials SET expires_at = '2020-02-03 04:05+00'")
    elif case == "tampered":
        superuser.execute("UPDATE connector_credentials SET version = 9")
    elif case == "wrong key":
        store = CredentialStore(database, LocalKeyProvider([generate_key()]))
    elif case == "other workspace's":
        workspace_id = (await workspaces.create(database, "globex")).id
    with pytest.raises(StoreError) as caught:
        await store.reveal(workspace_id, connection.id, actor="tests", purpose="test")
    entry = (await log(database, workspace_id))[0]
    assert (entry.actor, entry.action, entry.purpose) == ("tests", "credential.reveal", "test")
    assert entry.outcome == ("failed" if case in ("tampered", "wrong key") else "denied")
    assert entry.detail == {"error": type(caught.value).__name__}
    if case == "expired":
        assert isinstance(caught.value, CredentialExpiredError)
        assert str(caught.value).startswith(
            "api_key of connection acme/stripe expired on 2020-02-03 at 04:05 UTC; "
        )
    if case == "missing":
        assert isinstance(caught.value, CredentialNotFoundError)


async def test_a_workspace_that_does_not_exist(store: CredentialStore, connection: Connection) -> None:
    with pytest.raises(ConnectionNotFoundError):
        await store.reveal(uuid4(), connection.id, actor="tests", purpose="test")


async def test_expiring_looks_into_every_workspace(
    store: CredentialStore, connection: Connection, registry: Registry, database: Database
) -> None:
    globex = await workspaces.create(database, "globex")
    other = await registry.add_connection(globex.id, "hubspot", "hubspot")
    now = datetime.now(UTC)
    ends = [(connection, "late", 30), (connection, "soon", 3), (other, "past", -3), (other, "sooner", 1)]
    for each, field, days in ends:
        expiry = now + timedelta(days=days)
        await store.put(each.workspace_id, each.id, "api_key", {field: KEY}, expiry)
    await store.put(globex.id, other.id, "api_key", {"forever": KEY})
    connections = await registry.all_connections()
    found = await store.expiring(connections, timedelta(days=7))
    assert [info.field for info in found] == ["past", "sooner", "soon"]
    described = await store.describe_all(connections)
    assert {one: [info.field for info in infos] for one, infos in described.items()} == {
        connection.id: ["late", "soon"],
        other.id: ["forever", "past", "sooner"],
    }


async def test_a_connection_opens_with_settings_and_secrets(
    store: CredentialStore, registry: Registry, database: Database, connection: Connection
) -> None:
    await registry.update_connection(connection.workspace_id, connection.id, settings={"retry_count": 2})
    await put(store, connection, api_key="one")
    source = StoredConnections(registry, store, actor="run 7")
    opened = await source.open_connection(connection.workspace_id, connection.id, purpose="sync")
    assert (opened.connector, opened.ref.key, opened.ref.id) == ("stripe", "acme/stripe", connection.id)
    assert dict(opened.settings) == {"retry_count": 2}
    assert dict(opened.credentials) == {"api_key": Secret("one")}
    assert (await log(database, connection.workspace_id))[0].actor == "run 7"


# Nowhere else -----------------------------------------------------------------------------------------------


async def test_a_secret_shows_nowhere(
    store: CredentialStore,
    connection: Connection,
    superuser: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "sk_test_fake_canary/+=?&" + uuid4().hex
    secrets = {"api_key": Secret(canary)}
    seen = io.StringIO()
    await store.put(connection.workspace_id, connection.id, "api_key", secrets, FUTURE)
    released = await store.reveal(connection.workspace_id, connection.id, actor="tests", purpose="test")
    described = await store.describe(connection.workspace_id, connection.id)
    seen.write(f"{secrets} {released} {released['api_key']} {described} {vars(store)}")
    superuser.execute("UPDATE connector_credentials SET version = 9")
    with pytest.raises(CredentialError) as refusal:
        await store.reveal(connection.workspace_id, connection.id, actor="tests", purpose="test")
    with pytest.raises(TypeError) as unpicklable:
        pickle.dumps(released)
    superuser.execute("REVOKE INSERT ON connector_credentials FROM unified_app")
    with pytest.raises(errors.InsufficientPrivilege) as unstored:
        await store.put(connection.workspace_id, connection.id, "api_key", secrets)
    for caught in (refusal, unpicklable, unstored):
        seen.write("".join(traceback.format_exception(caught.value)))
    seen.write(caplog.text)
    dump = dump_of(superuser)
    assert str(connection.id) in dump
    seen.write(dump)

    plain = canary.encode()
    encodings = [base64.b64encode(plain[start:])[4:-4].decode() for start in range(3)]
    for form in (canary, canary[-32:], quote(canary, safe=""), plain.hex(), *encodings):
        assert form not in seen.getvalue()
    assert released["api_key"].reveal() == canary
    assert MASTER_KEY not in seen.getvalue()


def dump_of(superuser: psycopg.Connection[Any]) -> str:
    """Every row of every table as text; COPY shows ciphertexts in hex, so they come once more as they are."""
    dump = io.StringIO()
    tables = superuser.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    ).fetchall()
    assert len(tables) > 10
    for (table,) in tables:
        with superuser.cursor().copy(f"COPY (TABLE {table}) TO STDOUT".encode()) as copy:
            for block in copy:
                dump.write(bytes(block).decode())
    for (ciphertext,) in superuser.execute("SELECT ciphertext FROM connector_credentials").fetchall():
        dump.write(repr(ciphertext) + repr(base64.urlsafe_b64decode(ciphertext)))
    return dump.getvalue()
