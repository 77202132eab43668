"""A provider in trouble: what passes loses nothing, what stays ends in the right error, and neither shows a secret."""

import asyncio
import logging
import traceback
from typing import Any

from unified.conformance.bench import Bench, Copy
from unified.conformance.checks import Cases, check, each_stream, once
from unified.kit.errors import (
    AdapterError,
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    ProviderError,
    RateLimitedError,
    UnavailableError,
)

PASSING: dict[str, dict[str, Any]] = {
    "429": {"kind": "status", "status": 429},
    "429 with Retry-After": {"kind": "status", "status": 429, "retry_after": "0"},
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "cut": {"kind": "cut"},
    "malformed": {"kind": "malformed"},
    "web page": {"kind": "html", "status": 200},
    "web page 502": {"kind": "html", "status": 502},
}

STAYING: dict[str, tuple[dict[str, Any], tuple[type[ProviderError], ...]]] = {
    "429": ({"kind": "status", "status": 429}, (RateLimitedError,)),
    "500": ({"kind": "status", "status": 500}, (UnavailableError,)),
    "cut": ({"kind": "cut"}, (UnavailableError, ProtocolError)),
    "malformed": ({"kind": "malformed"}, (UnavailableError, ProtocolError)),
    "web page": ({"kind": "html", "status": 200}, (UnavailableError, ProtocolError)),
    "revoked": ({"kind": "revoked"}, (AuthenticationError,)),
    "403": ({"kind": "status", "status": 403}, (PermissionDeniedError,)),
}


def _first_with(kinds: dict[str, Any], *everywhere: str) -> Cases:
    """All kinds with the first stream, as one client tells them apart; one with each, to see that its load goes on."""
    return lambda bench: [
        (stream, kind)
        for number, stream in enumerate(bench.streams())
        for kind in kinds
        if number == 0 or kind in everywhere
    ]


@check(_first_with(PASSING, "503"))
async def trouble_that_passes_loses_nothing(bench: Bench, stream: str, trouble: str) -> None:
    """Some requests fail once; the load is complete, and each record comes once."""
    for skip in (1, 3, 2):
        bench.fault(skip=skip, **PASSING[trouble])
    copy = Copy(stream)
    await bench.sync(copy)
    assert copy.records.keys() == bench.ids(stream)
    assert len(copy.met) == len(set(copy.met)), "a record came twice"


@check(lambda bench: [(bench.streams()[0],)])
async def an_answer_that_takes_too_long_is_asked_for_again(bench: Bench, stream: str) -> None:
    """A time limit, not a run that hangs; it is of the adapter's one client, so a stream stands for all."""
    bench.fault("slow", seconds=6, skip=1)
    copy = Copy(stream)
    # On a busy machine another answer may take a second too; it is then asked for again as well.
    await asyncio.wait_for(bench.sync(copy, timeout=1, retry_count=20), 120)
    assert copy.records.keys() == bench.ids(stream)


@check(_first_with(STAYING, "500"))
async def trouble_that_stays_ends_right_and_the_next_run_goes_on(
    bench: Bench, stream: str, trouble: str
) -> None:
    """The error is of the right kind; what was stored stays, and once the trouble is over the rest follows."""
    fault, kinds = STAYING[trouble]
    bench.fault(skip=1, times=None, **fault)
    copy = Copy(stream)
    try:
        await bench.sync(copy, retry_count=1, concurrency=1)
    except kinds as error:
        assert f"acme/{bench.adapter_class.name}" in str(error), "an error names the connection"
        assert "\n" not in str(error), "an error is one line"
    else:
        raise AssertionError("a load that could not be complete ended without an error")
    bench.provider.faults.clear()
    await bench.sync(copy)
    await bench.settled(copy)
    assert copy.records.keys() == bench.ids(stream)


@check(each_stream)
async def a_page_that_repeats_is_noticed(bench: Bench, stream: str) -> None:
    """A provider that sends the page before once more: an error, or a load that is complete all the same."""
    copy = Copy(stream)
    bench.fault("repeat", skip=2, times=None)
    try:
        await asyncio.wait_for(bench.sync(copy, concurrency=1), 120)
    except ProtocolError as error:
        assert f"acme/{bench.adapter_class.name}" in str(error), "an error names the connection"
    bench.provider.faults.clear()
    await bench.sync(copy)
    await bench.settled(copy)
    assert copy.records.keys() == bench.ids(stream)


@check(each_stream)
async def a_record_without_an_id_costs_no_other(bench: Bench, stream: str) -> None:
    """One broken record on the second page: the others come, and the load ends."""
    bench.fault("bad_record", skip=bench.before(stream) + 1, drop=bench.id_path(stream), record=3)
    copy = Copy(stream)
    await bench.sync(copy, concurrency=1)
    assert len(bench.ids(stream) - copy.records.keys()) <= 1
    assert copy.records.keys() <= bench.ids(stream)


@check(once)
async def a_credential_appears_in_no_error_log_or_repr(bench: Bench) -> None:
    """Whatever goes wrong: the canary is the credential, plain, quoted, escaped or as Basic carries it."""
    seen: list[str] = []
    handler = _Kept(seen)
    logging.getLogger().addHandler(handler)
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        await _provoke(bench, seen)
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger().setLevel(level)
    assert bench.leaks(seen) == []
    assert len(seen) > len(STAYING), "nothing was provoked"


async def _provoke(bench: Bench, seen: list[str]) -> None:
    for fault, _ in STAYING.values():
        bench.provider.faults.clear()
        bench.fault(times=None, **fault)
        await _note(bench, seen)
    bench.provider.faults.clear()
    for credential in bench.credentials.values():
        bench.provider.revoke(credential)
    await _note(bench, seen)
    for credential in bench.credentials.values():
        bench.provider.restore(credential)
    await _note(bench, seen, base_url=f"{bench.url}/elsewhere")
    await _note(bench, seen, base_url="http://127.0.0.1:9")


async def _note(bench: Bench, seen: list[str], **settings: Any) -> None:
    adapter = bench.open(**{"retry_count": 0, **settings})
    try:
        async with adapter:
            seen += [repr(adapter), repr(adapter.http), repr(adapter.config), repr(adapter.credentials)]
            await adapter.test()
            async for _ in adapter.pull(bench.streams()[0], None):
                pass
    except AdapterError as error:
        seen += [str(error), repr(error), "".join(traceback.format_exception(error))]


class _Kept(logging.Handler):
    """Keeps every line that is logged, of any library."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self._seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        """Keep its text, and the traceback that belongs to it."""
        self._seen.append(f"{record.getMessage()} {record.exc_text or ''}")
