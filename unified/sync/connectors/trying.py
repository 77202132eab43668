"""A document that somebody writes, tried against the API: two pages of a stream, and what its rules make of the first.

Secrets go where the document says, so who tries one types them (:func:`with_secrets`), or uses a connection whose
installed document reaches as far already (:func:`refuse_growth`). It runs aside, with bounds of time, requests and
bytes.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from unified.kit.declarations import ConnectionRef, CredentialField, CredentialKind
from unified.kit.document.engine import DocumentAdapter
from unified.kit.document.settings import DocumentConfig
from unified.kit.errors import AdapterError, AuthenticationError, ConfigurationError
from unified.kit.http.recording import Recording, Shown, recording
from unified.kit.mapping.compiled import compile_rules
from unified.kit.mapping.trial import Trial
from unified.kit.secrets import Secret
from unified.sync.access.aside import Aside
from unified.sync.access.trials import TEST_ATTEMPTS, TEST_BYTES, TEST_SECONDS, TokensElsewhere
from unified.sync.connectors.building import FoundList, lists_in
from unified.sync.connectors.difference import Connector, difference
from unified.sync.connectors.sampling import LONGEST_RECORD, sampled, too_long
from unified.sync.remapping.trials import mapped

MOST_REQUESTS = 20
MOST_SAMPLES = 20
MOST_PAGES = 2
"""The second shows whether pages follow each other: a document that misreads where they go on ends after the first."""

_ACCESS_TOKEN = CredentialField(
    "access_token",
    "access token",
    "of OAuth; it is used as it is, and kept nowhere. The API's own pages often give one",
)

_NOBODY = UUID(int=0)

_ASIDE = Aside("building", at_once=2)


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial.

    Attributes:
        exchanges: What was asked and answered.
        lists: Lists of objects in the last answer.
        records: The first raw records, decoded; masked as the exchanges.
        read: How many there were on the pages that were read.
        pages: How many pages that is.
        is_end: Whether there was no page behind these.
        trial: What rules did to them, counted, why some became no record, and what looks odd.
        values: What each rule filled in them, as text, by its target; those of lines are left out.
        error: Why it ended early.
        seconds: How long it took.
    """

    exchanges: Sequence[Shown]
    lists: Sequence[FoundList]
    records: Sequence[Any]
    read: int
    pages: int
    is_end: bool
    trial: Trial
    values: Mapping[str, Sequence[str]]
    error: str | None
    seconds: float


def refuse_growth(installed: Connector | None, draft: Connector) -> None:
    """See that a draft sends a connection's secrets no further than what is installed.

    Raises:
        ConfigurationError: If it does, or what is installed can't be read.
    """
    grown = difference(installed, draft)
    if installed is None or grown.grows:
        raise ConfigurationError(
            "the draft reaches further than what is installed "
            f"({'; '.join(grown.growth()) or 'which can not be read'}), and a connection's secrets do not go there "
            "before a person has agreed by installing it; type the secret here instead"
        )


def secret_fields(kind: type[DocumentAdapter]) -> Sequence[CredentialField]:
    """The secrets that somebody types for a trial: the connector's, or an access token where it has OAuth alone."""
    return kind.credential_fields or ([_ACCESS_TOKEN] if kind.oauth else [])


def with_secrets(
    kind: type[DocumentAdapter],
    settings: Mapping[str, Any],
    secrets: Mapping[str, Secret],
    workspace_id: UUID = _NOBODY,
) -> DocumentAdapter:
    """A draft with secrets that somebody typed, which are kept nowhere.

    Args:
        kind: What the draft makes.
        settings: Checked by :func:`unified.kit.settings.checked_settings`.
        secrets: One for each of :func:`secret_fields`.
        workspace_id: Whose trial it is; nobody's where no workspace is meant.
    """
    config = kind.config_model.model_validate(settings)
    assert isinstance(config, DocumentConfig)  # noqa: S101 - of a document
    token = secrets.get(_ACCESS_TOKEN.name) if kind.credential_kind is CredentialKind.OAUTH_TOKEN else None
    tokens = None if token is None else _TypedToken(token)
    return kind(config, secrets, ConnectionRef(_NOBODY, workspace_id, "draft"), tokens=tokens)


class _TypedToken:
    """An access token that nobody refreshes."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def current(self) -> Secret:
        """The token."""
        return self._token

    async def renewed(self, rejected: Secret) -> Secret:
        """Nothing: there is no other one.

        Raises:
            AuthenticationError: In any case.
        """
        del rejected
        raise AuthenticationError("the access token is refused: it has run out, or is another API's")


@dataclass(slots=True)
class _Answered:
    """What came of a stream so far, as it came: it may hold what is secret."""

    bodies: list[bytes] = field(default_factory=list)
    read: int = 0
    pages: int = 0
    is_end: bool = False
    first: bytes | None = None
    error: str | None = None


async def try_stream(adapter: DocumentAdapter, stream: str) -> Tried:
    """Ask for the first pages of a stream.

    Args:
        adapter: Of the draft, not connected yet; it is used for this alone.
        stream: Which stream.
    """
    if adapter.tokens is not None:
        adapter.tokens = TokensElsewhere(adapter.tokens, asyncio.get_running_loop())
    noted = Recording(MOST_REQUESTS, [secret.reveal() for secret in adapter.credentials.values()])
    began = time.monotonic()
    answered = _Answered()

    async def work() -> Tried:
        with recording(noted):
            try:
                async with adapter:
                    adapter.http.bound(TEST_BYTES, attempts=TEST_ATTEMPTS)
                    await _read(adapter, stream, noted, answered)
            except AdapterError as error:
                answered.error = str(error)
        return _tried(adapter, stream, noted, answered, time.monotonic() - began)

    try:
        return await _ASIDE.run(work, seconds=TEST_SECONDS)
    except TimeoutError:
        answered = _Answered(error=f"there was no page within {TEST_SECONDS:.0f} s")
        return _tried(adapter, stream, noted, answered, time.monotonic() - began)


async def _read(adapter: DocumentAdapter, stream: str, noted: Recording, into: _Answered) -> None:
    async with aclosing(adapter.pull(stream, None)) as pages:
        async for page in pages:
            if not page.records:
                continue
            if into.first is None:
                into.first = noted.last_answer()
            into.bodies += [bytes(one.body) for one in page.records[: MOST_SAMPLES - len(into.bodies)]]
            into.read += len(page.records)
            into.pages += 1
            if into.pages == MOST_PAGES:
                return
    into.is_end = True


def _tried(
    adapter: DocumentAdapter, stream: str, noted: Recording, answered: _Answered, seconds: float
) -> Tried:
    said = adapter.document.said.streams[stream]
    now = adapter.clock()
    found = sampled(
        compile_rules(said.table.model, said.mapping.rules),
        (
            mapped(adapter, stream, noted.masked(body.decode(errors="replace")).encode(), now)
            for body in answered.bodies
            if len(body) <= LONGEST_RECORD
        ),
        now,
    )
    whole = noted.last_answer() if answered.first is None else answered.first
    return Tried(
        noted.shown(),
        [one for one in lists_in(whole) if noted.masked(".".join(one.keys)) == ".".join(one.keys)],
        found.records,
        answered.read,
        answered.pages,
        answered.is_end,
        replace(found.trial, remarks=[*found.trial.remarks, *too_long(answered.bodies)]),
        found.values,
        None if answered.error is None else noted.masked(answered.error),
        seconds,
    )
