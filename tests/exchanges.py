"""What a client asks and is answered, kept for a test to look at."""

import httpx

from unified.kit.http.client import HttpClient


class Exchanges(httpx.AsyncBaseTransport):
    """Stands before a client's transport.

    Attributes:
        answers: Each with its request, in the order of their coming.
    """

    def __init__(self, http: HttpClient) -> None:
        """Keep what a client sends and gets from now on."""
        self.answers: list[httpx.Response] = []
        self._inner, http._transport = http._transport, self

    async def aclose(self) -> None:
        """Close what stands behind."""
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request on, and keep its answer."""
        answer = await self._inner.handle_async_request(request)
        answer.request = request
        await answer.aread()
        self.answers.append(answer)
        return answer
