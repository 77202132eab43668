"""A request and its answer, as systems of stories see them."""

import json
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass
class Request:
    """What was asked; ``body`` as it came."""

    method: str
    path: list[str]
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def system(self) -> str:
        return self.path[0]

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Answer:
    """A status, a body and further headers."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


CUT = Answer(0, b"")
"""No answer: the connection ends after the request took effect."""


def said(value: Any, status: int = 200, **headers: str) -> Answer:
    """JSON, indented by two blanks as Stripe's is."""
    return Answer(
        status,
        json.dumps(value, indent=2).encode(),
        {name.replace("_", "-"): one for name, one in headers.items()},
    )
