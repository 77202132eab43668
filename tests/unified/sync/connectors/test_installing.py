"""Documents are installed, upgraded and removed while everything runs, each workspace for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet

from tests.unified.sync.connectors import desk
from unified.kit.errors import ConfigurationError
from unified.kit.registry import adapters_for, get_adapter
from unified.kit.secrets import Secret
from unified.store.connectors import documents, installed, trust
from unified.store.connectors.documents import DocumentNotFoundError
from unified.store.errors import InvalidSettingError
from unified.store.removal import remove_connection
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import LocalKeyProvider
from unified.sync.connections.changing import Connections
from unified.sync.connections.wanted import NewConnection
from unified.sync.connectors import installing, marketplace, offers, signatures
from unified.sync.connectors.errors import AgreementError, InstallError
from unified.sync.connectors.golden import GoldenError
from unified.sync.connectors.offers import RevokedError
from unified.sync.connectors.signatures import SignatureError

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import AddWorkspace
    from unified.store.connections.rows import Connection
    from unified.store.database import Database


async def install(db: Database, workspace: UUID | None, document: dict[str, Any]) -> None:
    await installing.install(db, workspace, await offers.examine(db, desk.files(document)), actor="ann")


async def upgrade(
    db: Database, workspace: UUID | None, document: dict[str, Any], *, agreed: bool = False
) -> installing.Upgrade:
    offer = await offers.examine(db, desk.files(document))
    return await installing.upgrade(db, workspace, offer, agreed=agreed, actor="bob")


async def connect(db: Database, workspace: UUID) -> Connection:
    credentials = CredentialStore(db, LocalKeyProvider([Fernet.generate_key().decode()]))
    new = NewConnection(connector="desk", name="main", secrets={"api_key": Secret(desk.KEY)})
    return (await Connections(db, credentials, actor="ann").add(workspace, new, test=False))[0]


async def versions(db: Database, workspace: UUID) -> list[str]:
    return [one.version for one in await documents.seen_by(db, workspace)]


async def test_a_workspaces_document_is_seen_and_connected_by_it_alone(
    database: Database, add_workspace: AddWorkspace
) -> None:
    own, other = await add_workspace("own"), await add_workspace("other")
    await install(database, own, desk.said())
    assert "desk" in adapters_for(own)
    assert "desk" not in adapters_for(other)
    connection = await connect(database, own)
    with pytest.raises(ConfigurationError, match="there is no connector 'desk'"):
        await connect(database, other)
    with pytest.raises(InstallError, match="is used by own/main; remove those first"):
        await installing.remove(database, own, "desk", actor="ann")
    await remove_connection(database, own, connection.id)
    with pytest.raises(InstallError, match="is a workspace's, not the deployment's; add --workspace"):
        await installing.remove(database, None, "desk", actor="ann")
    await installing.remove(database, own, "desk", actor="ann")
    with pytest.raises(ConfigurationError, match="there is no connector 'desk'"):
        get_adapter("desk")
    with pytest.raises(DocumentNotFoundError):
        await installing.remove(database, own, "desk", actor="ann")


async def test_a_connector_has_one_document_at_a_time(
    database: Database, add_workspace: AddWorkspace
) -> None:
    own, other = await add_workspace("own"), await add_workspace("other")
    await install(database, own, desk.said())
    with pytest.raises(InstallError, match="has another document of a connector desk") as refused:
        await install(database, other, desk.with_emails())
    assert "own" not in str(refused.value).replace("your own", "")
    await install(database, other, desk.said())  # the same one
    with pytest.raises(InstallError, match=r"is installed already, in version 1\.0\.0"):
        await install(database, own, desk.said())
    with pytest.raises(InstallError, match="is not this workspace's alone"):
        await upgrade(database, own, desk.with_emails())
    await upgrade(database, None, desk.with_emails())  # the operator's, for both
    assert await versions(database, own) == await versions(database, other) == ["1.1.0"]
    await installing.remove(database, other, "desk", actor="ann")
    assert "desk" in adapters_for(own)
    await install(database, None, desk.with_emails())
    assert "desk" in adapters_for(other)
    with pytest.raises(InstallError, match="is installed for every workspace"):
        await install(database, other, desk.with_emails())


async def test_an_upgrade_that_reaches_further_needs_a_person(
    database: Database, add_workspace: AddWorkspace
) -> None:
    own = await add_workspace("own")
    await install(database, own, desk.said())
    further = desk.with_emails(hosts=["api.desk.example", "files.desk.example"])
    further["streams"]["notes"] = further["streams"].pop("tickets")
    offer = await offers.examine(database, desk.files(further))
    changed = await installing.compare(database, own, offer)
    assert changed.growth() == ["host files.desk.example"]
    assert changed.lines() == [
        "+ host files.desk.example",
        "+ stream notes",
        "- stream tickets",
        '+ rule customers: {"target":"email","source":"mail"}',
    ]
    with pytest.raises(AgreementError, match=r"reaches further than 1\.0\.0: host files\.desk\.example"):
        await upgrade(database, own, further)
    assert await versions(database, own) == ["1.0.0"]
    assert (await upgrade(database, own, further, agreed=True)).before == "1.0.0"
    assert get_adapter("desk").stream("notes")
    with pytest.raises(InstallError, match="is this very document already"):
        await upgrade(database, own, further, agreed=True)
    moved = desk.with_emails("2.0.0", hosts=further["hosts"])
    moved["streams"]["customers"]["entity"] = "records"
    moved["streams"]["customers"]["mapping"]["rules"] = moved["streams"]["customers"]["mapping"]["rules"][:1]
    with pytest.raises(InstallError, match="puts the records of customers into another table"):
        await upgrade(database, own, moved, agreed=True)


async def test_what_recorded_exchanges_disprove_is_not_installed(database: Database) -> None:
    right = await offers.examine(database, desk.files(desk.said(), desk.recorded()))
    assert (right.records, right.tier, right.signer) == (1, "unsigned", None)
    wrong = desk.recorded(records={"1": {"name": "Anne"}})
    with pytest.raises(GoldenError, match='1: name is "Ann" instead of "Anne"'):
        await offers.examine(database, desk.files(desk.said(), wrong))


async def test_who_signed_a_document_says_its_tier(database: Database) -> None:
    private, public = signatures.generate()
    plain = await offers.examine(database, desk.files(desk.said()))
    signature = signatures.sign(plain.document.hash, private.encode())
    signed = desk.files(desk.said(), signature=signature.as_file().encode())
    unknown = await offers.examine(database, signed)
    assert (unknown.tier, unknown.signer) == ("unsigned", signature.signer)
    await trust.add_key(
        database,
        fingerprint=signature.signer,
        public_key=public,
        name="Acme",
        tier="third_party",
        actor="cli",
    )
    known = await offers.examine(database, signed)
    assert (known.tier, known.signer, known.stored.signer) == ("third_party", "Acme", signature.signer)
    with pytest.raises(SignatureError, match="is not the signature of this document"):
        await offers.examine(database, desk.files(desk.with_emails(), signature=signature.as_file().encode()))


@pytest.mark.parametrize("what", ["document", "key"])
async def test_what_was_revoked_is_neither_installed_nor_used(
    database: Database, add_workspace: AddWorkspace, what: str
) -> None:
    own = await add_workspace("own")
    private, _ = signatures.generate()
    document_hash = (await offers.examine(database, desk.files(desk.said()))).document.hash
    signature = signatures.sign(document_hash, private.encode())
    signed = desk.files(desk.said(), signature=signature.as_file().encode())
    await installing.install(database, own, await offers.examine(database, signed), actor="ann")
    revoked = document_hash if what == "document" else signature.signer
    await trust.revoke(database, revoked, "it sends too much", actor="cli")
    with pytest.raises(RevokedError, match="was revoked \\(it sends too much\\)"):
        await offers.examine(database, signed)
    await installed.refresh(database)
    with pytest.raises(
        ConfigurationError, match="was revoked \\(it sends too much\\); upgrade it, or remove it"
    ):
        get_adapter("desk")
    await upgrade(database, own, desk.with_emails())
    assert get_adapter("desk")


@pytest.mark.parametrize("what", ["version", "connector"])
async def test_what_is_deprecated_stays_in_use_and_is_installed_by_an_explicit_word(
    database: Database, add_workspace: AddWorkspace, what: str
) -> None:
    own, other = await add_workspace("own"), await add_workspace("other")
    with pytest.raises(InvalidSettingError, match="there is no connector document 'desk'"):
        await marketplace.deprecate(database, "desk", "use desk_v2", actor="cli")
    await install(database, own, desk.said())
    (stored,) = await documents.seen_by(database, own)
    deprecated = stored.hash if what == "version" else "desk"
    await marketplace.deprecate(database, deprecated, "use desk_v2", actor="cli")
    await installed.refresh(database)
    assert get_adapter("desk")
    (listed,) = [one for one in await marketplace.listed(database, own) if one.name == "desk"]
    assert (listed.deprecated, listed.can_connect) == ("use desk_v2", True)
    offer = await offers.examine(database, desk.files(desk.said()))
    with pytest.raises(AgreementError, match=r"version 1\.0\.0 of desk is deprecated \(use desk_v2\)"):
        await installing.install(database, other, offer, actor="ann")
    assert await versions(database, other) == []
    await installing.install(database, other, offer, actor="ann", agreed=True)
    await upgrade(database, None, desk.with_emails())  # who has it goes on as before
    (upgraded,) = [one for one in await marketplace.listed(database, own) if one.name == "desk"]
    assert upgraded.deprecated == (None if what == "version" else "use desk_v2")
    await trust.reinstate(database, deprecated, actor="cli")
    assert (await offers.examine(database, desk.files(desk.said()))).deprecated is None


async def test_a_packages_connector_keeps_its_name(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="the connector stripe comes with an installed package"):
        await offers.examine(database, desk.files(desk.said(id="stripe")))
