"""The answers of the ingress, and how one goes out over ASGI.

| status | means | the sender |
|---|---|---|
| 200 | every event of the delivery is committed, or was before; in the words that its verifier has for it | is done |
| 400 | signed, but not what the provider documents | should be looked at |
| 401 | no such endpoint, or not signed by its secret: one answer for both, and empty | should be set up anew |
| 405, 413, 415 | no POST, too large, compressed | can't deliver here |
| 429 | this endpoint sends more than it may | comes again after ``Retry-After`` |
| 503 | the database is away, or too much is waiting; nothing is promised | comes again after ``Retry-After`` |
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from unified.kit.webhooks.deliveries import Answer

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Long enough for a database to fail over, short enough that the sender has not given up.
RETRY_SECONDS = 5

_CLOSE = {"connection": "close"}


def _told(status: int, text: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, f"{text}\n".encode(), {"content-type": "text/plain; charset=utf-8", **named})


# Xero asks for a 401 with nothing else in it.
UNKNOWN = Answer(401)
NO_POST = _told(405, "Deliveries come by POST.", allow="POST", **_CLOSE)
COMPRESSED = _told(415, "Send the body as it is, without Content-Encoding.", **_CLOSE)
UNSTORABLE = _told(400, "The delivery is signed, but holds what can't be stored.")
BUSY = _told(503, "Too much is under way; come again.", retry_after=str(RETRY_SECONDS), **_CLOSE)
NOT_STORED = _told(503, "The delivery could not be stored; come again.", retry_after=str(RETRY_SECONDS))


def too_large(most: int) -> Answer:
    """The body is over its bound; the rest of it is not read, so the connection can't be used again."""
    return _told(413, f"A delivery has at most {most} bytes.", **_CLOSE)


def unreadable(reason: str) -> Answer:
    """The delivery is signed and still no good."""
    return _told(400, reason)


def flooded(seconds: int) -> Answer:
    """The endpoint sends more than it may."""
    return _told(429, "This endpoint sends more than it may; come again.", retry_after=str(seconds))


async def respond(send: Send, answer: Answer) -> None:
    """Send an answer: its own headers and its length, nothing else."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
