"""AES-256-GCM beside Fernet: both are read, what was moved or changed is not, and a rotation leads between them."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.fernet import Fernet, InvalidToken
from psycopg import sql

from tests.conftest import AddConnection, AddWorkspace
from unified.kit.secrets import Secret
from unified.store import ciphers
from unified.store.ciphers import AES, AES_MARK, CIPHER_VARIABLE, FERNET
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.resealing import reseal
from unified.store.secrets import data_keys
from unified.store.secrets.credentials.errors import CredentialTamperedError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import DamagedDataKeyError, LocalKeyProvider, generate_key
from unified.store.secrets.providers import load_provider
from unified.store.subscriptions.subscriptions import Subscriptions

SECRET = "sk_test_fake_cipher"
PROVIDER = LocalKeyProvider([generate_key()])


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Chooses a cipher."""
    return lambda name: monkeypatch.setenv(CIPHER_VARIABLE, name)


@pytest.fixture
def store(database: Database) -> CredentialStore:
    return CredentialStore(database, PROVIDER)


async def put(store: CredentialStore, workspace: UUID, connection: UUID, value: str = SECRET) -> None:
    await store.put(workspace, connection, "api_key", {"api_key": Secret(value)})


async def reveal(store: CredentialStore, workspace: UUID, connection: UUID) -> str:
    secrets = await store.reveal(workspace, connection, actor="tests", purpose="test")
    return secrets["api_key"].reveal()


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as conn:
        return conn.execute(statement.encode()).fetchall()


def is_aes(url: str) -> dict[str, bool]:
    """Whether everything of a kind is encrypted by AES-256-GCM; it must be all or nothing."""
    found = rows(
        url,
        "SELECT 'credential', ciphertext FROM connector_credentials UNION ALL "
        "SELECT 'data key', wrapped_key FROM workspace_keys UNION ALL "
        "SELECT 'subscription', sealed FROM webhook_subscriptions",
    )
    kinds: dict[str, set[bool]] = {}
    for kind, value in found:
        kinds.setdefault(kind, set()).add(bytes(value).startswith(AES_MARK))
    assert all(len(values) == 1 for values in kinds.values()), kinds
    return {kind: values.pop() for kind, values in kinds.items()}


def test_a_value_is_bound_to_its_key_and_place(use: Any) -> None:
    use(AES)
    key, fernet = b"k" * 32, Fernet(generate_key())

    def opened(ciphertext: bytes, key: bytes = key, bound_to: bytes = b"here") -> bytes:
        return ciphers.decrypt(key, ciphertext, bound_to=bound_to, fernet=lambda: fernet)

    sealed = ciphers.encrypt(key, b"plain", bound_to=b"here", fernet=lambda: fernet)
    assert opened(sealed) == b"plain"
    assert sealed != ciphers.encrypt(key, b"plain", bound_to=b"here", fernet=lambda: fernet)
    cut = [sealed[:length] for length in range(len(sealed))]
    flipped = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for damaged in (*cut, *flipped):
        with pytest.raises(InvalidToken):
            opened(damaged)
    with pytest.raises(InvalidToken):
        opened(sealed, key=b"l" * 32)
    with pytest.raises(InvalidToken):
        opened(sealed, bound_to=b"there")
    use(FERNET)
    assert opened(sealed) == b"plain", "whatever is chosen now"
    assert not ciphers.is_chosen(sealed)
    assert ciphers.is_chosen(fernet.encrypt(b"plain"))


