"""Members, tokens and the audit log in a browser: who may what, what is shown once, what others never see."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from unified.store.workspaces import members, tokens
from unified.store.workspaces.tokens import TokenLookup

if TYPE_CHECKING:
    from tests.unified.api.pages.conftest import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "<script>document.title='stolen'</script>"
TOKEN = re.compile("uat_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")


async def test_a_token_is_made_shown_once_and_revoked(site: Site) -> None:
    workspace = await site.workspace()
    async with site.forms(workspace, "admin", by_link=True) as browser:
        await browser.open("/tokens")
        for wrong, status in (
            ({"name": "x"}, 422),
            ({"name": "", "scope.audit:read": "on"}, 422),
            ({"name": "x", "scope.tokens:write": "on"}, 422),  # gives rights to others
            ({"name": "x", "scope.audit:read": "on", "days": "0"}, 422),  # is no end, and not "never"
            ({"name": "x", "scope.nothing": "on"}, 422),
        ):
            await browser.send("/tokens", wrong, status)
        new = {"name": SCRIPT, "days": "30", "scope.records:read": "on", "scope.connections:read": "on"}
        await browser.send("/tokens", new, 200)
        (token,) = TOKEN.findall(browser.page)
        known = await TokenLookup(site.db).find(token)
        assert known is not None
        assert known.scopes == {"records:read", "connections:read"}
        assert known.expires_at is not None
        assert timedelta(days=29) < known.expires_at - datetime.now(UTC) < timedelta(days=31)
        await browser.open("/tokens")
        assert token not in browser.page
        await browser.send(f"/tokens/{known.id}/revoke", {})
        assert "It was revoked" in browser.page
    assert await TokenLookup(site.db).find(token) is None


async def test_members_get_roles_and_links_within_the_callers_own(site: Site) -> None:
    workspace = await site.workspace()
    for subject, role in (("olga", "owner"), ("otto", "owner")):
        await members.add(site.db, workspace.id, subject, role, actor="tests")  # type: ignore[arg-type]
    async with site.forms(workspace, "admin", by_link=True) as browser:
        await browser.open("/members")
        await browser.send("/members", {"subject": SCRIPT, "role": "viewer"})
        await browser.send("/members", {"subject": SCRIPT, "role": "viewer"}, 409)
        await browser.send("/members", {"subject": "x", "role": "king"}, 422)
        await browser.send("/members/change", {"subject": SCRIPT, "role": "member"})
        for beyond in (
            ("/members", {"subject": "eve", "role": "owner"}),
            ("/members/change", {"subject": SCRIPT, "role": "owner"}),
            ("/members/change", {"subject": "olga", "role": "viewer"}),
            ("/members/change", {"subject": "olga", "role": "remove"}),
            ("/members/link", {"role": "owner"}),
        ):
            await browser.send(*beyond, 403)
        await browser.send("/members/change", {"subject": SCRIPT, "role": "remove"})
        assert [one.subject for one in await members.listed(site.db, workspace.id)] == ["olga", "otto"]
        await browser.send("/members/link", {"role": "viewer"}, 200)
        (link,) = re.findall(r"/sign-in/[0-9a-f]{32}\.[A-Za-z0-9_=-]+", browser.page)
    async with site.visit() as page:
        await page.goto(link)
        await page.get_by_role("button", name="Sign in").click()
        assert await page.get_by_role("link", name="New connection").count() == 0
        assert await page.get_by_role("link", name="Tokens").count() == 0
        await page.goto("/members")
        assert await page.locator("main form").count() == 0


async def test_the_audit_log_is_searched(site: Site) -> None:
    workspace = await site.workspace()
    made, _ = await tokens.create(site.db, workspace.id, SCRIPT, ["audit:read"], actor=SCRIPT)
    for _ in range(101):
        await tokens.create(site.db, workspace.id, "one of many", ["audit:read"], actor="tests")
    async with site.forms(workspace) as browser:
        await browser.open("/audit")
        (following,) = re.findall(r'href="(/audit\?before=\d+)"', browser.page)
        assert "document.title" not in browser.page
        await browser.open(following)
        assert "First page" in browser.page
        await browser.open(f"/audit?actor={SCRIPT}&action=&subject=&outcome=allowed")
        assert (str(made.id) in browser.page, "one of many" in browser.page) == (True, False)
        await browser.open("/audit?outcome=denied")
        assert "There are no such entries." in browser.page


async def test_they_take_permissions_and_stay_in_their_workspace(site: Site) -> None:
    theirs = await site.workspace()
    made, _ = await tokens.create(site.db, theirs.id, "of theirs", ["audit:read"], actor="tests")
    await members.add(site.db, theirs.id, "theirs", "viewer", actor="tests")
    ours = await site.workspace()
    async with site.forms(ours, by_link=True) as browser:
        await browser.open("/members")
        await browser.send("/members/change", {"subject": "theirs", "role": "remove"}, 404)
        await browser.send(f"/tokens/{made.id}/revoke", {}, 404)
        for path in ("/members", "/tokens", "/audit"):
            await browser.open(path)
            assert not re.search(f"of theirs|>theirs|{made.id}", browser.page)
    async with site.forms(ours, "member", by_link=True) as browser:
        await browser.open("/members")
        for path in ("/members", "/members/change", "/members/link", "/tokens", f"/tokens/{made.id}/revoke"):
            await browser.send(path, {"role": "viewer", "subject": "x"}, 403)
        for path in ("/tokens", "/audit"):
            await browser.open(path, 403)
    async with site.forms(ours) as browser:  # a token that was pasted gives no rights to others
        await browser.open("/tokens")
        await browser.send("/tokens", {"name": "x", "scope.audit:read": "on"}, 403)
