"""What every adapter must pass, for Slack."""

from typing import Any, ClassVar

from adapters.slack.adapter import SlackAdapter
from unified.conformance.bench import NOW, Bench
from unified.conformance.suite import conformance
from unified.sandbox.slack import SlackSandbox

_CHANGES: dict[str, dict[str, Any]] = {"users": {"tz": "Asia/Tokyo"}, "channels": {"name": "renamed"}}


class SlackBench(Bench):
    """A workspace with several pages of people."""

    adapter_class = SlackAdapter
    credentials: ClassVar[dict[str, str]] = {"bot_token": "xoxb-fake-acme"}
    covers = ("users",)
    edits: ClassVar[dict[str, frozenset[str]]] = dict.fromkeys(
        _CHANGES, frozenset({"create", "update", "delete"})
    )
    whole = frozenset(_CHANGES)
    webhook_secret = "fake-signing-secret"

    def stand_in(self, *, empty: bool) -> SlackSandbox:
        """Sizes that make three pages and more."""
        sizes = {"users": 130, "channels": 60, "messages": 150}
        return SlackSandbox(now=NOW, page=40, **(dict.fromkeys(sizes, 0) if empty else sizes))

    def ids(self, stream: str) -> set[str]:
        """Humans who are not deactivated, public channels, messages outside of threads."""
        return set(self.provider.account().all(stream))

    def edit(self, change: str, stream: str, record_id: str | None) -> str:
        """A change that is announced."""
        fields = _CHANGES[stream] if change == "update" else {}
        return str(self.provider.mutate(change, None, stream, *filter(None, [record_id]), **fields)["id"])


TestSlack = conformance(SlackBench)
