"""A stand-in of language models' providers: the Messages API, and chat completions as local servers have them.

It answers what a test has it answer, as one JSON document or, where that is asked for, as a stream of events. Its forms
are those of https://docs.claude.com/en/api/messages and https://platform.openai.com/docs/api-reference/chat, held
against the official client's types in tests/unified/kit/asking.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = (120, 30)
"""Tokens of question and answer."""


@dataclass
class Reply:
    """What a request is answered with.

    Attributes:
        text: Of the model; of a request's own question where it is a function.
        stop: Why it ended, as the Messages API says it.
        status: Of HTTP.
        retry_after: The header, where there is one.
        seconds: To wait before.
    """

    text: str | Callable[[str], str] = "{}"
    stop: str = "end_turn"
    status: int = 200
    retry_after: str | None = None
    seconds: float = 0


@dataclass
class ModelServer:
    """A provider that listens on this machine.

    Attributes:
        url: Of the Messages API; chat completions are below `/v1`.
        replies: Answers of the next requests; the last one stays.
        requests: Path, headers and body of each request so far.
    """

    url: str = ""
    replies: list[Reply] = field(default_factory=lambda: [Reply()])
    requests: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def answers(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests.clear()

    def sent(self) -> str:
        """All that it was ever sent, as one text."""
        return "\n".join(json.dumps(request) for request in self.requests)

    def next(self) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


_STOPS = {"max_tokens": "length", "refusal": "content_filter"}


def _message(text: str, stop: str, model: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": USAGE[0], "output_tokens": USAGE[1]},
    }


def _completion(text: str, stop: str, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "finish_reason": _STOPS.get(stop, "stop"), "message": message}],
        "usage": {"prompt_tokens": USAGE[0], "completion_tokens": USAGE[1], "total_tokens": sum(USAGE)},
    }


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A message as the events of a stream."""
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
        for part in (block["text"][:7], block["text"][7:]):
            delta = {"type": "text_delta", "text": part}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": message["usage"]}
    yield {"type": "message_stop"}


def _handler(server: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.requests.append((self.path, dict(self.headers.items()), body))
            reply = server.next()
            time.sleep(reply.seconds)
            text = reply.text if isinstance(reply.text, str) else reply.text(_question(body))
            kind, answer = "application/json", b""
            if reply.status != 200:
                # As proxies and gateways do it, it repeats the request.
                answer = json.dumps({"type": "error", "error": {"type": "x", "message": str(body)}}).encode()
            elif "chat/completions" in self.path:
                answer = json.dumps(_completion(text, reply.stop, body["model"])).encode()
            else:
                message = _message(text, reply.stop, body["model"])
                answer = json.dumps(message).encode()
                if body.get("stream"):
                    kind = "text/event-stream"
                    answer = b"".join(
                        f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode()
                        for one in _events(message)
                    )
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send_response(reply.status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(answer)))
                if reply.retry_after is not None:
                    self.send_header("retry-after", reply.retry_after)
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    return Handler


def _question(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@contextlib.contextmanager
def model_server() -> Iterator[ModelServer]:
    """Run one."""
    server = ModelServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        http.shutdown()
        thread.join()
