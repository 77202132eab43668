"""Whose signatures count, and what was revoked: the operator's word, for every workspace."""

import pytest

from unified.store import audit
from unified.store.connectors import trust
from unified.store.connectors.trust import KeyNotFoundError
from unified.store.database import Database
from unified.store.errors import DuplicateNameError, InvalidSettingError

KEY = "ab" * 32


async def test_keys_come_and_go_and_what_is_revoked_stays(database: Database) -> None:
    key = {"fingerprint": KEY, "public_key": "A" * 43 + "=", "name": "Acme", "actor": "cli"}
    await trust.add_key(database, **key, tier="third_party")
    with pytest.raises(DuplicateNameError, match="is trusted already"):
        await trust.add_key(database, **key, tier="project")
    (known,) = await trust.keys(database)
    assert (known.fingerprint, known.name, known.tier, known.added_by) == (KEY, "Acme", "third_party", "cli")
    await trust.remove_key(database, KEY, actor="cli")
    with pytest.raises(KeyNotFoundError, match=KEY):
        await trust.remove_key(database, KEY, actor="cli")
    await trust.revoke(database, KEY, "it was stolen", actor="ann")
    await trust.revoke(database, KEY, "another reason", actor="bob")
    assert {
        one.revoked: (one.reason, one.revoked_by) for one in (await trust.revocations(database)).values()
    } == {KEY: ("it was stolen", "ann")}
    async with database.scheduler() as conn:
        noted = await audit.deployment_entries(conn)
    assert [entry.action for entry in noted] == ["connector.revoke"] * 2 + [
        "signing_key.remove",
        "signing_key.add",
    ]


@pytest.mark.parametrize(("revoked", "reason"), [("stripe", "it was stolen"), (KEY, ""), (KEY, "x" * 501)])
async def test_a_revocation_names_a_hash_and_a_reason(database: Database, revoked: str, reason: str) -> None:
    with pytest.raises(InvalidSettingError, match=r"64 hexadecimal digits|1 to 500 characters"):
        await trust.revoke(database, revoked, reason, actor="cli")
