"""The stand-in's OAuth: what it grants, rotates, refuses and counts."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.waiting import LIMIT_SECONDS
from unified.sandbox.hubspot.oauth import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unified.sandbox.server import SandboxServer

TOKEN = "/oauth/2026-03/token"
APP = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def web(server: SandboxServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/hubspot", timeout=LIMIT_SECONDS) as client:
        yield client


def consent(web: httpx.Client, **query: str) -> httpx.Response:
    usual = {
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": "oauth",
        "state": "s",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return web.get("/oauth/authorize", params={**usual, **query})


def granted(web: httpx.Client) -> dict[str, Any]:
    code = httpx.URL(consent(web).headers["location"]).params["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    tokens: dict[str, Any] = web.post(TOKEN, data={**form, **APP}).raise_for_status().json()
    assert web.post(TOKEN, data={**form, **APP}).json()["status"] == "BAD_AUTH_CODE"
    return tokens


def refresh(web: httpx.Client, token: str) -> httpx.Response:
    return web.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": token, **APP})


def opens(web: httpx.Client, access_token: str) -> bool:
    headers = {"authorization": f"Bearer {access_token}"}
    return web.get("/account-info/2026-09/details", headers=headers).status_code == 200


def test_a_consent_ends_in_tokens_that_open_the_portal(server: SandboxServer, web: httpx.Client) -> None:
    tokens = granted(web)
    assert tokens["expires_in"] == 1800
    assert opens(web, tokens["access_token"])
    server.hubspot.clock.advance(seconds=1801)
    assert not opens(web, tokens["access_token"])
    assert opens(web, refresh(web, tokens["refresh_token"]).json()["access_token"])
    told = httpx.get(f"{server.url}/_sandbox/hubspot/oauth", timeout=LIMIT_SECONDS).json()
    assert told["calls"] == {"authorization_code": 2, "refresh_token": 1}
    assert httpx.get(f"{server.url}/_sandbox/stripe/oauth", timeout=LIMIT_SECONDS).status_code == 400


def test_refresh_tokens_rotate_with_grace_or_without(server: SandboxServer, web: httpx.Client) -> None:
    oauth = server.hubspot.oauth
    first = granted(web)["refresh_token"]
    second = refresh(web, first).json()["refresh_token"]
    assert refresh(web, first).json()["error"] == "invalid_grant"
    oauth.grace_seconds = 60
    third = refresh(web, second).json()["refresh_token"]
    assert refresh(web, second).status_code == 200
    server.hubspot.clock.advance(seconds=61)
    oauth.reuse_revokes = True
    assert refresh(web, second).json()["status"] == "BAD_REFRESH_TOKEN"
    assert refresh(web, third).json()["error"] == "invalid_grant"  # and the whole grant with it


def test_without_rotation_the_token_stays(server: SandboxServer, web: httpx.Client) -> None:
    server.hubspot.oauth.rotates = False
    token = granted(web)["refresh_token"]
    assert refresh(web, token).json()["refresh_token"] == token
    server.hubspot.oauth.names_refresh_token = False
    assert "refresh_token" not in refresh(web, token).json()


def test_revoking_ends_access_as_well(server: SandboxServer, web: httpx.Client) -> None:
    tokens = granted(web)
    form = {"token": tokens["refresh_token"], **APP}
    assert web.post(f"{TOKEN}/introspect", data=form).json()["active"] is True
    assert web.post(f"{TOKEN}/revoke", data=form).status_code == 204
    assert web.post(f"{TOKEN}/introspect", data=form).json() == {"active": False}
    assert not opens(web, tokens["access_token"])
    assert refresh(web, tokens["refresh_token"]).status_code == 400


def test_what_is_wrong_is_refused(server: SandboxServer, web: httpx.Client) -> None:
    assert consent(web, redirect_uri="https://evil.example.com").status_code == 400
    assert consent(web, client_id="other").status_code == 400
    assert "error=invalid_request" in consent(web, code_challenge_method="plain").headers["location"]
    server.hubspot.oauth.consents = False
    assert "error=access_denied" in consent(web).headers["location"]
    assert web.post(TOKEN, data={"grant_type": "password", **APP}).json()["error"] == "unsupported_grant_type"
    wrong = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": "wrong"}
    assert web.post(TOKEN, data=wrong).status_code == 401
    assert web.post(TOKEN, params=wrong).status_code == 400  # never in the URL
    basic = web.post(TOKEN, data={"grant_type": "client_credentials"}, auth=(CLIENT_ID, CLIENT_SECRET))
    assert opens(web, basic.json()["access_token"])
