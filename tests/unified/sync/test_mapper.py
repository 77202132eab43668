"""Mapping in a process of its own: the same outcomes, no secret, and nobody left behind."""

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psutil
import pytest

from tests.unified.sync.connectors import desk
from tests.waiting import LIMIT_SECONDS
from unified.kit.declarations import ConnectionRef
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import read
from unified.kit.factory import build_adapter
from unified.kit.mapping.rules import Rule
from unified.kit.registry import discover_adapters
from unified.kit.secrets import Secret
from unified.sync import mapper as mapper_module
from unified.sync.mapper import Mapper
from unified.sync.mapping import Candidate, Mapping

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SECRET = "sk_test_fake_that_stays_here"
RULES = (Rule(source="metadata.vat", target="tax_number"),)

PARENT = """
import asyncio, sys
from unified.sync import mapper
async def main():
    beside = mapper.Mapper()
    beside._child = child = mapper._Child()
    while not child.is_ready():
        await asyncio.sleep(0.01)
    print(child._process.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def mapping() -> Mapping:
    ref = ConnectionRef(UUID(int=1), UUID(int=2), "acme/stripe")
    return Mapping(build_adapter("stripe", {}, {"api_key": Secret(SECRET)}, ref), "customers", RULES)


def candidates() -> list[Candidate]:
    good = b'{"id": "cus_1", "name": "Ada", "metadata": {"vat": "CHE-1"}}'
    bad = b'{"id": "cus_2", "object": "card"}'
    return [Candidate("cus_1", good, 1, NOW), Candidate("cus_2", memoryview(bad), 2, NOW)]


RECORDS = [(candidate.body, candidate.observed_at) for candidate in candidates()]


AT_ONCE = -1.0  # a child is worth it from the first record on


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are."""
    monkeypatch.setattr(mapper_module, "_cores", lambda: 2)


async def started(mapper: Mapper) -> psutil.Process:
    await mapper.encode(mapping(), candidates(), NOW)
    assert mapper._child is not None
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await asyncio.to_thread(mapper._child.is_ready):
            pass
    return psutil.Process(mapper._child._process.pid)


async def test_a_child_maps_as_this_process_does(two_cores: None, monkeypatch: pytest.MonkeyPatch) -> None:
    here = mapping().encode(RECORDS, NOW)
    assert [type(outcome) for outcome in here] == [tuple, str]
    async with Mapper(worth_a_process=AT_ONCE) as mapper:
        child = await started(mapper)

        def refuse(*_: Any) -> None:
            raise AssertionError("mapped in the parent")

        monkeypatch.setattr(Mapping, "encode", refuse)
        assert await mapper.encode(mapping(), candidates(), NOW) == here
    assert not child.is_running()


async def test_a_child_that_is_killed_loses_nothing(
    two_cores: None, caplog: pytest.LogCaptureFixture
) -> None:
    here = mapping().encode(RECORDS, NOW)
    async with Mapper(worth_a_process=AT_ONCE) as mapper:
        child = await started(mapper)
        child.kill()
        for _ in range(2):
            assert await mapper.encode(mapping(), candidates(), NOW) == here
    assert [record.message for record in caplog.records if "has ended" in record.message] != []
    assert not child.is_running()


async def test_few_records_start_no_process(two_cores: None) -> None:
    async with Mapper() as mapper:
        for _ in range(3):
            await mapper.encode(mapping(), candidates(), NOW)
        assert mapper._child is None


async def test_a_process_is_started_once_mapping_has_taken_so_long(two_cores: None) -> None:
    async with Mapper(worth_a_process=0.0) as mapper:
        await mapper.encode(mapping(), candidates(), NOW)
        assert mapper._child is None
        await mapper.encode(mapping(), candidates(), NOW)
        assert mapper._child is not None


def test_a_mapping_travels_without_its_credentials() -> None:
    travelled = pickle.dumps(mapping())
    assert SECRET.encode() not in travelled
    arrived = pickle.loads(travelled)  # noqa: S301 - made above
    assert arrived.encode(RECORDS, NOW) == mapping().encode(RECORDS, NOW)


def test_a_documents_mapping_travels_with_its_document_and_installs_nothing() -> None:
    adapter = adapter_class(read(desk.files(desk.said()).document, "desk.json"))
    ref = ConnectionRef(UUID(int=1), UUID(int=2), "acme/desk")
    made = Mapping(adapter(adapter.config_model(), {}, ref), "customers")
    arrived = pickle.loads(pickle.dumps(made))  # noqa: S301 - as above
    person = [(json.dumps(desk.PEOPLE[0]).encode(), NOW)]
    assert arrived.encode(person, NOW) == made.encode(person, NOW)
    assert "desk" not in discover_adapters()


def test_a_child_imports_what_maps() -> None:
    serving = f"{mapper_module._SERVE}import sys; print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", serving]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    modules = set(done.stderr.split())
    assert "unified.kit.adapter" in modules
    assert modules & {"aiohttp", "click", "pygments", "rich", "unified.kit.mapping.rules"} == set()


def test_a_child_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
        child.wait(LIMIT_SECONDS)
    assert not child.is_running()
