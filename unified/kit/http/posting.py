"""POSTs of JSON to one URL of a user's own, a thousand a second: each sent once, with nothing made anew for each.

No retries, no limits, no credential: who sends knows what a failure means for what comes next. Requests to providers
are `client`'s, which does all of that and costs three times the processor time.
"""

from collections.abc import Mapping

import httpx
from yarl import URL

from unified import tracing
from unified.kit.errors import ProtocolError
from unified.kit.http import bodies
from unified.kit.http.answers import Answer
from unified.kit.http.client import unanswered
from unified.kit.http.guarded import GuardedSession, waiting
from unified.kit.origins import target_of
from unified.kit.secrets import without_lookalikes


class Poster:
    """A URL that takes JSON."""

    def __init__(self, url: str, *, label: str, allow_private: bool, timeout: float, most_bytes: int) -> None:
        """Nothing is sent yet.

        Args:
            url: Where to.
            label: Names the receiver in errors.
            allow_private: Whether the URL may lead to a loopback or private address.
            timeout: Seconds to wait for a connection, and for any part of an answer.
            most_bytes: What an answer may hold, decompressed.

        Raises:
            ConfigurationError: If nothing can be sent there.
        """
        origin, path = target_of(url, allow_private=allow_private)
        self._url = URL(f"{origin}{path}", encoded=True)
        self._what = f"{label}: POST {self._url.path}"
        self._headers = (
            ("host", httpx.URL(origin).netloc.decode()),
            ("accept", "application/json"),
            ("accept-encoding", bodies.ACCEPTED),
            ("user-agent", "unified-assets"),
            ("content-type", "application/json"),
        )
        self._timeout = waiting(connect=timeout, read=timeout, pool=timeout)
        self._most_bytes = most_bytes
        self._session = GuardedSession(label, allow_private=allow_private)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.aclose()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send JSON, once: what is answered, of whatever status; redirects are not followed.

        Raises:
            UnavailableError: If there is no whole answer. The body may have been taken all the same.
            ProtocolError: If the answer is too large, or can't be decompressed.
            ForbiddenHostError: If the host resolves to an address that it must not.
        """
        attributes = {"http.request.method": "POST", "server.address": self._url.raw_host}
        with tracing.span("POST", attributes, kind="client") as span:
            try:
                received = await self._session.send(
                    "POST",
                    self._url,
                    headers=(*self._headers, *headers.items()),
                    body=body,
                    timeout=self._timeout,
                    most_bytes=self._most_bytes,
                )
            except httpx.HTTPError as error:
                raise unanswered(self._what, error, without_lookalikes(str(error))) from error
            except bodies.BodyError as error:
                raise ProtocolError(f"{self._what} was answered by a body that {error}") from None
            span.set({"http.response.status_code": received.status})
        return Answer(received.status, received.headers, received.body)
