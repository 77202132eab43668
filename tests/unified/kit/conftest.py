"""A provider that answers by script over real HTTP, for the tests of what all adapters share."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio


@dataclass(frozen=True)
class Answer:
    """One answer of the scripted provider; ``cut`` ends the connection in the middle of the body."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    cut: bool = False
    never: bool = False


@dataclass
class ScriptedProvider:
    """Plays its script, then goes on with the last answer.

    Attributes:
        url: Where it listens.
        script: The answers.
        requests: First line and headers of each request that arrived, in lower case.
    """

    url: str = ""
    script: list[Answer] = field(default_factory=lambda: [Answer()])
    requests: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head.decode().lower())
                answer = self.script[min(len(self.requests), len(self.script)) - 1]
                if answer.never:
                    await reader.read()
                    break
                is_framed = "transfer-encoding" in answer.headers
                length = {} if is_framed else {"content-length": str(len(answer.body))}
                headers = {**length, **answer.headers}
                lines = [f"HTTP/1.1 {answer.status} Scripted", *(f"{k}: {v}" for k, v in headers.items())]
                body = answer.body[: len(answer.body) // 2] if answer.cut else answer.body
                writer.write("\r\n".join([*lines, "", ""]).encode() + body)
                await writer.drain()
                if answer.cut:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _listen() -> AsyncIterator[ScriptedProvider]:
    provider = ScriptedProvider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield provider
    server.close()


provider = pytest_asyncio.fixture(_listen, name="provider")
other_provider = pytest_asyncio.fixture(_listen, name="other_provider")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the code under test would have slept each time; it does not."""
    asked: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float, result: object = None) -> object:
        asked.append(seconds)
        return await sleep(0, result)

    monkeypatch.setattr(asyncio, "sleep", note)
    return asked
