"""Secrets that are kept elsewhere: looked up at each use, where the deployment lets them be, and nowhere else."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import execute
from tests.unified.store.secrets.credentials.test_store import connection, log, registry, store
from unified.kit.secrets import Referenced, Secret
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.secrets.credentials.errors import CredentialTamperedError, InvalidCredentialError
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.elsewhere.references import ALLOWED_VARIABLE, SecretReferenceError, resolve

__all__ = ["connection", "registry", "store"]  # fixtures

VALUE = "sk_test_fake_Canary7"
ACME = uuid4()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of secrets, which the deployment lets be read, beside one that it does not."""
    inside = tmp_path / "secrets"
    for path in (inside / str(ACME) / "key", tmp_path / "outside" / "key", tmp_path / "secrets2" / "key"):
        path.parent.mkdir(parents=True)
        path.write_text(f"{VALUE}\n")
    (inside / "link").symlink_to(tmp_path / "outside" / "key")
    (inside / "loop").symlink_to(inside / "loop")
    os.mkfifo(inside / "pipe")
    (inside / "large").write_bytes(b"x" * 70_000)
    (inside / "binary").write_bytes(b"\xff\xfe")
    (inside / "empty").touch()
    monkeypatch.setenv(
        ALLOWED_VARIABLE,
        f"env:ACME_, file:{inside}, file:{inside}/{{workspace_id}}, vault:kv/ours, env:DATA, env:UNIFIED_,env:",
    )
    monkeypatch.setenv("ACME_KEY", f" {VALUE} ")
    monkeypatch.setenv("OTHER_KEY", VALUE)
    for name in ("DATABASE_URL", "UNIFIED_JWT_SECRET", "UNIFIED_MODEL_KEY", "UNIFIED_SECRET_ACME"):
        monkeypatch.setenv(name, VALUE)
    return inside


async def test_what_is_allowed_is_found(folder: Path) -> None:
    for reference in ("env:ACME_KEY", "env:UNIFIED_SECRET_ACME", f"file:{folder}/{ACME}/key"):
        found = await resolve(reference, ACME)
        assert (found.reveal(), found.reference) == (VALUE, reference)
    own = await resolve(f"file:{folder}/{ACME}/key", ACME, of_workspace=True)
    assert own.reveal() == VALUE


@pytest.mark.parametrize(
    "place",
    [
        "env:OTHER_KEY",
        "env:DATABASE_URL",
        "env:UNIFIED_JWT_SECRET",
        "env:UNIFIED_MODEL_KEY",
        "file:/etc/hostname",
        "file:{folder}/../outside/key",
        "file:{folder}/link",
        "file:{folder}2/key",
        "file:~/key",
        "file:key",
        "vault:kv/oursandmore#key",
        "vault:kv/ours#key",
        "vault:kv/ours/../theirs#key",
        "vault:kv/ours//theirs#key",
        "vault:other/ours/x#key",
    ],
)
async def test_no_other_place_is_looked_at(folder: Path, place: str) -> None:
    reference = place.format(folder=folder)
    with pytest.raises(SecretReferenceError, match="lets no secret be read there") as refused:
        await resolve(reference, ACME)
    assert VALUE not in str(refused.value)


@pytest.mark.parametrize("place", ["env:ACME_KEY", "file:{folder}/empty", "file:{folder}/{other}/key"])
async def test_a_workspace_names_places_of_its_own_alone(folder: Path, place: str) -> None:
    """Whether anything is there does not show either: it is refused before it is looked at."""
    reference = place.format(folder=folder, other=uuid4())
    with pytest.raises(SecretReferenceError, match="lets no secret of a workspace be read there"):
        await resolve(reference, ACME, of_workspace=True)
    with pytest.raises(SecretReferenceError, match="lets no secret of a workspace"):  # as another one
        await resolve(f"file:{folder}/{ACME}/key", uuid4(), of_workspace=True)


async def test_without_a_list_nothing_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALLOWED_VARIABLE)
    with pytest.raises(SecretReferenceError, match=f"{ALLOWED_VARIABLE} says where"):
        await resolve(f"file:{folder}/{ACME}/key", ACME)


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("env:ACME_LOST", "the environment has no ACME_LOST"),
        ("file:{folder}/lost", "can't be read (No such file or directory)"),
        ("file:{folder}/loop", "can't be read"),
        ("file:{folder}/pipe", "is not a file"),
        ("file:{folder}/large", "too large"),
        ("file:{folder}/binary", "does not hold text"),
        ("file:{folder}/empty", "the file is empty"),
        ("vault:kv/ours/x#key", "VAULT_ADDR"),
        (VALUE, "that says no place of a secret: write env:NAME, file:PATH or vault:MOUNT/PATH#FIELD"),
    ],
)
async def test_a_place_without_a_secret_is_named(
    folder: Path, place: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAULT_ADDR", raising=False)
    with pytest.raises(SecretReferenceError) as refused:
        await resolve(place.format(folder=folder), ACME)
    assert says in str(refused.value)
    assert VALUE not in str(refused.value)


async def test_the_secret_is_looked_up_at_each_use_and_never_stored(
    folder: Path,
    store: CredentialStore,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
) -> None:
    del folder
    place = connection.workspace_id, connection.id
    await store.put(*place, "api_key", {"api_key": Referenced(VALUE, "env:ACME_KEY")})
    (info,) = await store.describe(*place)
    assert info.reference == "env:ACME_KEY"
    for value in (VALUE, "sk_test_fake_rolled"):
        monkeypatch.setenv("ACME_KEY", value)
        released = await store.reveal(*place, actor="tests", purpose="test")
        assert released == {"api_key": Secret(value)}
    monkeypatch.delenv("ACME_KEY")
    with pytest.raises(
        SecretReferenceError, match="api_key of connection acme/stripe: env:ACME_KEY: the env"
    ):
        await store.reveal(*place, actor="tests", purpose="test")
    assert (await log(database, connection.workspace_id))[0].outcome == "failed"
    await store.put(*place, "api_key", {"api_key": Secret(VALUE)})  # stored itself from now on
    assert (await store.describe(*place))[0].reference is None
    assert await store.reveal(*place, actor="tests", purpose="test") == {"api_key": Secret(VALUE)}


async def test_a_reference_that_was_changed_in_the_database_leads_nowhere(
    folder: Path, store: CredentialStore, connection: Connection, database_url: str
) -> None:
    place = connection.workspace_id, connection.id
    await store.put(*place, "api_key", {"api_key": Referenced(VALUE, "env:ACME_KEY")})
    del folder
    execute(database_url, "UPDATE connector_credentials SET reference = 'env:ACME_OTHER'")
    with pytest.raises(CredentialTamperedError, match="names another place"):
        await store.reveal(*place, actor="tests", purpose="test")


async def test_what_is_replaced_here_is_kept_here(store: CredentialStore, connection: Connection) -> None:
    with pytest.raises(InvalidCredentialError, match="can't be kept elsewhere"):
        await store.put(
            connection.workspace_id,
            connection.id,
            "oauth_token",
            {"access_token": Referenced(VALUE, "env:ACME_KEY")},
        )