def test_no_other_cipher_is_taken(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIFIED_MASTER_KEYS", generate_key())
    use("aes-128-ecb")
    with pytest.raises(InvalidSettingError, match="takes fernet or aes-256-gcm, not 'aes-128-ecb'"):
        load_provider()


@pytest.mark.parametrize(
    "change",
    [
        "field = 'other'",
        "version = version + 1",
        "kind = 'bearer_token'",
        "expires_at = '2999-01-01'",
        "connector_config_id = {other}",
        "data_key_id = {key}",
        "ciphertext = ciphertext || 'x'",
        "ciphertext = substr(ciphertext, 15)",
    ],
)
async def test_a_row_that_was_changed_or_moved_does_not_decrypt(
    change: str,
    use: Any,
    store: CredentialStore,
    database: Database,
    workspace: UUID,
    add_connection: AddConnection,
) -> None:
    use(AES)
    connection, other = await add_connection(workspace), await add_connection(workspace, "hubspot")
    await put(store, workspace, connection)
    key = uuid4()
    with psycopg.connect(database.url) as conn:
        conn.execute(
            "INSERT INTO workspace_keys (workspace_id, id, wrapped_key, master_key_id, is_primary) "
            "SELECT workspace_id, %s, wrapped_key, master_key_id, false FROM workspace_keys",
            (key,),
        )
        values = {"other": sql.Literal(other), "key": sql.Literal(key)}
        conn.execute(sql.SQL("UPDATE connector_credentials SET {}").format(sql.SQL(change).format(**values)))
    at = other if "{other}" in change else connection
    with pytest.raises(CredentialTamperedError, match=r"does not decrypt: its row was changed, or copied"):
        await reveal(store, workspace, at)


async def test_a_data_key_that_was_wrapped_by_another_master_key_does_not_unwrap(use: Any) -> None:
    use(AES)
    both = LocalKeyProvider([generate_key(), generate_key()])
    wrapped = await both.wrap(b"d" * 32)
    assert await both.unwrap(*wrapped) == b"d" * 32
    with pytest.raises(DamagedDataKeyError, match="does not unwrap"):
        await both.unwrap(wrapped.wrapped[:-1] + b"x", wrapped.key_id)
    (second,) = set(both._keys) - {wrapped.key_id}
    with pytest.raises(DamagedDataKeyError):
        await both.unwrap(wrapped.wrapped, second)


async def test_a_rotation_leads_from_one_cipher_to_the_other_and_back_under_load(
    use: Any,
    store: CredentialStore,
    database: Database,
    add_workspace: AddWorkspace,
    add_connection: AddConnection,
) -> None:
    use(FERNET)
    tenants = []
    for slug in ("acme", "globex"):
        workspace = await add_workspace(slug)
        tenants.append((workspace, await add_connection(workspace)))
        await put(store, *tenants[-1])
    subscriptions = Subscriptions(database, store, actor="tests")
    subscription, secret = await subscriptions.add(
        tenants[0][0], "crm", which="customers", url="https://example.com/hook"
    )
    assert set(is_aes(database.url).values()) == {False}
    ended = asyncio.Event()
    stored = dict.fromkeys(tenants, SECRET)

    async def read(tenant: tuple[UUID, UUID]) -> None:
        while not ended.is_set():
            assert (await reveal(store, *tenant)).startswith(SECRET)

    async def write(tenant: tuple[UUID, UUID]) -> None:
        while not ended.is_set():
            stored[tenant] += "."
            await put(store, *tenant, stored[tenant])

    async def rotate(cipher: str) -> None:
        use(cipher)
        for _ in range(3):
            await data_keys.rotate(database, PROVIDER, actor="tests")
            done = await reseal(database, PROVIDER, actor="tests")
            assert (done.cipher, done.damaged) == (cipher, ())
        assert set(is_aes(database.url).values()) == {cipher == AES}

    async with asyncio.TaskGroup() as group:
        for tenant in tenants:
            group.create_task(read(tenant))
        group.create_task(write(tenants[1]))
        await rotate(AES)
        await rotate(FERNET)
        await rotate(AES)
        ended.set()
    assert [await reveal(store, *tenant) for tenant in tenants] == list(stored.values())
    assert (await subscriptions.signing(subscription)).secret == secret
    assert (await reseal(database, PROVIDER)).values == 0, "there is nothing left to do"
    actions = {action for (action,) in rows(database.url, "SELECT action FROM deployment_log")}
    assert "keys.reseal" in actions


async def test_one_damaged_secret_holds_up_no_other(
    use: Any, store: CredentialStore, database: Database, workspace: UUID, add_connection: AddConnection
) -> None:
    use(FERNET)
    sound, damaged = await add_connection(workspace), await add_connection(workspace, "hubspot")
    await put(store, workspace, sound)
    await put(store, workspace, damaged)
    with psycopg.connect(database.url) as conn:
        conn.execute(
            "UPDATE connector_credentials SET version = 9 WHERE connector_config_id = %s", (damaged,)
        )
    use(AES)
    done = await reseal(database, PROVIDER)
    assert (done.values, done.damaged) == (1, (f"connection {damaged}: api_key",))
    assert await reveal(store, workspace, sound) == SECRET
    with pytest.raises(CredentialTamperedError):
        await reveal(store, workspace, damaged)
