"""Whose signatures count, what was revoked and what is deprecated: the operator's word, for every workspace."""

import pytest

from unified.store import audit
from unified.store.connectors import trust
from unified.store.connectors.trust import DeprecationNotFoundError, KeyNotFoundError
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


async def test_what_is_deprecated_is_known_by_hash_and_by_name_until_it_is_reinstated(
    database: Database,
) -> None:
    await trust.deprecate(database, "desk", "use desk_v2", actor="ann")
    await trust.deprecate(database, KEY, "it loses notes", actor="ann")
    await trust.deprecate(database, "desk", "use desk_v3", actor="bob")
    found = await trust.deprecations(database)
    assert {one.deprecated: (one.reason, one.deprecated_by) for one in found.values()} == {
        "desk": ("use desk_v3", "bob"),
        KEY: ("it loses notes", "ann"),
    }
    asked = {("desk", KEY): "it loses notes", ("desk", "cd" * 32): "use desk_v3", ("shop", "cd" * 32): None}
    assert {one: trust.why_deprecated(found, *one) for one in asked} == asked
    await trust.reinstate(database, "desk", actor="ann")
    with pytest.raises(DeprecationNotFoundError, match="desk is not deprecated"):
        await trust.reinstate(database, "desk", actor="ann")
    assert set(await trust.deprecations(database)) == {KEY}
    async with database.scheduler() as conn:
        noted = await audit.deployment_entries(conn)
    assert [(entry.action, entry.subject) for entry in noted][:2] == [
        ("connector.reinstate", "connector desk"),
        ("connector.deprecate", "connector desk"),
    ]
    assert noted[2].subject == f"connector document {KEY}"


@pytest.mark.parametrize(("deprecated", "reason"), [("Desk!", "it is old"), (KEY, ""), ("desk", "x" * 501)])
async def test_a_deprecation_names_a_hash_or_a_connector_and_a_reason(
    database: Database, deprecated: str, reason: str
) -> None:
    with pytest.raises(InvalidSettingError, match=r"nor the name of a connector|1 to 500 characters"):
        await trust.deprecate(database, deprecated, reason, actor="cli")
