"""`unified privacy`: planned, carried out, listed and lifted; the address is in no output."""

import asyncio

import pytest

from tests.unified.cli.conftest import Unified
from tests.unified.sync.identities.tenant import Tenant
from unified.store.database import Database
from unified.store.server import embedded


@pytest.fixture(scope="module")
def ann(unified: Unified) -> str:
    """The ``unified_id`` of Ann in the workspace ``acme``."""
    unified.ok("migrate")

    async def fill() -> str:
        async with Database.open(embedded.start(unified.home)) as db:
            tenant = await Tenant.create(db, "acme")
            await tenant.add("stripe", "cus_1", email="ann@acme.com", name="Ann S.")
            return str(tenant.id(("stripe", "cus_1")))

    found = asyncio.run(fill())
    embedded.leave(unified.home)
    return found


def test_a_person_is_deleted_and_let_in_again(unified: Unified, ann: str) -> None:
    delete = ("privacy", "delete", "acme", "--email", "ann@acme.com")
    plan = unified.json(*delete, "--plan")
    assert plan == {"records": [ann], "newly_suppressed": 1, "emptied": {"unified_customers": 1}}
    assert "--yes" in unified.refused(*delete, code=2)
    assert "No record" in unified.ok("privacy", "suppressed", "acme")
    shown = unified.run(*delete, "--yes")
    assert shown.returncode == 0, shown.stderr
    assert "unified_customers" in shown.stdout
    assert "ann@" not in shown.stdout + shown.stderr + unified.ok("audit", "--workspace", "acme")
    assert unified.json("privacy", "delete", "acme", "--id", ann, "--yes")["emptied"] == {}
    (kept,) = unified.json("privacy", "suppressed", "acme")
    assert (kept["unified_id"], kept["suppressed_by"]) == (ann, "cli")
    unified.ok("privacy", "lift", "acme", "--id", ann)
    assert unified.json("privacy", "suppressed", "acme") == []


def test_whose_is_asked(unified: Unified, ann: str) -> None:
    assert "address or an id" in unified.refused("privacy", "delete", "acme", "--yes")
    nobody = "00000000-0000-0000-0000-000000000001"
    assert nobody in unified.refused("privacy", "delete", "acme", "--id", nobody, "--yes")
    assert "workspace" in unified.refused("privacy", "delete", "nowhere", "--id", ann, "--yes")
