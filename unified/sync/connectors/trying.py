"""A document that somebody writes, tried against the API: one page of one stream, and what its rules make of that.

Secrets go where the document says, so who tries one types them, or uses a connection whose installed document reaches
as far already (:func:`refuse_growth`). It runs aside, with bounds of time, requests and bytes.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unified.kit.decoding import decode_exactly
from unified.kit.document.engine import DocumentAdapter
from unified.kit.errors import AdapterError, ConfigurationError, MappingError
from unified.kit.http.recording import Recording, Shown, recording
from unified.kit.mapping.compiled import compile_rules
from unified.kit.mapping.trial import RuleTrial, Tryout
from unified.schema.base import UnifiedBase
from unified.sync.access.aside import Aside
from unified.sync.access.trials import TEST_BYTES, TEST_SECONDS, TokensElsewhere
from unified.sync.connectors.building import FoundList, lists_in
from unified.sync.connectors.difference import Connector, difference

MOST_REQUESTS = 20
MOST_SAMPLES = 20
_LONGEST_RECORD = 20_000

_ASIDE = Aside("building", at_once=2)


@dataclass(frozen=True, slots=True)
class Result:
    """What a rule made of the sample.

    Attributes:
        trial: What it did, counted.
        values: What it filled in the first records, as text.
    """

    trial: RuleTrial
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial.

    Attributes:
        exchanges: What was asked and answered.
        lists: Lists of objects in the last answer.
        records: The first raw records, decoded; masked as the exchanges.
        results: What each rule made of them.
        rejected: Why records became none, with how often.
        remarks: What looks odd.
        error: Why it ended early.
        seconds: How long it took.
    """

    exchanges: Sequence[Shown]
    lists: Sequence[FoundList]
    records: Sequence[Any]
    results: Sequence[Result]
    rejected: dict[str, int]
    remarks: Sequence[str]
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


async def try_stream(adapter: DocumentAdapter, stream: str) -> Tried:
    """Ask for the first page of a stream.

    Args:
        adapter: Of the draft, not connected yet; it is used for this alone.
        stream: Which stream.
    """
    if adapter.tokens is not None:
        adapter.tokens = TokensElsewhere(adapter.tokens, asyncio.get_running_loop())
    noted = Recording(MOST_REQUESTS, [secret.reveal() for secret in adapter.credentials.values()])
    began = time.monotonic()
    bodies: list[bytes] = []

    async def asked() -> str | None:
        with recording(noted):
            try:
                async with adapter:
                    adapter.http.bound(TEST_BYTES)
                    async with aclosing(adapter.pull(stream, None)) as pages:
                        async for page in pages:
                            bodies.extend(
                                bytes(one.body) for one in page.records[: MOST_SAMPLES - len(bodies)]
                            )
                            if bodies:
                                break
            except AdapterError as error:
                return str(error)
        return None

    async def work() -> Tried:
        error = await asked()
        return _tried(adapter, stream, noted, bodies, error, time.monotonic() - began)

    try:
        return await _ASIDE.run(work, seconds=TEST_SECONDS)
    except TimeoutError:
        error = f"there was no page within {TEST_SECONDS:.0f} s"
        return _tried(adapter, stream, noted, [], error, time.monotonic() - began)


def _tried(
    adapter: DocumentAdapter,
    stream: str,
    noted: Recording,
    bodies: Sequence[bytes],
    error: str | None,
    seconds: float,
) -> Tried:
    said = adapter.document.said.streams[stream]
    compiled = compile_rules(said.table.model, said.mapping.rules)
    now = adapter.clock()
    tryout = Tryout(compiled, now)
    records: list[Any] = []
    values: dict[str, list[str]] = {one.rule.target: [] for one in compiled}
    for body in bodies:
        if len(body) > _LONGEST_RECORD:
            continue
        masked = noted.masked(body.decode(errors="replace")).encode()
        made, raw = _mapped(adapter, stream, masked, now)
        records.append(raw)
        tryout.see(raw, made)
        if not isinstance(made, str):
            said_of = made.model_dump(mode="json")
            for target, shown in values.items():
                shown.append(_at(said_of, target))
    trial = tryout.result()
    return Tried(
        noted.shown(),
        [
            one
            for one in lists_in(noted.last_answer())
            if noted.masked(".".join(one.keys)) == ".".join(one.keys)
        ],
        records,
        [Result(one, values.get(one.target, ())) for one in trial.rules],
        trial.rejected,
        [*trial.remarks, *_too_long(bodies)],
        None if error is None else noted.masked(error),
        seconds,
    )


def _mapped(
    adapter: DocumentAdapter, stream: str, body: bytes, now: datetime
) -> tuple[UnifiedBase | str, Any]:
    try:
        raw = decode_exactly(body)
        return adapter.map_record(stream, body, adapter.origin(stream, now, now)), raw
    except MappingError as error:
        try:
            return str(error), decode_exactly(body)
        except MappingError:
            return str(error), None


def _at(record: dict[str, Any], target: str) -> str:
    """What stands at a rule's target, as text; empty where that is nothing."""
    found: Any = record
    for key in target.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def _too_long(bodies: Sequence[bytes]) -> list[str]:
    count = sum(len(body) > _LONGEST_RECORD for body in bodies)
    return [f"{count} records are longer than {_LONGEST_RECORD:,} bytes and are not shown"] if count else []
