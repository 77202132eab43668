"""OAuth by the command line: the browser comes back by itself, or a person pastes where it ended."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.waiting import LIMIT_SECONDS
from unified.sandbox.hubspot.oauth import CLIENT_ID, CLIENT_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unified.cli.conftest import Unified
    from unified.sandbox.server import SandboxServer

APP = {"UNIFIED_SECRET_CLIENT_ID": CLIENT_ID, "UNIFIED_SECRET_CLIENT_SECRET": CLIENT_SECRET}
ANY_PORT = "http://127.0.0.1:0/oauth/callback"
ELSEWHERE = "https://app.example.com/callback"


@pytest.fixture(scope="module")
def crm(unified: Unified, sandbox: SandboxServer) -> str:
    """A connection that waits for its authorization."""
    place = ["--base-url", f"{sandbox.url}/hubspot", "--allow-private-hosts"]
    shown = unified.run("connections", "add", "hubspot", "crm", *place, "--oauth")
    assert shown.returncode == 0, shown.stderr
    assert "`unified connections authorize default/crm` comes next" in shown.stdout + shown.stderr
    return "default/crm"


@contextmanager
def authorizing(
    unified: Unified, name: str, *arguments: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the URL that it has printed."""
    process = subprocess.Popen(
        unified.command("connections", "authorize", name, "--no-browser", *arguments),
        env=unified.environment(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            line = ""
            while not line.startswith("http"):
                line = process.stdout.readline()
                assert line, process.communicate()[1]
            yield process, line.strip()
        finally:
            process.kill()


def test_without_an_app_nothing_is_begun(unified: Unified, crm: str) -> None:
    line = unified.refused("connections", "authorize", crm)
    assert "UNIFIED_OAUTH_HUBSPOT_CLIENT_ID" in line
    line = unified.refused("connections", "authorize", crm, "--own-app", code=2)
    assert "UNIFIED_SECRET_CLIENT_SECRET" in line
    line = unified.refused("connections", "authorize", crm, "--client-credentials")
    assert "only by authorization_code" in line
    line = unified.refused("sync", crm)
    assert "has no credentials" in line


def test_a_person_who_says_no(unified: Unified, sandbox: SandboxServer, crm: str) -> None:
    sandbox.hubspot.oauth.consents = False
    options = ("--own-app", "--redirect-url", ANY_PORT)
    try:
        with authorizing(unified, crm, *options, **APP) as (process, url):
            assert httpx.get(url, follow_redirects=True, timeout=LIMIT_SECONDS).status_code == 200
            assert process.wait(60) == 1
            assert process.stderr is not None
            assert "the provider says access_denied The user said no" in process.stderr.read()
    finally:
        sandbox.hubspot.oauth.consents = True


def test_the_browser_comes_back_to_this_machine(unified: Unified, sandbox: SandboxServer, crm: str) -> None:
    with authorizing(unified, crm, "--own-app", "--redirect-url", ANY_PORT, **APP) as (process, url):
        query = httpx.URL(url).params
        assert query["code_challenge_method"] == "S256"
        assert "crm.objects.contacts.read" in query["scope"].split()
        callback = httpx.URL(query["redirect_uri"])
        assert httpx.get(callback.copy_with(path="/favicon.ico"), timeout=LIMIT_SECONDS).status_code == 404
        # Somebody else's answer does not end it.
        assert (
            httpx.get(
                callback, params={"code": "theirs", "state": "theirs"}, timeout=LIMIT_SECONDS
            ).status_code
            == 200
        )
        page = httpx.get(url, follow_redirects=True, timeout=LIMIT_SECONDS)
        assert "this page can be closed" in page.text
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stdout is not None
        portal = str(sandbox.hubspot.account().portal_id)
        assert portal in process.stdout.read() + process.stderr.read()
    unified.ok("sync", crm, "--stream", "customers")


def test_the_address_is_pasted_where_there_is_no_browser(
    unified: Unified, sandbox: SandboxServer, crm: str
) -> None:
    sandbox.hubspot.oauth.redirect_uris.add(ELSEWHERE)
    with authorizing(unified, crm, "--redirect-url", ELSEWHERE) as (process, url):  # its own app is stored
        address = httpx.get(url, timeout=LIMIT_SECONDS).headers["location"]
        assert address.startswith(ELSEWHERE)
        _, told = process.communicate(f"nonsense\n{address}\n", timeout=LIMIT_SECONDS)
        assert process.returncode == 0, told
        assert "That is not the address" in told
    unified.ok("connections", "test", crm)


def test_a_grant_that_is_gone_shows_in_the_status_until_it_is_made_anew(
    unified: Unified, sandbox: SandboxServer, crm: str
) -> None:
    oauth = sandbox.hubspot.oauth
    oauth.revoke_all()
    line = unified.refused("sync", crm)
    assert "`unified connections authorize default/crm`" in line
    (status,) = unified.json("status")
    assert status["state"] == "needs_reauth"
    # Whichever stream found out, the reason is one.
    assert status["error"].rpartition("HubSpot no longer honours")[2] in line
    with authorizing(unified, crm, "--redirect-url", ANY_PORT) as (process, url):
        httpx.get(url, follow_redirects=True, timeout=LIMIT_SECONDS)
        assert process.wait(60) == 0
    (status,) = unified.json("status")
    assert (status["state"], status["error"]) == ("idle", None)
    unified.ok("sync", crm)


def test_another_account_is_refused(unified: Unified, sandbox: SandboxServer, crm: str) -> None:
    oauth = sandbox.hubspot.oauth
    usual, oauth.account = oauth.account, "pat-fake-globex"
    try:
        with authorizing(unified, crm, "--redirect-url", ANY_PORT) as (process, url):
            httpx.get(url, follow_redirects=True, timeout=LIMIT_SECONDS)
            assert process.wait(60) == 1
            assert process.stderr is not None
            assert "has records of account" in process.stderr.read()
    finally:
        oauth.account = usual
    unified.ok("connections", "test", crm)


def test_no_secret_is_on_disk(unified: Unified, sandbox: SandboxServer, crm: str) -> None:
    files = [path for path in unified.home.rglob("*") if path.is_file()]
    secrets = [CLIENT_SECRET, *sandbox.hubspot.oauth._issued]
    assert len(files) > 100
    assert len(secrets) > 8
    found = [(path, secret) for path in files for secret in secrets if secret.encode() in path.read_bytes()]
    assert not found


def test_revoking_gives_the_grant_back_and_forgets_the_tokens(
    unified: Unified, sandbox: SandboxServer, crm: str
) -> None:
    unified.ok("connections", "revoke", crm)
    assert sandbox.hubspot.oauth.grants[-2].is_revoked  # the last one is of the other account
    assert "has no credentials" in unified.refused("sync", crm)
    (listed,) = unified.json("connections", "list")
    assert listed["secrets"] == []
