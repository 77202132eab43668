"""What every adapter must pass, for Jira."""

from datetime import datetime
from typing import ClassVar

from adapters.jira.adapter import JiraAdapter
from unified.conformance.bench import NOW, Bench
from unified.conformance.suite import conformance
from unified.sandbox.jira import JiraSandbox

EMAIL = JiraSandbox.default_keys[0]


class JiraBench(Bench):
    """A site with several pages of everything."""

    adapter_class = JiraAdapter
    credentials: ClassVar[dict[str, str]] = {"email": EMAIL, "api_token": JiraSandbox.token(EMAIL)}
    # The others are read as the document says, and documents pass the checks in test_engine.
    covers = ("issues", "events")
    # A deletion shows in no search: it is found by comparing ids (test_adapter).
    edits: ClassVar[dict[str, frozenset[str]]] = {"issues": frozenset({"create", "update"})}
    # A search that says the time, then one for the first page, and the names of fields.
    before_pages = 2
    webhook_secret = "fake-webhook-secret"
    unsigned = frozenset({"time"})

    def stand_in(self, *, empty: bool) -> JiraSandbox:
        """Sizes that make three pages and more."""
        sizes = {"people": 30, "issues": 90, "histories": 60, "comments": 30, "organizations": 5}
        return JiraSandbox(now=NOW, page=40, **(dict.fromkeys(sizes, 0) if empty else sizes))

    def ids(self, stream: str) -> set[str]:
        """Issues; or what happened to them: that they were made, their steps, and their comments."""
        account = self.provider.account()
        if stream == "issues":
            return set(account.all("issues"))
        made = {f"issue:{one}:created" for one in account.all("issues")}
        said = account.all("comments")
        changed = {
            f"comment:{one}:updated:{_milliseconds(it['updated'])}"
            for one, it in said.items()
            if it["updated"] != it["created"]
        }
        return {*made, *account.all("histories"), *(f"comment:{one}:created" for one in said), *changed}

    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """A change that is announced."""
        fields = {"summary": "Changed"} if change == "update" else {}
        return str(self.provider.mutate(change, None, stream, *filter(None, [record_id]), **fields)["id"])


def _milliseconds(written: str) -> int:
    return int(datetime.fromisoformat(written).timestamp() * 1000)


TestJira = conformance(JiraBench)
