"""`unified connectors keys`: a key is made, trusted, listed and removed; `revoke` is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unified.cli.conftest import Unified


def test_a_key_is_made_trusted_and_removed(unified: Unified, tmp_path: Path) -> None:
    private = tmp_path / "acme.pem"
    public = unified.ok("connectors", "keys", "new", str(private)).strip()
    assert private.stat().st_mode & 0o777 == 0o600
    assert str(private) in unified.refused("connectors", "keys", "new", str(private))  # is not overwritten
    unified.ok("connectors", "keys", "add", public, "--name", "Acme", "--tier", "workspace")
    (listed,) = unified.json("connectors", "keys", "list")
    assert (listed["name"], listed["tier"], listed["public_key"]) == ("Acme", "workspace", public)
    assert "trusted already" in unified.refused("connectors", "keys", "add", public, "--name", "Acme")
    assert "--tier is one of" in unified.refused(
        "connectors", "keys", "add", public, "--name", "Acme", "--tier", "best", code=2
    )
    assert "32 bytes in base64" in unified.refused("connectors", "keys", "add", "abc", "--name", "Acme")
    unified.ok("connectors", "keys", "remove", listed["fingerprint"])
    assert unified.json("connectors", "keys", "list") == []
    revoke = ("connectors", "revoke", listed["fingerprint"], "--reason", "it was stolen")
    assert "say --yes" in unified.refused(*revoke, code=2)
    unified.ok(*revoke, "--yes")
