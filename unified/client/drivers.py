"""Carries out a client's steps (:mod:`unified.client.core`): with ``await``, or without."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import httpx

from unified.client.core import Answer, Call, Failure, RawPage, Steps, Wait
from unified.kit.secrets import Secret

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class Transport(Protocol):
    """Sends calls."""

    def send(self, call: Call) -> Answer | Failure:
        """Send a call, and wait for what it is answered."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class AsyncTransport(Protocol):
    """Sends calls, with ``await``."""

    async def send(self, call: Call) -> Answer | Failure:
        """Send a call, and wait for what it is answered."""
        ...

    async def close(self) -> None:
        """End it."""
        ...


def carried_out(steps: Steps, transport: Transport) -> Iterator[RawPage]:
    """Pages of steps, each call sent as it is due."""
    got: Answer | Failure | None = None
    while True:
        try:
            step = steps.send(got)
        except StopIteration:
            return
        got = None
        match step:
            case Call():
                got = transport.send(step)
            case Wait(seconds):
                time.sleep(seconds)
            case RawPage():
                yield step


async def carried_out_async(steps: Steps, transport: AsyncTransport) -> AsyncIterator[RawPage]:
    """The same, with ``await``."""
    got: Answer | Failure | None = None
    while True:
        try:
            step = steps.send(got)
        except StopIteration:
            return
        got = None
        match step:
            case Call():
                got = await transport.send(step)
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case RawPage():
                yield step


class HttpTransport:
    """Calls over HTTP. Redirects are not followed: the token is for the server that was named."""

    def __init__(self, url: str, token: Secret, workspace: str | None) -> None:
        """Send to the server at ``url``."""
        self._http = httpx.Client(base_url=url, headers=_headers(token, workspace), timeout=_TIMEOUT)

    def send(self, call: Call) -> Answer | Failure:
        """Send a call, and wait for what it is answered."""
        try:
            return _answer(self._http.get(call.path, params=call.query))
        except httpx.TransportError as error:
            return _failure(self._http.base_url, error)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()


class AsyncHttpTransport:
    """The same, with ``await``."""

    def __init__(self, url: str, token: Secret, workspace: str | None) -> None:
        """Send to the server at ``url``."""
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(token, workspace), timeout=_TIMEOUT)

    async def send(self, call: Call) -> Answer | Failure:
        """Send a call, and wait for what it is answered."""
        try:
            return _answer(await self._http.get(call.path, params=call.query))
        except httpx.TransportError as error:
            return _failure(self._http.base_url, error)

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()


def _headers(token: Secret, workspace: str | None) -> dict[str, str]:
    named = {} if workspace is None else {"x-workspace": workspace}
    return {"authorization": f"Bearer {token.reveal()}", "accept": "application/json", **named}


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


def _failure(url: httpx.URL, error: httpx.TransportError) -> Failure:
    reason = " ".join(str(error).split()) or type(error).__name__
    return Failure(f"{url} can't be reached: {reason}; see that the address is right and the server runs")
