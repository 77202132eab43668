"""The builder: a document from a form to a connector that syncs; and what hostile documents and answers come to."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import yaml
from playwright.async_api import expect

from tests.json_api import JsonApi, serving
from tests.unified.api.pages.conftest import PROVIDER
from unified.kit.declarations import CredentialKind
from unified.kit.secrets import Secret
from unified.store.connectors import documents, drafts
from unified.store.secrets.credentials.store import CredentialStore
from unified.sync.connectors import installing, offers
from unified.sync.connectors.files import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import APIResponse, Page

    from tests.unified.api.pages.conftest import Site
    from unified.store.connections.rows import Connection
    from unified.store.workspaces.rows import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "desk_fake_key_0123456789"
BAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PEOPLE = [
    {"uid": "p1", "full": f"Ann {BAD}", BAD: BAD, "contact": {"mail": "ann@example.com"}, "spent": 1.10},
    {"uid": "p2", "full": "Bob", "contact": {"mail": "no address"}},
]
HOME = "/connectors/build"


class _Api(JsonApi):
    """An API with lists of every bad kind."""

    SESSION = "session_fake_5f3e8a90"
    asked: ClassVar[list[str]] = []

    def post(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, {"token": self.SESSION})

    def get(self) -> None:
        path, key = self.path.partition("?")[0], self.headers["authorization"]
        self.asked.append(self.path)
        if path == "/redirect":
            return self.answer(302, {}, location="https://elsewhere.example/people")
        if path == "/huge":
            return self.answer(200, None, **{"content-length": str(300 * 2**20)})
        if path == "/loop":
            return self.answer(200, {"data": [], "next": f"page{len(self.asked)}"})
        if path == "/echo":
            said = f"you sent {key}, which is {base64.b64encode(KEY.encode()).decode()} and {json.dumps(KEY)}"
            return self.answer(200, {"data": [{"uid": KEY, "full": said}]}, **{"x-echo": str(key)})
        if key != f"Bearer {KEY}":
            return self.answer(401, {"message": f"the key {key} is unknown"})
        return self.answer(200, {"meta": {BAD: 1}, "people": {"items": PEOPLE}}, **{"x-odd": BAD})


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with serving(_Api) as url:
        yield url


@pytest.fixture(scope="module")
def also_open(api: str) -> frozenset[str]:
    return frozenset({api.removeprefix("http://")})


def said(path: str = "/people", version: str = "1.0.0", **changed: Any) -> dict[str, Any]:
    people = {
        "entity": "customers",
        "path": path,
        "records": ["data"],
        "paging": {"kind": "token", "parameter": "page", "token": ["next"]},
        "may_be_empty": True,
        "mapping": {"id": {"paths": ["uid"]}, "rules": [{"target": "name", "source": "full"}]},
    }
    return {
        "engine": 1,
        "id": "shop_desk",
        "version": version,
        "title": "Desk",
        "hosts": ["api.desk.example"],
        "base_url": "https://api.desk.example",
        "auth": {"kind": "bearer", "secret": {"name": "token", "label": "API token", "hint": "desk_"}},
        "requests_per_second": 100,
        "streams": {"people": people},
        **changed,
    }


@dataclass
class Sender:
    """Somebody who is signed in, and sends the builder's form without a browser's help."""

    page: Page
    csrf: str
    api: str

    @classmethod
    async def of(cls, page: Page, api: str) -> Sender:
        return cls(page, await page.locator("input[name=csrf]").first.get_attribute("value") or "", api)

    async def send(self, document: dict[str, Any], action: str = "try", **fields: str) -> APIResponse:
        form = {
            "csrf": self.csrf,
            "action": action,
            "source": json.dumps(document),
            "secret.token": KEY,
            "setting.base_url": self.api,
            "setting.allow_private_hosts": "on",
            "setting.retry_count": "0",
            **fields,
        }
        return await self.page.request.post(HOME, form=form)


async def test_a_connector_is_built_tried_saved_and_published(site: Site, api: str) -> None:
    workspace = await site.workspace()
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(HOME)
        await page.get_by_label("Name", exact=True).fill("shop_desk")
        await page.get_by_label("Path of its list").fill("/people")
        # The form was changed last, so any button takes it.
        await page.get_by_text("Settings", exact=True).click()
        await page.get_by_label("Base URL").fill(api)
        await page.get_by_label("Allow private hosts").check()
        await page.get_by_label("API token").fill(KEY)
        await page.get_by_role("button", name="Try").click()
        await expect(page.get_by_label("Answer", exact=True)).to_contain_text("ann@example.com")
        assert KEY not in await page.content()
        assert "id: shop_desk" in await page.get_by_role("textbox", name="Document").input_value()

        await page.get_by_label("API token").fill(KEY)
        await page.get_by_label("people.items").check()
        await page.get_by_role("button", name="Use these, and try again").click()
        await page.get_by_label("What uid fills").select_option("id")
        await page.get_by_label("What full fills").select_option("name")
        await page.get_by_label("What contact.mail fills").select_option("email")
        await page.get_by_label("API token").fill(KEY)
        await page.get_by_role("button", name="Use these, and try again").click()
        results = page.get_by_role("region", name="Rules and their results")
        await expect(results.get_by_role("row").filter(has_text="contact.mail")).to_contain_text(
            "ann@example.com"
        )
        await expect(page.get_by_label("What uid fills")).to_have_value("id")

        await page.get_by_role("button", name="Save the draft").click()
        await expect(page.get_by_role("status")).to_contain_text("The draft is saved")
        async with site.db.workspace(workspace.id) as conn:
            (draft,) = await drafts.listed(conn)
        stream = yaml.safe_load(draft.source)["streams"]["customers"]
        assert stream["records"] == ["people", "items"]
        assert stream["mapping"]["id"] == {"paths": ["uid"]}
        assert {"target": "email", "source": "contact.mail"} in stream["mapping"]["rules"]

        await page.get_by_role("button", name="Publish to the workspace").click()
        await expect(page.get_by_role("status")).to_contain_text("It is installed")
        (one,) = await documents.seen_by(site.db, workspace.id, "shop_desk")
        assert (one.state, one.tier) == ("installed", "unsigned")
        async with site.db.workspace(workspace.id) as conn:
            assert await drafts.listed(conn) == []


async def test_without_a_script_the_text_counts_until_the_form_is_taken(site: Site) -> None:
    token = await site.token(await site.workspace())
    async with site.visit(token, java_script_enabled=False) as page:
        await page.goto(HOME)
        await page.get_by_label("Title").fill("By form")
        await page.get_by_role("button", name="Save the draft").click()
        assert "title: My Api" in await page.get_by_role("textbox", name="Document").input_value()
        await page.get_by_label("Title").fill("By form")
        await page.get_by_role("button", name="Take the form").click()
        assert "title: By form" in await page.get_by_role("textbox", name="Document").input_value()
        await page.get_by_role("textbox", name="Document").fill("engine: [")
        await page.get_by_role("button", name="Save the draft").click()
        await expect(page.get_by_role("alert")).to_contain_text("it is not YAML")


async def test_hostile_answers_and_documents_come_to_a_word(site: Site, api: str) -> None:
    """No script of an answer runs, no secret that it repeats is shown, and nothing is asked elsewhere or for ever."""
    async with site.visit(await site.token(await site.workspace())) as page:
        await page.goto(HOME)
        sender = await Sender.of(page, api)

        hostile = said()
        hostile["streams"]["people"]["records"] = ["people", "items"]
        text = await (await sender.send(hostile)).text()
        assert "Ann &lt;script&gt;" in text
        assert not re.search(r"<script>alert|<img src=x", text)
        assert KEY not in text

        echoed = await (await sender.send(said("/echo"))).text()
        assert "you sent ********" in echoed
        assert KEY not in echoed
        assert base64.b64encode(KEY.encode()).decode()[:24] not in echoed

        wrong = await (await sender.send(said(), **{"secret.token": "desk_wrong_key_987"})).text()
        assert "answered 401" in wrong
        assert "desk_wrong_key_987" not in wrong

        assert "302" in await (await sender.send(said("/redirect"))).text()
        assert "is larger than 1 MiB" in await (await sender.send(said("/huge"))).text()
        _Api.asked.clear()
        assert "it took 20 requests and was not done" in await (await sender.send(said("/loop"))).text()
        assert len(_Api.asked) == 20

        for url in ("http://127.0.0.1:1", "http://169.254.169.254", "https://elsewhere.example"):
            answer = await sender.send(said(), **{"setting.base_url": url})
            assert answer.status == 422
            assert "base_url" in await answer.text()
            assert "errors says" not in await answer.text()
        private = await sender.send(said(hosts=["10.0.0.1"], base_url="https://10.0.0.1"))
        assert "hosts.0" in await private.text()
        for odd in (
            None,
            {"people": {"mapping": None}},
            {"people": {"mapping": {"rules": [{"target": []}]}}},
        ):
            picked = await sender.send(said(streams=odd), "pick", **{"pick.full": "name"})
            assert picked.status == 422
        secrets = [{"name": "token", "label": "Password", "hint": "yours"}]
        login = {"kind": "session", "secrets": secrets, "path": "/login", "token": ["token"]}
        text = await (await sender.send(said(auth={**login, "body": {"key": "{{ secrets.token }}"}}))).text()
        assert "/login" in text
        assert _Api.SESSION not in text
        assert KEY not in text


async def test_a_form_of_another_page_or_person_does_nothing(site: Site, api: str) -> None:
    workspace = await site.workspace()
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(HOME)
        sender = await Sender.of(page, api)
        assert (await sender.send(said(), "save", csrf="x" * 43)).status == 403
        assert (await sender.send(said(), "save")).ok
        stale = await sender.send(said(title="Other"), "save", draft="shop_desk", revision="7")
        assert stale.status == 409
    async with site.visit(await site.token(workspace, "member")) as page:
        answer = await page.goto(HOME)
        assert answer is not None
        assert answer.status == 403
    async with site.visit(await site.token(await site.workspace())) as page:
        await page.goto(f"{HOME}?draft=shop_desk")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


async def test_a_connections_secret_goes_no_further_than_what_is_installed(site: Site, api: str) -> None:
    workspace, other = await site.workspace(), await site.workspace()
    connection = await _connected(site, workspace, api)
    async with site.visit(await site.token(workspace)) as page:
        await page.goto(HOME)
        sender = await Sender.of(page, api)
        by = {"connection": str(connection.id), "secret.token": ""}
        listed = said(version="1.1.0")
        listed["streams"]["people"]["records"] = ["people", "items"]
        text = await (await sender.send(listed, **by)).text()
        assert "ann@example.com" in text
        assert KEY not in text
        further = said(hosts=["api.desk.example", "evil.example"], base_url="https://evil.example")
        _Api.asked.clear()
        refused = await sender.send(further, **by)
        assert refused.status == 422
        assert "host evil.example" in await refused.text()
        assert (await sender.send(said(id="other_desk"), **by)).status == 422
        assert not _Api.asked

        same = await sender.send(said(title="Same version"), "publish")
        assert "say a higher one than 1.0.0" in await same.text()
        grown = {**further, "version": "2.0.0"}
        assert "It may reach further: host evil.example" in await (await sender.send(grown, "publish")).text()
        assert (await documents.seen_by(site.db, workspace.id, "shop_desk"))[0].version == "1.0.0"
        assert (await sender.send(grown, "publish", agreed="on")).ok
        assert (await documents.seen_by(site.db, workspace.id, "shop_desk"))[0].version == "2.0.0"
    async with site.visit(await site.token(other)) as page:
        await page.goto(HOME)
        sender = await Sender.of(page, api)
        assert (await sender.send(said(), **by)).status == 404


async def _connected(site: Site, workspace: Workspace, api: str) -> Connection:
    """The document, installed, with a connection that has its key."""
    offer = await offers.examine(site.db, Files("desk", json.dumps(said(id="shop_desk")).encode()))
    for one in await documents.installed(site.db, "shop_desk"):
        await installing.remove(site.db, one.workspace_id, "shop_desk", actor="tests")
    await installing.install(site.db, workspace.id, offer, actor="tests")
    settings = {"base_url": api, "allow_private_hosts": True, "retry_count": 0}
    added = await site.registry.add_connection(workspace.id, "shop_desk", "main", settings)
    key = {"token": Secret(KEY)}
    await CredentialStore(site.db, PROVIDER).put(workspace.id, added.id, CredentialKind.BEARER_TOKEN, key)
    return added
