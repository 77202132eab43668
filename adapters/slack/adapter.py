"""The Slack adapter: its document, and what no document can say.

What is read and how is in ``connector.yaml``. Source of what is here: https://docs.slack.dev/reference/methods/auth.test
(scopes, ``x-oauth-scopes``), and the scopes that the page of each method names.
"""

import html
from collections.abc import Iterator
from importlib.resources import files
from typing import ClassVar, NamedTuple

import msgspec

from adapters.slack import webhooks
from unified.kit.declarations import Account, Capability, Stream
from unified.kit.document.engine import DocumentAdapter
from unified.kit.document.model import read
from unified.kit.errors import (
    ConfigurationError,
    PermissionDeniedError,
    ProtocolError,
    RequestRefusedError,
)
from unified.kit.registry import register_adapter
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.signatures import Verifier
from unified.kit.webhooks.verifiers import SlackVerifier
from unified.schema.entities import EVENTS

_FILE = files(__package__) / "connector.yaml"


class _Opened(msgspec.Struct):
    """The answer of ``auth.test``."""

    team_id: str
    team: str | None = None
    is_enterprise_install: bool = False


class _Token(NamedTuple):
    """What a token opens, and its scopes; None where Slack does not say."""

    opened: _Opened
    scopes: frozenset[str] | None


class _Posted(msgspec.Struct):
    """The answer of ``chat.postMessage``."""

    channel: str
    ts: str


_OPENED = msgspec.json.Decoder(_Opened)
_POSTED = msgspec.json.Decoder(_Posted)

_LONGEST_TEXT = 4_000


@register_adapter
class SlackAdapter(DocumentAdapter, document=read(_FILE.read_bytes(), _FILE.name)):
    """People, channels and messages of one Slack workspace."""

    capabilities = frozenset((Capability.READ, Capability.WEBHOOK))
    delivered_streams = (Stream("events", EVENTS, to_unified=webhooks.to_event),)
    verifiers: ClassVar[tuple[Verifier, ...]] = (SlackVerifier(),)
    leading: ClassVar[frozenset[str]] = webhooks.LEADING
    owner = staticmethod(webhooks.owner)

    def subjects(self, event: ReceivedEvent) -> Iterator[Subject]:
        """The records that an event is about, of the kinds of channels that the connection reads."""
        return webhooks.subjects(event, self.config.said()["channel_types"].split(","))

    @classmethod
    def needs_sync(cls, event: ReceivedEvent) -> bool:
        """Whether Slack has dropped events, or taken the token back."""
        return event.event_type in webhooks.NEEDS_SYNC

    async def test(self) -> Account:
        """Ask whose workspace it is, and see that the token has the scopes of each stream, e-mail addresses included.

        Without its scope Slack leaves an e-mail address out and does not say so.
        """
        token = await self._token()
        account = self._account(token.opened)
        missing = [
            f"{scope} ({stream.name})"
            for stream in self.chosen(self.connection.streams)
            for scope in self._scopes(stream.name)
            if token.scopes is not None and scope not in token.scopes
        ]
        if missing:
            raise PermissionDeniedError(
                f"{self.label}: its token lacks {', '.join(missing)}; add that to the app's Bot Token Scopes and "
                "install the app again, or choose the connection's streams and settings without"
            )
        await self.may_read(self.look)
        return account

    async def account(self) -> Account:
        """The workspace; events name it by the same id."""
        return self._account((await self._token()).opened)

    async def _token(self) -> _Token:
        answer = await self.http.exchange("GET", "/api/auth.test")
        try:
            opened = answer.decoded(_OPENED)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ProtocolError(
                f"{self.label}: auth.test answered something else than it documents; is base_url right?"
            ) from None
        said = answer.headers.get("x-oauth-scopes")
        return _Token(opened, None if said is None else frozenset(one.strip() for one in said.split(",")))

    async def notify(self, place: str, text: str) -> str:
        """Post a message to a channel that the app is in, as plain text: nothing in it mentions or pings anybody.

        https://docs.slack.dev/reference/methods/chat.postMessage; a text should have at most 4,000 characters.

        Args:
            place: The channel's id, such as ``C0123ABCD``.
            text: What to say.
        """
        cut = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
        form = {
            "channel": place, "text": html.escape(cut, quote=False), "mrkdwn": "false", "unfurl_links": "false",
        }  # fmt: skip
        try:
            posted = await self.http.request(
                "POST", "/api/chat.postMessage", _POSTED, form=form, limit="post", effect="once"
            )
        except RequestRefusedError as error:
            if error.code != "not_in_channel":
                raise
            raise PermissionDeniedError(
                f"{self.label}: the app is not in the channel {place}; invite it there",
                status=200,
                code=error.code,
            ) from None
        return f"{posted.channel}:{posted.ts}"

    def _account(self, opened: _Opened) -> Account:
        team = self.config.said()["team_id"]
        if opened.is_enterprise_install and not team:
            raise ConfigurationError(
                f"{self.label}: its token opens the organization {opened.team}; set team_id to one of its workspaces"
            )
        if team and not opened.is_enterprise_install and team != opened.team_id:
            raise ConfigurationError(
                f"{self.label}: its token opens the workspace {opened.team_id} and not {team}; correct team_id"
            )
        return Account(team or opened.team_id, opened.team)

    def _scopes(self, stream: str) -> Iterator[str]:
        """What a stream needs, by the connection's settings."""
        said = self.config.said()
        if stream == "users":
            yield "users:read"
            if said["emails"] == "yes":
                yield "users:read.email"
            return
        kinds = [
            "channels" if kind == "public_channel" else "groups" for kind in said["channel_types"].split(",")
        ]
        for kind in kinds:
            yield f"{kind}:read"
            if stream == "messages":
                yield f"{kind}:history"
