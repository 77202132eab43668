"""The Jira adapter: its document, and what no document can say.

Who asks, what refusals mean, people and organizations are in ``connector.yaml``. Source of what is here:
https://developer.atlassian.com/cloud/jira/platform/rest/v3 and .../platform/oauth-2-3lo-apps.
"""

from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec

from adapters.jira import events, mapping
from adapters.jira.history import EventSource
from adapters.jira.issues import IssueSource
from adapters.jira.registering import register
from adapters.jira.reporting import REPORTING, report
from adapters.jira.saying import say
from adapters.jira.webhooks import JiraAppVerifier, JiraVerifier
from unified.kit.declarations import Account, Capability, Stream
from unified.kit.document.engine import DocumentAdapter
from unified.kit.document.model import read
from unified.kit.errors import ConfigurationError, NotFoundError, PermissionDeniedError
from unified.kit.http.client import HttpClient
from unified.kit.oauth_app import usual_base_url
from unified.kit.reading.people import Person, Reported
from unified.kit.registry import register_adapter
from unified.kit.webhooks.payloads import fields_of
from unified.kit.webhooks.signatures import Verifier
from unified.schema.entities import EVENTS, RECORDS

_FILE = files(__package__) / "connector.yaml"


class _Server(msgspec.Struct, rename="camel"):
    base_url: str
    server_title: str | None = None


_SERVER = msgspec.json.Decoder(_Server)
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)


@register_adapter
class JiraAdapter(DocumentAdapter, document=read(_FILE.read_bytes(), _FILE.name)):
    """Organizations, customers, issues and their history of one Jira site."""

    capabilities = frozenset({Capability.READ, Capability.WEBHOOK})
    named_values: ClassVar[Mapping[str, Collection[str]]] = MappingProxyType(
        dict.fromkeys(("field", "fieldId"), ("from", "fromString", "to", "toString"))
    )
    streams = (
        Stream("issues", RECORDS, source=IssueSource, to_unified=mapping.to_issue),
        Stream("events", EVENTS, source=EventSource, to_unified=events.to_event),
    )
    verifiers: ClassVar[tuple[Verifier, ...]] = (JiraVerifier(), JiraAppVerifier())
    leading: ClassVar[frozenset[str]] = fields_of(events.Event)
    subjects = staticmethod(events.subjects)
    reporting = REPORTING

    def open_http(self) -> HttpClient:
        """The client, for the site's own address, or for the gateway where its id is known.

        Raises:
            ConfigurationError: If it is not known which site is meant.
        """
        said = self.config.said()
        base_url = self.config.base_url
        if said["cloud_id"]:
            base_url = f"{base_url}/ex/jira/{said['cloud_id']}"
        elif self.tokens is not None:
            raise ConfigurationError(
                f"{self.label}: cloud_id is not set, so it is not known which site is meant; authorize it again"
            )
        elif base_url == usual_base_url(type(self)):
            if not said["site"]:
                raise ConfigurationError(
                    f"{self.label}: site is not set; it is the first part of the address, acme of acme.atlassian.net"
                )
            base_url = f"https://{said['site']}.atlassian.net"
        self.config = self.config.model_copy(update={"base_url": base_url})
        return super().open_http()

    async def notify(self, place: str, text: str) -> str:
        """Comment on an issue, or make one in a project; see :func:`adapters.jira.saying.say`."""
        return await say(self.http, place, text, label=self.label)

    async def register_webhook(self, url: str, only: str, *, verifier: str) -> str:
        """Register a webhook of the OAuth app; see :func:`adapters.jira.registering.register`.

        Raises:
            ConfigurationError: If the connection is not an app's, or the endpoint expects an administrator's webhook.
        """
        if self.tokens is None:
            raise ConfigurationError(
                f"{self.label} asks by an API token, and only an OAuth app registers webhooks: have an administrator "
                "enter the URL under System, WebHooks"
            )
        if verifier != JiraAppVerifier.name:
            raise ConfigurationError(
                f"{self.label}: an app's webhooks are proven by the app's client secret, and this endpoint expects "
                f"{verifier}; `unified webhooks add --verifier {JiraAppVerifier.name}` makes one that fits"
            )
        if not only:
            raise ConfigurationError(
                f"{self.label}: say with --only which issues, as in 'project = SUP': Jira takes =, !=, IN and NOT IN "
                "of issueKey, project, issuetype, status, assignee and reporter, and no webhook without one"
            )
        return await register(self.http, url, only)

    async def report(self, people: Sequence[Person]) -> Reported:
        """Say whose data are kept; see :func:`adapters.jira.reporting.report`."""
        return await report(self.http, people)

    async def look(self, stream: Stream) -> None:
        """Ask for a little of a stream.

        Raises:
            PermissionDeniedError: If the site has no service desk, whose paths are missing then.
        """
        if stream.name in ("issues", "events"):
            asked = {"jql": "created >= 0 ORDER BY created ASC", "fields": ["id"], "maxResults": 1}
            await self.http.request("POST", "/rest/api/3/search/jql", _ANYTHING, json=asked)
            return
        try:
            await super().look(stream)
        except NotFoundError as error:
            raise PermissionDeniedError(
                f"{error} Has the site Jira Service Management?", status=error.status, code=error.code
            ) from None

    async def account(self) -> Account:
        """The site, known by its host.

        Raises:
            ConfigurationError: If there is no such site.
        """
        try:
            # Anybody may ask for the server's name, so the credential is tried by asking whose it is.
            await self.http.request("GET", "/rest/api/3/myself", _ANYTHING)
            server = await self.http.request("GET", "/rest/api/3/serverInfo", _SERVER)
        except NotFoundError as error:
            raise ConfigurationError(
                f"{self.label}: there is no Jira at {self.config.base_url} ({error}); correct site or cloud_id"
            ) from None
        host = urlsplit(server.base_url).hostname or server.base_url
        return Account(host, server.server_title)
